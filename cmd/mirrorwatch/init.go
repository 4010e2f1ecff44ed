package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

func initCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "write a commented sites file, and print a crontab line and systemd units",
		ArgsUsage: "URL",
		Description: "URL is an article on the primary. The page is fetched once: mirrors that it announces are written as comments, to be confirmed\n" +
			"by you, and its feeds are added.\n\n" + statuses("does not happen"),
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "out", Value: defaultSites, Usage: "the `FILE` to write; - is stdout"},
			&cli.BoolFlag{Name: "force", Usage: "replace the file"},
			&cli.BoolFlag{Name: "offline", Usage: "do not fetch the page"},
			&cli.StringFlag{Name: "contact", Usage: "whom operators may ask: an `ADDRESS`"},
			&cli.BoolFlag{Name: "schema", Usage: "print the JSON schema of the sites file, for editors, and nothing else"},
		}, settingFlags("mirrors", "connect_to", "ca_file", "allow_private", "timeout")...), verbosityFlags()...),
		Action: func(c *cli.Context) error { return initSites(c, w) },
	}
}

func initSites(c *cli.Context, w *world) error {
	if c.Bool("schema") {
		_, err := w.stdout.Write(sites.Schema())
		return err
	}
	if c.NArg() != 1 {
		return usagef("mirrorwatch init https://www.example.org/2026/story", "init: give the address of one article")
	}
	u, err := sites.ParseURL(c.Args().First())
	if err != nil {
		return usagef("give the article's whole address", "init: %q is no address: %w", c.Args().First(), err)
	}
	set, err := (*sites.File)(nil).Effective("", overrides(c, w))
	if err != nil {
		return &status{code: exitUsage, err: err}
	}
	out := c.String("out")
	if out != "-" && !c.Bool("force") {
		if _, err := os.Lstat(out); err == nil {
			return usagef("name another file with --out, or replace it with --force", "init: %q is there already", out)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return usagef("", "init: %w", err)
		}
	}
	o := sites.InitOptions{Primary: survey.Mirror{Scheme: u.Scheme, Host: survey.MirrorName(u), Role: survey.Primary}, Contact: c.String("contact"), Minute: offMinute()}
	if u.RequestURI() != "/" {
		o.Articles = []string{u.RequestURI()}
	}
	for _, m := range set.Mirrors {
		if m.Host != o.Primary.Host {
			o.Mirrors = append(o.Mirrors, m)
		}
	}
	if !c.Bool("offline") {
		if err := discover(c.Context, set, u.String(), &o); err != nil {
			fmt.Fprintf(w.stderr, "mirrorwatch: %s could not be read, so nothing of it is in the file: %s\n", visible(u.String()), visible(err.Error()))
		}
	}
	text := sites.Init(o)
	if _, err := sites.Parse(out, text, func(string) string { return "" }); err != nil {
		return fmt.Errorf("init: the file made of what was found is not right: %w", err)
	}
	if out == "-" {
		_, err := w.stdout.Write(text)
		return err
	}
	if err := writeWhole(out, func(f *os.File) error { _, err := f.Write(text); return err }); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		exe = "mirrorwatch"
	}
	abs, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "wrote %s\n", visible(out))
	if len(o.Candidates) > 0 {
		fmt.Fprintf(w.stdout, "%d mirrors are announced by the page; they stand in the file as comments: look at each and move it into mirrors\n", len(o.Candidates))
	}
	fmt.Fprintf(w.stdout, "\nFor cron (crontab -e):\n\n%s\n", crontabLine(exe, abs, o.Minute))
	service, timer := units(exe, abs, o.Minute)
	fmt.Fprintf(w.stdout, "\nOr for systemd:\n\n# /etc/systemd/system/mirrorwatch.service\n%s\n# /etc/systemd/system/mirrorwatch.timer\n%s", service, timer)
	return nil
}

// offMinute is a minute off the full and the half hour, so that not everybody's runs begin at once.
func offMinute() int {
	var b [1]byte
	_, _ = rand.Read(b[:])
	n := 3 + int(b[0])%25
	if b[0]&128 != 0 {
		n += 30
	}
	return n
}

// discover fetches the page once and takes what it says of other addresses and of feeds.
func discover(ctx context.Context, set sites.Settings, address string, o *sites.InitOptions) (err error) {
	roots, err := authorities(set.CAFile)
	if err != nil {
		return err
	}
	t, err := wire.New(wire.Config{Vantage: survey.Vantage{Name: "direct"}, ConnectTo: set.ConnectTo, Roots: roots, UserAgent: userAgent(set, nil),
		Guard:  wire.Guard{AllowPrivate: set.Private, Permit: literals(survey.Site{Mirrors: []survey.Mirror{o.Primary}}, nil)},
		Limits: wire.Limits{FirstByte: set.Timeout}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, 2*set.Timeout+30*time.Second)
	defer cancel()
	ctx = wire.WithVisit(ctx, &wire.Visit{Probe: survey.Probe{Mirror: o.Primary.Host, Vantage: "direct", Purpose: survey.ForVerdict, Attempt: 1}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it was answered with status %d", res.StatusCode)
	}
	hosts := []survey.Host{o.Primary.Host}
	for _, m := range o.Mirrors {
		hosts = append(hosts, m.Host)
	}
	page := content.Read(body, content.Options{URL: address, ContentType: res.Header.Get("Content-Type"), Hosts: hosts})
	for _, a := range page.Announced {
		known := false
		for _, h := range hosts {
			known = known || string(h) == a.Host
		}
		if !known {
			o.Candidates = append(o.Candidates, survey.CandidateMirror{Host: a.Host, Rule: a.Rule, Evidence: a.Evidence})
			hosts = append(hosts, survey.Host(a.Host))
		}
	}
	base := address
	if b := markup.Base(body); b != "" {
		if r, ok := markup.Resolve(address, b); ok {
			base = r
		}
	}
	markup.HTML(body, func(p markup.Place) bool {
		if p.Kind != "feed" || len(o.Feeds) >= 3 {
			return true
		}
		if r, ok := markup.Resolve(base, p.URL); ok {
			if path, ok := strings.CutPrefix(r, o.Primary.Origin()); ok && strings.HasPrefix(path, "/") {
				for _, f := range o.Feeds {
					if f == path {
						return true
					}
				}
				o.Feeds = append(o.Feeds, path)
			}
		}
		return true
	})
	return nil
}

// crontabLine needs no environment: paths are whole. In crontab(5) a percent sign is a line end and must be escaped.
func crontabLine(exe, file string, minute int) string {
	line := fmt.Sprintf("%d * * * * cd %s && %s check --sites %s --max-time 50m --quiet-unless-changed", minute, shellWord(filepath.Dir(file)), shellWord(exe), shellWord(file))
	return strings.ReplaceAll(line, "%", `\%`)
}

// shellWord quotes a word for sh where it must be.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// unitWord quotes a word for ExecStart (systemd.syntax, systemd.service: percent and dollar signs are doubled).
func unitWord(s string) string {
	s = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(s)
	if strings.ContainsAny(s, " \t'\"\\;") {
		return `"` + s + `"`
	}
	return s
}

// units are a service that may write to the file's folder only, and a timer that catches up after the machine was off.
// Exit status 1, something found, is no failure of the service.
func units(exe, file string, minute int) (service, timer string) {
	dir := filepath.Dir(file)
	service = fmt.Sprintf(`[Unit]
Description=Check that articles are there on every mirror
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory=%[1]s
ExecStart=%[2]s check --sites %[3]s --max-time 50m --quiet-unless-changed
EnvironmentFile=-/etc/mirrorwatch.env
SuccessExitStatus=1
TimeoutStartSec=1h
Nice=10
UMask=0027
ReadWritePaths=%[4]s
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
`, strings.ReplaceAll(dir, "%", "%%"), unitWord(exe), unitWord(file), unitWord(dir))
	timer = fmt.Sprintf(`[Unit]
Description=Check mirrors every hour

[Timer]
OnCalendar=*-*-* *:%02d:00
RandomizedDelaySec=60
Persistent=true

[Install]
WantedBy=timers.target
`, minute)
	return service, timer
}
