package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// reorder puts a command's flags before its arguments: urfave/cli v2 stops reading flags at the first argument, and people
// write `check URL --mirror HOST`. What follows "--" stays as it is. A flag that takes a value and has none is an error
// that names it.
func reorder(app *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	at := 1
	for at < len(args) && strings.HasPrefix(args[at], "-") {
		at++
	}
	if at == len(args) {
		return args, nil
	}
	cmd := app.Command(args[at])
	if cmd == nil {
		return args, nil
	}
	for len(cmd.Subcommands) > 0 && at+1 < len(args) {
		sub := cmd.Command(args[at+1])
		if sub == nil {
			break
		}
		cmd, at = sub, at+1
	}
	head := append([]string{}, args[:at+1]...)
	var flags, rest []string
	list := args[at+1:]
	for i := 0; i < len(list); i++ {
		arg := list[i]
		switch {
		case arg == "--":
			rest = append(rest, list[i+1:]...)
			i = len(list)
		case len(arg) > 1 && arg[0] == '-':
			flags = append(flags, arg)
			name, _, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			if given || !takesValue(cmd, name) {
				continue
			}
			if i+1 == len(list) {
				return nil, usagef("`mirrorwatch "+cmd.Name+" --help` shows what it takes", "%s: flag --%s needs a value", cmd.Name, name)
			}
			i++
			flags = append(flags, list[i])
		default:
			rest = append(rest, arg)
		}
	}
	out := append(head, flags...)
	return append(append(out, "--"), rest...), nil
}

func takesValue(cmd *cli.Command, name string) bool {
	for _, f := range cmd.Flags {
		for _, n := range f.Names() {
			if n != name {
				continue
			}
			if g, ok := f.(*cli.GenericFlag); ok {
				b, ok := g.Value.(interface{ IsBoolFlag() bool })
				return !ok || !b.IsBoolFlag()
			}
			if d, ok := f.(cli.DocGenerationFlag); ok {
				return d.TakesValue()
			}
			return true
		}
	}
	return false
}
