package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
)

// Exit statuses, the same for every command (DESIGN section 2).
const (
	exitOK    = 0
	exitFound = 1 // something found
	exitUsage = 2 // usage, configuration, or a data folder of a newer format
	exitVoid  = 3 // the run is void, another run holds the lock, or it was cut short and found nothing
	exitOurs  = 4 // our own failure: disk full, archive cannot be written
)

const exitHelp = `EXIT STATUS:
   0  nothing wrong
   1  %s
   2  usage or configuration; a data folder of a newer format
   3  the run is void (own network down), another run holds the lock, or it was cut short and found nothing
   4  our own failure, such as a full disk or an archive that cannot be written`

// statuses is the table that ends each command's help.
func statuses(found string) string { return fmt.Sprintf(exitHelp, found) }

// status is an error with the exit status it asks for and, apart, what to do about it. Its err may be nil: then nothing
// is printed.
type status struct {
	code int
	err  error
	hint string
}

func (s *status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s *status) Unwrap() error { return s.err }

// usagef is a mistake in what the user asked for.
func usagef(hint, format string, args ...any) error {
	return &status{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// found ends a command whose answer is "something found".
func found() error { return &status{code: exitFound} }

// report prints the error and returns the exit status.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitOurs, ""
	var s *status
	var locked *archive.LockedError
	switch {
	case errors.As(err, &s):
		code, hint = s.code, s.hint
		if s.err == nil {
			return code
		}
	case errors.As(err, &locked):
		code, hint = exitVoid, "wait for the other run to end, or call with --wait"
	case errors.Is(err, archive.ErrNewerFormat):
		code, hint = exitUsage, "use the newer mirrorwatch that wrote this folder, or name another one with --data"
	}
	fmt.Fprintf(w, "mirrorwatch: %s\n", visible(err.Error()))
	if hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", visible(hint))
	}
	return code
}

// usageError turns urfave/cli's complaint about flags into a status 2 with a hint.
func usageError(c *cli.Context, err error, _ bool) error {
	hint := fmt.Sprintf("`mirrorwatch %s --help` lists the flags", c.Command.Name)
	if c.Command.Name == "" || c.Command.Name == c.App.Name {
		hint = "`mirrorwatch --help` lists the commands"
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		name = strings.TrimLeft(name, "-")
		err = fmt.Errorf("%s: unknown flag --%s", c.Command.Name, name)
		if near := sites.Nearest(name, flagNames(c.Command)); near != "" {
			hint = fmt.Sprintf("did you mean --%s? %s", near, hint)
		}
	} else {
		err = fmt.Errorf("%s: %w", c.Command.Name, err)
	}
	return &status{code: exitUsage, err: err, hint: hint}
}

func unknownCommand(app *cli.App, name string) error {
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	hint := "commands: " + strings.Join(names, ", ")
	if strings.Contains(name, "://") {
		hint = "to check an address: mirrorwatch check " + name
	} else if near := sites.Nearest(name, names); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &status{code: exitUsage, err: fmt.Errorf("unknown command %q", name), hint: hint}
}

func flagNames(c *cli.Command) []string {
	var names []string
	for _, f := range c.Flags {
		names = append(names, f.Names()...)
	}
	return names
}

// visible makes control and bidirectional characters of foreign text harmless for a terminal; line ends stay.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
