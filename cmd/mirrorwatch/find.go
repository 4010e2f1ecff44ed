package main

import (
	"context"
	"errors"
	"fmt"

	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive/history"
	"mirrorwatch/archive/replay"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
)

const (
	defaultListen       = "127.0.0.1:8642"
	defaultReplayListen = "127.0.0.1:8643"
)

func findCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:      "find",
		Usage:     "print where an article can be read now",
		ArgsUsage: "URL",
		Description: "Prints the address of the best mirror that served the article when it was last checked and answers now; else that of\n" +
			"the archived copy, which `mirrorwatch serve` shows. URL is the article's address on its primary or on a mirror.\n\n" + statuses("nothing there"),
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
			&cli.StringFlag{Name: "replay-url", Usage: "the `URL` that the replay is reached under (default http://" + defaultReplayListen + ")"},
			dataFlag(),
		}, settingFlags("connect_to", "ca_file", "allow_private", "user_agent")...), verbosityFlags()...),
		Action: func(c *cli.Context) error { return find(c, w) },
	}
}

func find(c *cli.Context, w *world) (err error) {
	if c.NArg() != 1 {
		return usagef("mirrorwatch find URL", "find: give one URL, not %d", c.NArg())
	}
	u, err := sites.ParseURL(c.Args().First())
	if err != nil {
		return usagef("give the article's whole address", "find: %q is no address: %w", c.Args().First(), err)
	}
	file, err := loadSites(c, w)
	if err != nil {
		return err
	}
	base, err := originFlag(c, "replay-url", file, func(f *sites.File) string { return f.ReplayURL })
	if err != nil {
		return err
	}
	if base == "" {
		base = "http://" + defaultReplayListen
	}
	d, err := openToRead(dataFolder(c, w, file), logger(c, w.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	f, err := newFinder(c, w, d, file)
	if err != nil {
		return err
	}
	defer f.close()
	live, archived, err := f.find(c.Context, u.String())
	switch {
	case err != nil:
		return err
	case live != "":
		fmt.Fprintln(w.stdout, visible(live))
	case archived != "":
		if !c.Bool("quiet") {
			fmt.Fprintln(w.stderr, "no mirror serves it now; `mirrorwatch serve` shows the archived copy")
		}
		fmt.Fprintln(w.stdout, visible(base+archived))
	default:
		return notThere(u.String(), "`mirrorwatch list` shows what is there")
	}
	return nil
}

// originFlag is the value of a flag that names an origin, else that of the sites file; "" when neither is given.
func originFlag(c *cli.Context, name string, file *sites.File, of func(*sites.File) string) (string, error) {
	v := c.String(name)
	if v == "" && file != nil {
		v = of(file)
	}
	if v == "" {
		return "", nil
	}
	u, err := sites.ParseURL(v)
	if err != nil || u.RawQuery != "" {
		return "", usagef("give an address such as https://archive.example.org", "%s: --%s %q is no address of a server", c.Command.Name, name, v)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// finder answers where an article can be read: `find` and /go/ share it.
type finder struct {
	data      *data
	file      *sites.File
	set       sites.Settings
	live      crawler.Liveness
	transport *wire.Transport
	now       func() time.Time

	mu    sync.Mutex
	roles map[string]map[survey.Host]survey.Role // by site
	read  time.Time
}

func newFinder(c *cli.Context, w *world, d *data, file *sites.File) (*finder, error) {
	over := overrides(c, w)
	set, err := file.Effective("", over)
	if err != nil {
		return nil, &status{code: exitUsage, err: err}
	}
	roots, err := authorities(set.CAFile)
	if err != nil {
		return nil, err
	}
	f := &finder{data: d, file: file, set: set, now: w.now}
	named := map[string]bool{}
	roles, err := f.mirrors(c.Context)
	if err != nil {
		return nil, err
	}
	for _, site := range roles {
		for host := range site {
			for _, scheme := range []string{"http", "https"} {
				if m := (survey.Mirror{Scheme: scheme, Host: host}); isLiteral(m) {
					named[hostPort(m)] = true
				}
			}
		}
	}
	f.transport, err = wire.New(wire.Config{Vantage: survey.Vantage{Name: "direct"}, ConnectTo: set.ConnectTo, Roots: roots,
		Guard: wire.Guard{AllowPrivate: set.Private, Permit: named}, UserAgent: userAgent(set, file),
		Limits: wire.Limits{Wire: 1 << 20, Decoded: 1 << 20, FirstByte: 8 * time.Second}})
	if err != nil {
		return nil, err
	}
	f.live = crawler.Liveness{Transport: f.transport, Now: w.now}
	return f, nil
}

func (f *finder) close() { _ = f.transport.Close() }

// mirrors are the mirrors that history knows, by site; read again once a minute.
func (f *finder) mirrors(ctx context.Context) (map[string]map[survey.Host]survey.Role, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.roles != nil && now.Sub(f.read).Abs() < time.Minute {
		return f.roles, nil
	}
	all, err := f.data.history.Mirrors(ctx, now)
	if err != nil {
		return nil, err
	}
	roles := map[string]map[survey.Host]survey.Role{}
	for _, m := range all {
		if roles[m.Site] == nil {
			roles[m.Site] = map[survey.Host]survey.Role{}
		}
		roles[m.Site][m.Mirror] = m.Role
	}
	f.roles, f.read = roles, now
	return roles, nil
}

// allowed are the mirrors that readers of a site may be sent to: those of the sites file where it has the site, else the
// primary and alternates that history knows.
func (f *finder) allowed(site string, known map[survey.Host]survey.Role) map[survey.Host]survey.Role {
	if f.file != nil {
		for _, s := range f.file.Sites {
			if s.Name != site {
				continue
			}
			set, err := f.file.Effective(site, sites.Overrides{})
			if err != nil {
				return nil
			}
			roles := map[survey.Host]survey.Role{}
			for _, m := range s.Survey(set).Mirrors {
				roles[m.Host] = m.Role
			}
			return roles
		}
	}
	return known
}

// find returns the address of a mirror that serves the article and answers, or, when there is none, the path of the best
// archived copy on the replay's origin. Both are empty for what history does not know.
func (f *finder) find(ctx context.Context, address string) (live, archived string, err error) {
	rows, err := f.data.history.Snapshots(ctx, history.SnapshotQuery{URL: address, Limit: 1})
	if err != nil || len(rows) == 0 {
		return "", "", err
	}
	site, article := rows[0].Site, rows[0].Article
	if rows, err = f.data.history.Snapshots(ctx, history.SnapshotQuery{Site: site, Article: article}); err != nil {
		return "", "", err
	}
	known, err := f.mirrors(ctx)
	if err != nil {
		return "", "", err
	}
	roles := f.allowed(site, known[site])
	var served []crawler.Served
	type view struct {
		mirror  survey.Host
		vantage string
	}
	seen := map[view]bool{}
	for _, r := range rows { // newest first
		if v := (view{r.Mirror, r.Vantage}); seen[v] {
			continue
		} else {
			seen[v] = true
		}
		state, _, ok, err := f.data.history.Since(ctx, site, article, r.Mirror, r.Vantage)
		if err != nil {
			return "", "", err
		}
		if !ok || r.Flagged || r.State != state { // the newest look left no snapshot, or one of another state
			if state == survey.Up {
				state = survey.Unknown
			}
		}
		served = append(served, crawler.Served{Mirror: r.Mirror, Role: roles[r.Mirror], Vantage: r.Vantage, URL: r.URL, State: state, Verdict: r.Verdict, Seen: r.Last})
	}
	urls := crawler.Leads(served, func(h survey.Host) bool { return roles[h] == survey.Primary || roles[h] == survey.Alternate })
	if u, ok := crawler.FindLive(ctx, urls, f.live.Alive); ok {
		return u, "", nil
	}
	best, err := choose(ctx, f.data, choice{name: article, mirror: "best"})
	var s *status
	if errors.As(err, &s) && s.code == exitFound {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	return "", replay.Path(survey.Timestamp17(best.Time), best.URL), nil
}

// judgements hands the verdicts of history to the replay.
type judgements struct{ *history.DB }

// shownVerdicts bounds how many snapshots of an article the replay is told of.
const shownVerdicts = 500

func (j judgements) Snapshots(ctx context.Context, address string) ([]survey.SnapshotRow, error) {
	rows, err := j.DB.Snapshots(ctx, history.SnapshotQuery{URL: address, Limit: 1})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return j.DB.Snapshots(ctx, history.SnapshotQuery{Site: rows[0].Site, Article: rows[0].Article, Limit: shownVerdicts})
}
