package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports"
)

func rejudgeCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "rejudge",
		Usage: "judge the stored observations of a run again, offline",
		Description: "Reads what a run saw from the archive and judges it again, from the inputs that its records name. Under the rules of\n" +
			"then the verdicts must be those of then; verdicts of other rules are kept in the history beside the old ones.\n" +
			"Where records are gone the verdict is undetermined (evidence pruned), and the old one stands.\n\n" +
			statuses("a verdict differs from the run's, or evidence is pruned"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "run", Usage: "the run's `ID` (default: the newest)"},
			&cli.StringSliceFlag{Name: "rules", Usage: "a `FILE` of fingerprints to add to the built-in rules; repeatable"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text or json"},
			dataFlag(),
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return rejudge(c, w) },
	}
}

// rejudged is one verdict beside the run's.
type rejudged struct {
	Article string         `json:"article"`
	Mirror  survey.Host    `json:"mirror"`
	Vantage string         `json:"vantage"`
	Equal   bool           `json:"equal"`
	Pruned  bool           `json:"pruned"`
	Then    survey.Verdict `json:"then"`
	Now     survey.Verdict `json:"now"`
}

func rejudge(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("name the run with --run", "rejudge: unexpected argument %q", c.Args().First())
	}
	format := c.String("format")
	if format != "text" && format != "json" {
		return usagef("formats: text, json", "rejudge: --format %q is no format", format)
	}
	rules, err := withLists(c.StringSlice("rules"))
	if err != nil {
		return err
	}
	dir := dataFolder(c, w, nil)
	if _, err := os.Stat(filepath.Join(dir, "format")); errors.Is(err, fs.ErrNotExist) {
		return usagef("run `mirrorwatch check URL` first, or name the folder with --data or MIRRORWATCH_DATA", "no data folder at %q", dir)
	}
	log := logger(c, w.stderr)
	d, err := openToWrite(dir, archive.Options{Tool: survey.Tool{Name: "mirrorwatch", Version: version()}, Run: newRunID(w.now()), Now: w.now, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	run := survey.RunID(c.String("run"))
	if run == "" {
		runs, err := d.history.Runs(c.Context, 1)
		if err != nil {
			return err
		}
		if len(runs) == 0 {
			return &status{code: exitFound, err: errors.New("no runs yet"), hint: "`mirrorwatch check URL` makes one"}
		}
		run = runs[0].Run.ID
	}
	list, then, err := d.rejudge(c.Context, w, run, rules)
	if err != nil {
		return err
	}
	if then == "" {
		return notThere("run "+string(run), "`mirrorwatch report --format json` names the newest run")
	}
	differ, pruned := 0, 0
	for _, r := range list {
		switch {
		case r.Pruned:
			pruned++
		case !r.Equal:
			differ++
		}
	}
	if format == "json" {
		enc := reports.JSONEncoder(w.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"schema": "mirrorwatch/rejudge/1", "run": run, "rules_then": then, "rules_now": rules.Version(), "verdicts": list}); err != nil {
			return err
		}
	} else {
		for _, r := range list {
			if r.Equal {
				continue
			}
			fmt.Fprintf(w.stdout, "%s, %s: %s (%s), now %s (%s)\n", visible(string(r.Mirror)), visible(r.Vantage), r.Then.Verdict, r.Then.State, r.Now.Verdict, r.Now.State)
			for _, s := range r.Now.Reasons {
				fmt.Fprintf(w.stdout, "    %s\n", visible(s))
			}
		}
		fmt.Fprintf(w.stdout, "run %s: %s judged again, %d differ, %d with evidence pruned\n", run, plural(len(list), "verdict"), differ, pruned)
		if then != rules.Version() {
			fmt.Fprintf(w.stdout, "rules then: %s\nrules now:  %s\n", visible(then), visible(rules.Version()))
		}
	}
	if differ+pruned > 0 {
		return found()
	}
	return nil
}

// withLists are the built-in rules with the lists of the files behind them.
func withLists(files []string) (*compare.Rules, error) {
	rules := compare.DefaultRules()
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("", "--rules: %w", err)
		}
		more, err := compare.LoadRules(filepath.Base(name), b)
		if err != nil {
			return nil, usagef("rule lists are OONI's fingerprint CSV or Censored Planet's JSON", "reading rules of %q: %w", name, err)
		}
		rules = rules.Add(more)
	}
	return rules, nil
}

// rejudgeNote is the body of an archive.NoteRejudge record: what other rules made of a check's observations, from which
// inputs. It is durable before history has it, so that the verdicts are there again after `repair --rebuild-history`.
type rejudgeNote struct {
	Schema       survey.NoteKind   `json:"schema"`
	Run          survey.RunID      `json:"run"`
	At           time.Time         `json:"at"`
	RulesVersion string            `json:"rules_version"`
	Site         string            `json:"site"`
	Article      string            `json:"article"`
	Check        survey.RecordID   `json:"check_record"` // the mirrorwatch/check/1 one that was judged again
	Inputs       crawler.Inputs    `json:"inputs"`
	Verdicts     []rejudgedVerdict `json:"verdicts"`
}

type rejudgedVerdict struct {
	Mirror  survey.Host    `json:"mirror"`
	Vantage string         `json:"vantage"`
	Verdict survey.Verdict `json:"verdict"`
}

func (n *rejudgeNote) judged() []history.Judged {
	var list []history.Judged
	for _, v := range n.Verdicts {
		list = append(list, history.Judged{Site: n.Site, Article: n.Article, Mirror: v.Mirror, Vantage: v.Vantage, RulesVersion: n.RulesVersion, At: n.At, Verdict: v.Verdict})
	}
	return list
}

// rejudge judges all checks of the run again and keeps what other rules came to. then is the version of the rules that the
// run was judged by, empty when there is no such run.
func (d *data) rejudge(ctx context.Context, w *world, run survey.RunID, rules *compare.Rules) (list []rejudged, then string, err error) {
	list = []rejudged{}
	err = d.archive.Notes(ctx, survey.NoteCheck, func(n survey.Note, place survey.Capture) error {
		var rec crawler.CheckRecord
		if err := json.Unmarshal(n.Body, &rec); err != nil {
			return fmt.Errorf("reading the record of a check: %w", err)
		}
		if rec.Run != run {
			return nil
		}
		then = rec.RulesVersion
		j, missing, err := crawler.Rejudge(ctx, rec, evidence{d}, rules)
		if err != nil {
			return err
		}
		known, err := d.history.Verdicts(ctx, run)
		if err != nil {
			return err
		}
		note := rejudgeNote{Schema: archive.NoteRejudge, Run: run, At: w.now().UTC(), RulesVersion: rules.Version(), Site: rec.Check.Site, Article: rec.Check.URL, Check: place.RecordID, Inputs: rec.Inputs}
		for i, f := range rec.Check.Mirrors {
			r := rejudged{Article: rec.Check.URL, Mirror: f.Mirror, Vantage: f.Vantage, Then: f.Verdict, Now: j.Verdicts[i], Pruned: len(missing) > 0}
			r.Equal = sameVerdict(r.Then, r.Now)
			list = append(list, r)
			again := slices.ContainsFunc(known, func(k history.Judged) bool {
				return k.Article == note.Article && k.Site == note.Site && k.Mirror == f.Mirror && k.Vantage == f.Vantage && k.RulesVersion == note.RulesVersion && sameVerdict(k.Verdict, r.Now)
			})
			if !r.Pruned && !again && rec.RulesVersion != rules.Version() {
				note.Verdicts = append(note.Verdicts, rejudgedVerdict{f.Mirror, f.Vantage, r.Now})
			}
		}
		if len(note.Verdicts) == 0 {
			return nil
		}
		body, err := json.Marshal(note)
		if err != nil {
			return err
		}
		if _, err := d.archive.Note(ctx, survey.Note{Kind: archive.NoteRejudge, URI: rec.Check.URL, About: place.RecordID, Date: note.At, Body: body}); err != nil {
			return err
		}
		if err := d.archive.Commit(ctx); err != nil {
			return err
		}
		return d.history.SaveVerdicts(ctx, run, note.judged())
	})
	return list, then, err
}

// sameVerdict compares whole verdicts. What other lists of fingerprints matched is their version's business and no part of
// it when the version differs, so the rule set's name in a match is left out.
func sameVerdict(a, b survey.Verdict) bool {
	plain := func(v survey.Verdict) []byte {
		v.Matched = append([]survey.Match{}, v.Matched...)
		for i := range v.Matched {
			v.Matched[i].List = ""
		}
		out, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		return out
	}
	return bytes.Equal(plain(a), plain(b))
}

// evidence gives the archive's pages back to judgement.
type evidence struct{ *data }

func (e evidence) Page(ctx context.Context, c survey.Capture) (header func(string) string, body []byte, err error) {
	r, err := e.archive.Open(ctx, c)
	switch {
	case errors.Is(err, archive.ErrNotFound), errors.Is(err, archive.ErrNoOriginal), errors.Is(err, fs.ErrNotExist), errors.Is(err, io.EOF):
		return nil, nil, fmt.Errorf("%w: %w", crawler.ErrPruned, err)
	case err != nil:
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, r.Payload.Close()) }()
	// A body that was cut is judged as far as it goes, as it was then.
	body, _ = io.ReadAll(r.Decoded(maxPage))
	charset, _ := message.Charset(r.Head.Get("Content-Type"), body)
	if text, terr := message.ToUTF8(charset, body); terr == nil {
		body = text
	}
	return r.Head.Get, body, nil
}
