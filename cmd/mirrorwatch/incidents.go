package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
	"mirrorwatch/reports/notify"
)

func incidentsCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "incidents",
		Usage:     "list what is down or degraded and what was; acknowledge",
		ArgsUsage: "[ID]",
		Description: "Newest first: those not closed, and those closed within --since. With an ID (its beginning is enough): that one with its\n" +
			"evidence and notices. --forward prints a text that is ready to be sent to the mirror's operator.\n\n" + statuses("an incident is open"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			&cli.StringFlag{Name: "since", Value: "30d", Usage: "closed ones back to this `TIME` ago"},
			&cli.BoolFlag{Name: "suspects", Usage: "suspicions too, which were not told"},
			&cli.BoolFlag{Name: "forward", Usage: "with an ID: the text for the mirror's operator"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return incidents(c, w) },
		Subcommands: []*cli.Command{{
			Name:         "ack",
			Usage:        "acknowledge an incident: no reminders any more, its end is told all the same",
			ArgsUsage:    "ID",
			Description:  statuses("no incident has this ID"),
			Flags:        append([]cli.Flag{&cli.StringFlag{Name: "by", Usage: "your `NAME` (default: that of the environment's USER)"}, dataFlag()}, verbosityFlags()...),
			OnUsageError: usageError,
			Action:       func(c *cli.Context) error { return ackIncident(c, w) },
		}},
	}
}

func incidents(c *cli.Context, w *world) (err error) {
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "incidents: --format %q is no format", format)
	}
	since, err := sites.ParseDuration(c.String("since"))
	if err != nil {
		return usagef("", "incidents: --since: %w", err)
	}
	if c.NArg() > 1 {
		return usagef("mirrorwatch incidents [ID]", "incidents: give one ID, not %d", c.NArg())
	}
	d, err := openToRead(dataFolder(c, w, nil), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	from := w.now().Add(-since)
	if c.NArg() == 1 {
		from = time.Time{}
	}
	rows, err := d.history.Incidents(c.Context, from, 100_000)
	if err != nil {
		return err
	}
	list := []survey.Incident{}
	open := false
	for _, r := range rows {
		if c.NArg() == 1 && !strings.HasPrefix(r.ID, c.Args().First()) || r.Opened == nil && !c.Bool("suspects") && c.NArg() == 0 {
			continue
		}
		in := survey.Incident{ID: r.ID, Site: r.Site, Mirror: r.Mirror, Article: r.Article, Cause: r.Cause, State: survey.IncidentState(r.State)}
		if err := json.Unmarshal(r.Doc, &in); err != nil {
			return fmt.Errorf("reading incident %s: %w", r.ID, err)
		}
		in.Started, in.Opened, in.Closed, in.Acked, in.AckedBy = r.Started, r.Opened, r.Closed, r.Acked, r.AckedBy
		list = append(list, in)
		open = open || in.State.Live()
	}
	if c.NArg() == 1 {
		switch {
		case len(list) == 0:
			return &status{code: exitFound, err: fmt.Errorf("no incident has an ID that begins with %q", c.Args().First()), hint: "`mirrorwatch incidents --suspects --since 10y` lists all"}
		case len(list) > 1:
			return usagef("give more of it", "%d incidents have an ID that begins with %q", len(list), c.Args().First())
		}
		return showIncident(c, w, d, list[0], format)
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"schema": "mirrorwatch/incidents/1", "incidents": list}); err != nil {
			return err
		}
	} else if len(list) == 0 {
		fmt.Fprintln(w.stdout, "no incidents")
	} else {
		tw := tabwriter.NewWriter(w.stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(tw, "ID\tSTATE\tMIRROR\tSINCE (UTC)\tLASTED\tCAUSE\tARTICLE")
		for _, in := range list {
			state := string(in.State)
			if in.State.Live() {
				state = string(in.Severity)
				if in.State == survey.Flapping {
					state += ", flapping"
				}
				if in.Acked != nil {
					state += ", acknowledged"
				}
			}
			article := in.Article
			if article == "" {
				article = "-"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", in.ID, state, visible(string(in.Mirror)), in.Started.UTC().Format("2006-01-02 15:04"),
				notify.Span(in.Duration(w.now())), visible(notify.Cause(in.Cause)), visible(article))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if open {
		return found()
	}
	return nil
}

// showIncident prints one incident with its evidence and what was told of it.
func showIncident(c *cli.Context, w *world, d *data, in survey.Incident, format string) error {
	if c.Bool("forward") {
		e := survey.IncidentEvent{Kind: survey.Opened, At: w.now(), Incident: in}
		if in.Closed != nil {
			e.Kind = survey.Closed
		}
		m := notify.Forward(e, "", notify.Plain)
		_, err := fmt.Fprintf(w.stdout, "Subject: %s\n\n%s", m.Subject, m.Body)
		return err
	}
	told, err := d.history.Notices(c.Context, in.ID, 100)
	if err != nil {
		return err
	}
	if format == "json" {
		for i := range told {
			told[i].Doc = nil
		}
		if told == nil {
			told = []history.Notice{}
		}
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"schema": "mirrorwatch/incident/1", "incident": in, "notices": told})
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w.stdout, "%-11s %s\n", name, visible(value))
		}
	}
	line("incident", in.ID)
	line("site", in.Site)
	line("mirror", string(in.Mirror))
	line("article", in.Article)
	line("state", string(in.State))
	line("severity", string(in.Severity))
	line("cause", notify.Cause(in.Cause))
	line("since", in.Started.UTC().Format(time.RFC3339)+", for "+notify.Span(in.Duration(w.now())))
	if in.Opened != nil {
		line("opened", in.Opened.UTC().Format(time.RFC3339))
	}
	if in.Closed != nil {
		line("closed", in.Closed.UTC().Format(time.RFC3339)+", "+in.Why)
	}
	if in.Acked != nil {
		line("acked", in.Acked.UTC().Format(time.RFC3339)+" by "+in.AckedBy)
	}
	line("last good", in.LastGood)
	for _, e := range in.Evidence {
		line("seen", fmt.Sprintf("%s %s %s: %s %s %s %s", e.At.UTC().Format(time.RFC3339), e.Vantage, e.Article, e.Verdict, e.Stage, e.Outcome, e.Snapshot))
	}
	for _, n := range told {
		text := fmt.Sprintf("%s %s to %s: %s", n.Created.UTC().Format(time.RFC3339), n.Kind, n.Target, n.State)
		if n.Error != "" {
			text += ", " + n.Error
		}
		line("told", text)
	}
	return nil
}

// ackIncident writes to history.db only, beside a run if need be: SQLite lets writers take turns.
func ackIncident(c *cli.Context, w *world) (err error) {
	if c.NArg() != 1 {
		return usagef("mirrorwatch incidents ack ID; `mirrorwatch incidents` lists them", "incidents ack: give the ID of one incident")
	}
	dir := dataFolder(c, w, nil)
	r, err := openToRead(dir, logger(c, w.stderr)) // says what is wrong with the folder
	if err != nil {
		return err
	}
	if err := r.close(); err != nil {
		return err
	}
	h, err := history.Open(filepath.Join(dir, "history.db"), history.Options{Log: logger(c, w.stderr)})
	if err != nil {
		return newerHistory(err)
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	by := c.String("by")
	if by == "" {
		by = w.getenv("USER")
	}
	if by == "" {
		by = "somebody"
	}
	in, err := h.Ack(c.Context, c.Args().First(), by, w.now())
	if errors.Is(err, history.ErrNoIncident) {
		return &status{code: exitFound, err: err, hint: "`mirrorwatch incidents` lists them"}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "acknowledged: %s %s since %s, by %s\n", in.ID, visible(string(in.Mirror)), in.Started.UTC().Format(time.RFC3339), visible(in.AckedBy))
	return nil
}
