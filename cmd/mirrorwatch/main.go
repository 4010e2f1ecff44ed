// Command mirrorwatch checks whether an article is really there on every address it is published under, keeps the bytes as
// evidence in a web archive, and shows the differences.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	_ "time/tzdata" // zones of sites files work on machines without a zone database

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"mirrorwatch/reports"
)

// world is what the command touches outside itself: tests hand in their own.
type world struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string
	now            func() time.Time
	colour         bool // stdout is a terminal and NO_COLOR is not set
	terminal       bool // stderr is a terminal
	width          int  // columns of stdout's terminal, 0 when there is none
}

// look is how text on stdout may be shaped.
func (w *world) look() reports.TextOptions {
	return reports.TextOptions{Colour: w.colour, Width: w.width}
}

// columns is the width of the terminal behind f, 0 when that is none.
func columns(f *os.File) int {
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

func main() {
	os.Exit(execute(context.Background(), os.Args, world{
		stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ, now: time.Now,
		colour:   isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "",
		terminal: isTerminal(os.Stderr),
		width:    columns(os.Stdout),
	}))
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// execute runs one command and returns its exit status. It is the only place where errors become statuses.
func execute(ctx context.Context, args []string, w world) int {
	out := &answer{w: w.stdout}
	w.stdout = out
	app := newApp(&w)
	ordered, err := reorder(app, args)
	if err == nil {
		err = app.RunContext(ctx, ordered)
	}
	// An answer that nobody got is no answer, whatever it would have been.
	if s := (*status)(nil); out.err != nil && (err == nil || errors.As(err, &s) && s.code == exitFound) {
		err = fmt.Errorf("writing the answer: %w", out.err)
	}
	return report(w.stderr, err)
}

// answer is stdout that remembers that it could not be written, as on a full disk: commands print line by line and look at
// no line's error.
type answer struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.err == nil {
			a.err = err
		}
	}
	return n, err
}

func newApp(w *world) *cli.App {
	app := &cli.App{
		Name:  "mirrorwatch",
		Usage: "is this article really there, on every address it is published under?",
		Description: "mirrorwatch visits an article on its primary domain and on each mirror, says per mirror what a reader\n" +
			"would get and why, keeps the exact bytes in a web archive, and shows the differences on one page.\n\n" +
			"Start with `mirrorwatch demo`: the whole job, offline, against mirrors that misbehave in known ways.",
		Version:                   version(),
		HideVersion:               true,
		Writer:                    w.stdout,
		ErrWriter:                 w.stderr,
		DisableSliceFlagSeparator: true, // URLs hold commas
		UseShortOptionHandling:    false,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
		CommandNotFound:           nil,
		Suggest:                   false,
		Commands: []*cli.Command{
			checkCommand(w), reportCommand(w), restoreCommand(w), listCommand(w), rejudgeCommand(w), diffCommand(w), verifyCommand(w), repairCommand(w), importCommand(w), exportCommand(w), pruneCommand(w), forgetCommand(w), sitesCommand(w),
			serveCommand(w), findCommand(w), demoCommand(w), versionCommand(w),
			incidentsCommand(w), notifyCommand(w), initCommand(w), watchCommand(w), statsCommand(w),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return unknownCommand(c.App, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError = usageError
		cmd.UseShortOptionHandling = false
	}
	return app
}
