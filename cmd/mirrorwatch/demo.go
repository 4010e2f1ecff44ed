package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/cmd/mirrorwatch/internal/demo"
	"mirrorwatch/crawler/survey"
)

const demoData = "./mirrorwatch-demo"

func demoCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "the whole job, offline, against mirrors that misbehave in known ways",
		Description: "Starts servers on loopback, checks one article on all of them as `check` does, writes the report, restores the\n" +
			"article, and says where to look. It needs no network and makes nothing but its data folder.\n\n" +
			statuses("a mirror was judged otherwise than it should be"),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data", Value: demoData, Usage: "the data `FOLDER`"},
		}, verbosityFlags()...),
		Action: func(c *cli.Context) error { return runDemo(c, w) },
	}
}

// runDemo makes the command lines that a user would type and runs them through the same code.
func runDemo(c *cli.Context, w *world) error {
	if c.NArg() > 0 {
		return usagef("demo takes no arguments", "demo: unexpected argument %q", c.Args().First())
	}
	servers, err := demo.Start(c.Context)
	if err != nil {
		return fmt.Errorf("starting the demo's servers: %w", err)
	}
	defer func() { _ = servers.Close() }()
	dir := c.String("data")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	ca := filepath.Join(dir, "demo-authority.pem")
	if err := writeWhole(ca, func(f *os.File) error { _, err := f.Write(servers.CAPEM); return err }); err != nil {
		return err
	}
	check := []string{"mirrorwatch", "check", servers.Article, "--data", dir, "--ca-file", ca, "--retries", "1", "--delay", "20ms", "--timeout", "5s"}
	for from, to := range servers.ConnectTo {
		check = append(check, "--connect-to", from+":"+to)
	}
	for _, m := range servers.Expectations[1:] {
		check = append(check, "--mirror", string(m.Host))
	}
	for _, f := range []string{"quiet", "verbose"} {
		if c.Bool(f) {
			check = append(check, "--"+f)
		}
	}
	fmt.Fprintf(w.stdout, "One article, %d addresses, all on this machine:\n  %s\n\n", len(servers.Expectations), servers.Article)
	if code := execute(c.Context, check, *w); code != exitFound {
		return fmt.Errorf("the check ended with status %d; with these mirrors it must be %d", code, exitFound)
	}
	wrong, err := compareWithDemo(c.Context, w, dir, servers)
	if err != nil {
		return err
	}
	restored := filepath.Join(dir, "restored-"+w.now().UTC().Format("20060102T150405Z"))
	fmt.Fprintln(w.stdout, "\nThe article given back from the archive:")
	if code := execute(c.Context, []string{"mirrorwatch", "restore", servers.Article, "--data", dir, "--to", restored}, *w); code != exitOK {
		return fmt.Errorf("restoring the article ended with status %d", code)
	}
	res, err := archive.Verify(c.Context, dir, archive.VerifyOptions{Full: true})
	if err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "\nLook at the report:   %s\nAll snapshots:        mirrorwatch list --data %s\nThe archive itself:   %s (%s)\n",
		visible(filepath.Join(dir, "report", "index.html")), visible(dir), visible(filepath.Join(dir, "archive")), verifySummary(res))
	if wrong > 0 {
		return &status{code: exitFound, err: fmt.Errorf("%d mirrors were judged otherwise than they should be", wrong)}
	}
	return nil
}

// compareWithDemo prints how each mirror misbehaves beside what the check said of it, and counts the misjudged.
func compareWithDemo(ctx context.Context, w *world, dir string, servers *demo.World) (wrong int, err error) {
	d, err := openToRead(dir, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	doc, _, err := d.history.Last(ctx)
	if err != nil {
		return 0, err
	}
	said := map[survey.Host]survey.Finding{}
	for _, a := range doc.Articles {
		for _, f := range a.Mirrors {
			said[f.Mirror] = f
		}
	}
	fmt.Fprintln(w.stdout, "\nWhat the mirrors really do, and whether mirrorwatch saw it:")
	tw := tabwriter.NewWriter(w.stdout, 0, 8, 2, ' ', 0)
	for _, m := range servers.Expectations {
		f := said[survey.Host(m.Host)]
		mark := "right"
		if f.Verdict.Verdict != m.Verdict || f.State != m.State || m.Class != "" && f.PageClass != m.Class {
			wrong++
			mark = fmt.Sprintf("WRONG: %s %s %s, not %s %s %s", f.State, f.Verdict.Verdict, f.PageClass, m.State, m.Verdict, m.Class)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", m.Host, m.Says, mark)
	}
	fmt.Fprintf(tw, "  \t%d of %d right, in %.1f s\n", len(servers.Expectations)-wrong, len(servers.Expectations), doc.Run.Finished.Sub(doc.Run.Started).Round(100*time.Millisecond).Seconds())
	return wrong, tw.Flush()
}
