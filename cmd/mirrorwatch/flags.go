package main

import (
	"io"
	"log/slog"

	"github.com/urfave/cli/v2"

	"mirrorwatch/cmd/mirrorwatch/internal/sites"
)

const (
	defaultData  = "./mirrorwatch-data"
	defaultSites = "mirrorwatch.yaml"
)

func dataFlag() cli.Flag {
	return &cli.StringFlag{Name: "data", Usage: "the data `FOLDER` (environment: MIRRORWATCH_DATA; default " + defaultData + ")"}
}

func verbosityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing but results and errors"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say what happens"},
	}
}

// settingFlags makes a flag of each setting of the sites file.
func settingFlags(keys ...string) []cli.Flag {
	if len(keys) == 0 {
		keys = sites.Keys()
	}
	var flags []cli.Flag
	for _, k := range keys {
		d := sites.Describe(k)
		usage := d.Doc
		if d.Default != "" && !d.Boolean {
			usage += " (default " + d.Default + ")"
		}
		switch name := sites.FlagName(k); {
		case d.Boolean:
			flags = append(flags, &cli.BoolFlag{Name: name, Usage: usage})
		case k == "allow_private":
			flags = append(flags, &cli.GenericFlag{Name: name, Usage: usage + "; --" + name + " alone permits all but link-local and metadata addresses", Value: &optionalValue{}})
		case d.List:
			flags = append(flags, &cli.StringSliceFlag{Name: name, Usage: usage})
		default:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: usage})
		}
	}
	return flags
}

// overrides gathers the setting flags that were given.
func overrides(c *cli.Context, w *world) sites.Overrides {
	given := map[string][]string{}
	for _, k := range sites.Keys() {
		name := sites.FlagName(k)
		if !c.IsSet(name) {
			continue
		}
		switch d := sites.Describe(k); {
		case d.Boolean:
			given[k] = []string{boolText(c.Bool(name))}
		case k == "allow_private":
			given[k] = []string{c.Generic(name).(*optionalValue).String()}
		case d.List:
			given[k] = c.StringSlice(name)
		default:
			given[k] = []string{c.String(name)}
		}
	}
	return sites.Overrides{Flags: given, Env: func(name string) (string, bool) {
		v := w.getenv(name)
		return v, v != ""
	}}
}

// optionalValue is a flag that may stand alone or have a value behind "=": --allow-private, --allow-private=10.0.0.0/8.
type optionalValue struct{ text string }

func (o *optionalValue) Set(s string) error { o.text = s; return nil }
func (o *optionalValue) String() string     { return o.text }

// IsBoolFlag makes the flag package accept the flag without a value, as "true".
func (o *optionalValue) IsBoolFlag() bool { return true }

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

func logger(c *cli.Context, w io.Writer) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case c.Bool("verbose"):
		level = slog.LevelInfo
	case c.Bool("quiet"):
		level = slog.LevelError
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
