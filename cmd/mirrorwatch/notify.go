package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/crawler/survey"
)

func notifyCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "notify",
		Usage: "--test: send a test notice to every channel of the sites file",
		Description: "Programs get a document with \"test\": true. Contacts of mirrors are foreign people: they are tested with --contacts only.\n\n" +
			statuses("a channel could not be reached"),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "test", Usage: "send"},
			&cli.BoolFlag{Name: "contacts", Usage: "with --test: to the mirrors' contacts too"},
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return testNotices(c, w) },
	}
}

func testNotices(c *cli.Context, w *world) error {
	if c.NArg() > 0 {
		return usagef("mirrorwatch notify --test", "notify: unexpected argument %q", c.Args().First())
	}
	f, err := loadSites(c, w)
	if err != nil {
		return err
	}
	if f == nil {
		return usagef("name one with --sites", "no %s here", defaultSites)
	}
	list := channels(f)
	if len(list) == 0 {
		return usagef("write notify: with a shoutrrr URL or a program", "%s names no channel", f.Name)
	}
	if !c.Bool("test") {
		for _, ch := range list {
			fmt.Fprintln(w.stdout, visible(ch.Name))
		}
		return usagef("", "notify: nothing was sent; --test sends a test notice to these channels")
	}
	now := w.now().UTC()
	failed := 0
	for _, ch := range list {
		if ch.Mirror != "" && !c.Bool("contacts") {
			fmt.Fprintf(w.stdout, "%s: not tested, see --contacts\n", visible(ch.Name))
			continue
		}
		in := survey.Incident{ID: "0000000000", Site: f.Sites[0].Name, Mirror: f.Sites[0].Primary.Host, State: survey.IncidentOpen, Severity: survey.Down, Now: survey.Down,
			Cause: "unreachable", Affected: 1, Of: 1, Vantages: []string{"direct"}, VantagesOf: 1, Started: now.Add(-time.Hour), Opened: &now, Evidence: []survey.Evidence{}}
		if ch.Mirror != "" {
			in.Site, in.Mirror = ch.Site, ch.Mirror
		}
		err := ch.Send(c.Context, []survey.IncidentEvent{{ID: "test", Kind: survey.Opened, At: now, Incident: in}}, true)
		if err != nil {
			failed++
			fmt.Fprintf(w.stdout, "%s: %s\n", visible(ch.Name), visible(err.Error()))
			continue
		}
		fmt.Fprintf(w.stdout, "%s: sent\n", visible(ch.Name))
	}
	if failed > 0 {
		return &status{code: exitFound, err: fmt.Errorf("%d of %d channels could not be reached", failed, len(list))}
	}
	return nil
}
