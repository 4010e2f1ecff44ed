package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/crawler/wire"
	"mirrorwatch/reports"
)

// defaultCanaries are asked when nothing else is said: two well-known names of different operators.
var defaultCanaries = []string{"https://example.org/", "https://www.iana.org/"}

func checkCommand(w *world) *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ", when it exists)"},
		&cli.StringSliceFlag{Name: "site", Usage: "check only the site of this `NAME`; repeatable"},
		&cli.BoolFlag{Name: "trust-imports", Usage: "let imported pages be references"},
		dataFlag(),
	}
	flags = append(flags, settingFlags()...)
	return &cli.Command{
		Name:      "check",
		Usage:     "visit articles on every mirror, keep the bytes, judge, report",
		ArgsUsage: "[URL...]",
		Description: "With URLs: each is an article's address on its primary; --mirror names the other addresses of its site.\n" +
			"Without: every site of the sites file.\n\n" + statuses("a mirror is degraded or down, or a link is newly broken"),
		Flags:  append(flags, verbosityFlags()...),
		Action: func(c *cli.Context) error { return check(c, w) },
	}
}

func check(c *cli.Context, w *world) error {
	j, err := newJob(c, w)
	if err != nil {
		return err
	}
	for _, line := range j.notices {
		fmt.Fprintln(w.stderr, visible(line))
	}
	return j.run(c.Context, w)
}

// job is one `check` made ready: what to visit and with which settings.
type job struct {
	dir      string
	file     *sites.File
	plan     crawler.Plan
	settings sites.Settings // of the run; those of a site stand in its plan
	rules    *compare.Rules
	quiet    bool
	verbose  bool

	trustImports bool
	log          *slog.Logger
	notices      []string
	nextDue      *time.Time
	baselines    map[string][]survey.Host // to be written: there were none
	started      time.Time
	now          func() time.Time
	open         *data // while run is under way
	single       bool  // URLs were given: what the sites file names beside them is not looked at
}

func newJob(c *cli.Context, w *world) (*job, error) {
	j := &job{single: c.NArg() > 0, quiet: c.Bool("quiet"), verbose: c.Bool("verbose"), trustImports: c.Bool("trust-imports"), log: logger(c, w.stderr), started: w.now(), now: w.now}
	var err error
	if j.file, err = loadSites(c, w); err != nil {
		return nil, err
	}
	if j.file == nil && c.NArg() == 0 {
		return nil, usagef("`mirrorwatch check URL --mirror HOST` checks one article; `mirrorwatch demo` shows the whole job offline; or write a "+defaultSites,
			"nothing to check: no URL given and no %s here", defaultSites)
	}
	over := overrides(c, w)
	if j.settings, err = j.file.Effective("", over); err != nil {
		return nil, &status{code: exitUsage, err: err}
	}
	if err := j.addSites(c, over); err != nil {
		return nil, err
	}
	j.dir = dataFolder(c, w, j.file)
	for i := range j.plan.Sites {
		sp := &j.plan.Sites[i]
		sp.State = filepath.Join(j.dir, "crawl", url.PathEscape(sp.Site.Name))
	}
	j.rules = compare.DefaultRules()
	for _, name := range j.settings.RuleFiles {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("", "--rules: %w", err)
		}
		more, err := compare.LoadRules(filepath.Base(name), b)
		if err != nil {
			return nil, usagef("rule lists are OONI's fingerprint CSV or Censored Planet's JSON", "reading rules of %q: %w", name, err)
		}
		j.rules = j.rules.Add(more)
	}
	if j.file != nil {
		for _, key := range j.file.Later() {
			j.notices = append(j.notices, fmt.Sprintf("%s: %s is understood, but nothing acts on it yet", j.file.Name, key))
		}
		if !j.file.Schedule.IsZero() {
			j.nextDue = survey.Ptr(j.file.Schedule.Next(w.now()).UTC())
		}
	}
	j.notices = append(j.notices, proxyNotice(w.getenv)...)
	return j, nil
}

// loadSites reads --sites, or the default file when it exists; nil without an error means that there is none.
func loadSites(c *cli.Context, w *world) (*sites.File, error) {
	name, asked := c.String("sites"), c.IsSet("sites")
	if !asked {
		if env := w.getenv("MIRRORWATCH_SITES"); env != "" {
			name, asked = env, true
		} else {
			name = defaultSites
		}
	}
	f, err := sites.Load(name, w.getenv)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("name an existing file with --sites", "no sites file at %q", name)
	}
	return nil, &status{code: exitUsage, err: err}
}

func dataFolder(c *cli.Context, w *world, f *sites.File) string {
	switch env := w.getenv("MIRRORWATCH_DATA"); {
	case c.IsSet("data"):
		return c.String("data")
	case env != "":
		return env
	case f != nil && f.Data != "":
		return f.Data
	}
	return defaultData
}

// addSites fills the plan: the URLs given, each in its site of the sites file or in a site of its own, or every site of
// the file.
func (j *job) addSites(c *cli.Context, over sites.Overrides) error {
	only := c.StringSlice("site")
	if c.NArg() == 0 {
		names := j.file.SiteNames()
		for _, n := range only {
			if !slices.Contains(names, n) {
				return usagef("sites of the file: "+strings.Join(names, ", "), "there is no site %q in %s", n, j.file.Name)
			}
		}
		for _, n := range names {
			if len(only) > 0 && !slices.Contains(only, n) {
				continue
			}
			set, err := j.file.Effective(n, over)
			if err != nil {
				return &status{code: exitUsage, err: err}
			}
			if err := j.addSite(j.file.Site(n).Survey(set), j.file.Site(n).Articles(), set, j.file.Site(n), true); err != nil {
				return err
			}
		}
		return nil
	}
	if len(only) > 0 {
		return usagef("give URLs, or --site, not both", "check: --site %q beside the URL %q", only[0], c.Args().First())
	}
	type group struct {
		site     *sites.Site
		primary  survey.Mirror
		articles []string
	}
	var groups []*group
	for _, arg := range c.Args().Slice() {
		u, err := sites.ParseURL(arg)
		if err != nil {
			hint := "give the article's whole address, such as https://www.example.org/2026/story"
			if !strings.Contains(arg, ":/") {
				hint = "did you mean https://" + arg + "?"
			}
			return usagef(hint, "check: %q is no address of an article: %w", arg, err)
		}
		host := survey.MirrorName(u)
		var st *sites.Site
		if j.file != nil {
			st = j.file.SiteOf(host)
		}
		at := slices.IndexFunc(groups, func(g *group) bool { return g.site == st && (st != nil || g.primary.Host == host) })
		if at < 0 {
			groups = append(groups, &group{site: st, primary: survey.Mirror{Scheme: u.Scheme, Host: host, Role: survey.Primary}})
			at = len(groups) - 1
		}
		groups[at].articles = append(groups[at].articles, u.String())
	}
	for _, g := range groups {
		name := ""
		if g.site != nil {
			name = g.site.Name
		}
		set, err := j.file.Effective(name, over)
		if err != nil {
			return &status{code: exitUsage, err: err}
		}
		site := survey.Site{Name: string(g.primary.Host), Mirrors: []survey.Mirror{g.primary}}
		if g.site != nil {
			site = g.site.Survey(set)
		} else {
			for _, m := range set.Mirrors {
				if m.Host != g.primary.Host {
					site.Mirrors = append(site.Mirrors, m)
				}
			}
		}
		var articles []survey.Article
		for _, a := range g.articles {
			articles = append(articles, survey.Article{Site: site.Name, URL: onPrimary(a, site.Primary())})
		}
		if err := j.addSite(site, articles, set, g.site, false); err != nil {
			return err
		}
	}
	return nil
}

// onPrimary returns the article's address on the primary: whichever mirror's address was given, the article is the same.
func onPrimary(address string, primary survey.Mirror) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	u.Scheme, u.Host = primary.Scheme, string(primary.Host)
	return u.String()
}

// addSite adds a site to the plan. wholeSite is false when URLs were named: then nothing but those is checked.
func (j *job) addSite(site survey.Site, articles []survey.Article, set sites.Settings, st *sites.Site, wholeSite bool) error {
	roots, err := authorities(set.CAFile)
	if err != nil {
		return err
	}
	sp := crawler.SitePlan{Site: site, Articles: articles, Canaries: canaries(site, set),
		Settings: crawler.Settings{Timeout: set.Timeout, Retries: set.Retries, RequisitesEvery: set.RequisitesEvery, Media: set.Media, IgnoreRobots: set.IgnoreRobots,
			Links: set.Links, LinksEvery: set.LinksEvery, External: set.External, Fragments: set.Fragments}}
	if set.Retries == 0 {
		sp.Settings.Retries = -1
	}
	if set.LinksEvery == 0 {
		sp.Settings.LinksEvery = -1
	}
	if set.RequisitesEvery == 0 {
		sp.Settings.RequisitesEvery = -1
	}
	sp.Vantages = j.file.VantageList(set)
	if st != nil {
		for _, p := range st.Paths() {
			sp.Paths = append(sp.Paths, crawler.PathRule{From: p.From, To: p.To, Mirror: p.Mirror})
		}
		sp.LinkRules = linkRules(st.Rules)
		if wholeSite {
			sp.Feeds, sp.Sitemaps, sp.Newest = st.Feeds, st.Sitemaps, st.Newest
		}
	}
	if sp.Baseline, err = baseline(set.Baseline); err != nil {
		return err
	}
	if set.Baseline != "" && sp.Baseline == nil {
		if j.baselines == nil {
			j.baselines = map[string][]survey.Host{}
		}
		j.baselines[set.Baseline] = append(j.baselines[set.Baseline], site.Hosts()...)
	}
	named := literals(site, sp.Canaries)
	sp.Transport = func(v survey.Vantage) (http.RoundTripper, error) {
		return wire.New(wire.Config{Vantage: v, ConnectTo: set.ConnectTo, Roots: roots,
			Guard:     wire.Guard{AllowPrivate: set.Private, Permit: named},
			UserAgent: userAgent(set, j.file), Header: headers(set.Headers),
			Limits:   wire.Limits{Wire: set.MaxBody, Decoded: set.MaxBody, FirstByte: set.Timeout},
			Recorder: recorder{j}, Dir: j.dir, Now: j.now})
	}
	j.plan.Sites = append(j.plan.Sites, sp)
	return nil
}

// linkRules turns the sites file's words into states of links.
func linkRules(rules []sites.LinkRule) []crawler.LinkRule {
	words := map[string]string{"ok": crawler.LinkOK, "warn": crawler.LinkWarn, "skip": crawler.LinkNotJudged, "ignore": crawler.LinkNotJudged,
		"error": crawler.LinkBroken, "broken": crawler.LinkBroken}
	var out []crawler.LinkRule
	for _, r := range rules {
		n := crawler.LinkRule{Match: r.Match, Status: map[int]string{}}
		for code, word := range r.Status {
			n.Status[code] = words[word]
		}
		out = append(out, n)
	}
	return out
}

// baseline reads --baseline; nil when there is no name, and when there is no such file yet: the run then writes it.
func baseline(name string) (*crawler.Baseline, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usagef("a baseline is what a run with --baseline, or `mirrorwatch check --format json --out FILE`, wrote once", "reading --baseline: %w", err)
	}
	known, err := crawler.ReadBaseline(b)
	if err != nil {
		return nil, usagef("a baseline is what a run with --baseline, or `mirrorwatch check --format json --out FILE`, wrote once", "--baseline %q: %w", name, err)
	}
	return known, nil
}

// authorities returns the pool for --ca-file: the system's and those of the file. nil is the system's alone.
func authorities(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef("--ca-file takes a file with certificates in PEM form", "reading --ca-file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usagef("it must hold at least one block -----BEGIN CERTIFICATE-----", "--ca-file %q holds no certificate in PEM form", name)
	}
	return pool, nil
}

// canaries are those of the settings; by default two well-known names, or none when every mirror is pinned or an IP
// literal, since then nothing outside is asked at all.
func canaries(site survey.Site, set sites.Settings) []string {
	if set.NoCanaries {
		return nil
	}
	if len(set.Canaries) > 0 {
		return set.Canaries
	}
	for _, m := range site.Mirrors {
		_, pinned := set.ConnectTo[hostPort(m)]
		if !pinned && !isLiteral(m) {
			return defaultCanaries
		}
	}
	return nil
}

func hostPort(m survey.Mirror) string {
	u, err := url.Parse(m.Origin())
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[m.Scheme]
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

func isLiteral(m survey.Mirror) bool {
	u, err := url.Parse(m.Origin())
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil
}

// literals are the IP literals that the operator named, host and port: the guard lets exactly those through.
func literals(site survey.Site, canaries []string) map[string]bool {
	named := map[string]bool{}
	add := func(m survey.Mirror) {
		if isLiteral(m) {
			named[hostPort(m)] = true
		}
	}
	for _, m := range site.Mirrors {
		add(m)
	}
	for _, c := range canaries {
		if u, err := url.Parse(c); err == nil {
			add(survey.Mirror{Scheme: u.Scheme, Host: survey.MirrorName(u)})
		}
	}
	return named
}

func userAgent(set sites.Settings, f *sites.File) string {
	if set.UserAgent != "" {
		return set.UserAgent
	}
	ua := "mirrorwatch/" + version() + " (checks whether mirrors serve an article"
	if f != nil && f.Contact != "" {
		ua += "; contact " + f.Contact
	}
	return ua + ")"
}

func headers(list []sites.HeaderField) func(survey.Host) []survey.Field {
	if len(list) == 0 {
		return nil
	}
	return func(h survey.Host) []survey.Field {
		var out []survey.Field
		for _, f := range list {
			if f.Host == h {
				out = append(out, survey.Field{Name: f.Name, Value: f.Value.Reveal()})
			}
		}
		return out
	}
}

// proxyNotice says that the proxy variables of the environment are not followed: a proxy is a vantage, and must be named.
func proxyNotice(getenv func(string) string) []string {
	for _, n := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if getenv(n) != "" {
			return []string{n + " is set in the environment and ignored: name a proxy with --proxy, or as a vantage"}
		}
	}
	return nil
}

// recorder hands exchanges to the archive of a job that is open by the time the first one is sealed.
type recorder struct{ j *job }

func (r recorder) Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error) {
	return r.j.open.archive.Put(ctx, e)
}

// run opens the data folder, carries out the plan, and publishes what came of it.
func (j *job) run(ctx context.Context, w *world) (err error) {
	run := survey.Run{ID: newRunID(j.started), Started: j.started.UTC(), Tool: survey.Tool{Name: "mirrorwatch", Version: version()},
		RulesVersion: j.rules.Version(), NextDue: j.nextDue, VoidVantages: []string{}, Vantages: j.vantages()}
	operator := ""
	if j.file != nil {
		operator = j.file.Operator
	}
	if err := guardSpace(j.dir, j.file); err != nil {
		return err
	}
	j.open, err = openToWrite(j.dir, archive.Options{Epoch: j.epoch(), Tool: run.Tool, Run: run.ID, Operator: operator, UserAgent: userAgent(j.settings, j.file),
		Now: w.now, Wait: j.settings.Wait, Log: j.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.open.close()) }()

	ctx, stop, release := newStopper(ctx, j.settings.Grace, j.settings.MaxTime, func(s string) { fmt.Fprintln(w.stderr, s) })
	defer release()
	j.open.trustImports = j.trustImports
	if err := j.open.beginRun(ctx, run); err != nil {
		return err
	}
	articles, visits := 0, 0
	for _, sp := range j.plan.Sites {
		articles += len(sp.Articles)
		visits += len(sp.Articles) * len(sp.Site.Mirrors) * len(sp.Vantages)
	}
	p := newProgress(w, articles, visits, j.quiet, j.verbose)
	asked := 0
	cfg := crawler.Config{Sink: j.open.archive, Memory: memory{j.open}, Rules: j.rules, Run: run, Now: w.now, Log: j.log,
		PerHost: j.settings.PerHost, Delay: j.settings.Delay, Concurrency: j.settings.Concurrency,
		ConfirmCandidates: j.settings.ConfirmCandidates,
		Progress: p.watch(func(e crawler.Event) {
			if e.Kind != "request" {
				return
			}
			if asked++; j.settings.MaxURLs > 0 && asked >= j.settings.MaxURLs {
				stop.stop("max_urls")
			}
		}),
		Done: func(ctx context.Context, d crawler.Done) error {
			return j.open.saveCheck(ctx, history.SavedCheck{Run: run.ID, At: d.At, Check: d.Check, Snapshots: d.Snapshots, Links: d.Links, Candidates: d.Candidates,
				Maintenance: j.inMaintenance(d.Check, d.At)})
		},
	}
	cfg.Crawled = func(ctx context.Context, c crawler.Crawled) error {
		return j.open.saveCrawl(ctx, history.SavedCrawl{Run: run.ID, Site: c.Site, At: c.At, Links: c.Links, Crawls: c.Crawls})
	}
	if j.settings.Delay == 0 {
		cfg.Delay = -1
	}
	shown := p.start()
	doc, err := crawler.Run(ctx, cfg, j.plan, stop.asStop())
	shown()
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if err := j.open.finishRun(ctx, doc); err != nil {
		return err
	}
	if doc.Sync, err = j.open.history.Syncs(ctx, run.ID); err != nil { // with what never arrived
		return err
	}
	if doc.Crawls, err = j.open.history.Crawls(ctx, run.ID); err != nil { // the newest, when this run made none
		return err
	}
	if err := j.afterRun(ctx, w, &doc); err != nil {
		return err
	}
	if err := j.open.history.Sync(ctx); err != nil { // before anything of it is told
		return err
	}
	if j.file != nil {
		j.open.replayURL = j.file.ReplayURL
	}
	page, err := publish(ctx, j.open, w.now(), time.Time{})
	if err != nil {
		return err
	}
	if err := j.print(w, doc, page); err != nil {
		return err
	}
	if err := j.writeBaselines(w, doc); err != nil {
		return err
	}
	return j.outcome(w, doc)
}

// writeBaselines writes the baseline files that were named and not there. A run that was cut short or is void knows too
// little.
func (j *job) writeBaselines(w *world, doc survey.Report) error {
	if !doc.Run.Complete || doc.Run.Void {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(j.baselines)) {
		b, n, err := crawler.Baselined(doc.Links, j.baselines[name])
		if err != nil {
			return err
		}
		if err := writeWhole(name, func(f *os.File) error { _, err := f.Write(b); return err }); err != nil {
			return err
		}
		if !j.quiet {
			fmt.Fprintf(w.stderr, "mirrorwatch: %s is new: it holds the %d broken links of this run, which are known from now on\n", visible(name), n)
		}
	}
	return nil
}

// epoch is retention.epoch of the sites file, "" the default.
func (j *job) epoch() string {
	if j.file == nil {
		return ""
	}
	return j.file.Retention.Epoch
}

// vantages are those of the plan as they may be recorded: without the proxies' credentials.
func (j *job) vantages() []survey.Vantage {
	var out []survey.Vantage
	for _, sp := range j.plan.Sites {
		for _, v := range sp.Vantages {
			if slices.ContainsFunc(out, func(o survey.Vantage) bool { return o.Name == v.Name }) {
				continue
			}
			v.Proxy = sites.ProxyWithoutUser(sites.NewSecret(v.Proxy))
			out = append(out, v)
		}
	}
	return out
}

// print writes the document in the format asked for, to stdout or --out.
func (j *job) print(w *world, doc survey.Report, page string) error {
	if j.settings.Out != "" && j.settings.Out != "-" {
		return writeWhole(j.settings.Out, func(f *os.File) error { return writeAs(f, j.settings.Format, doc, j.dir, page, reports.TextOptions{}) })
	}
	if j.settings.QuietUnlessChanged && !changed(doc) {
		return nil
	}
	return writeAs(w.stdout, j.settings.Format, doc, j.dir, page, w.look())
}

// newlyBroken reports whether a link broke that was not known to be broken before the run.
func newlyBroken(doc survey.Report) bool {
	for _, l := range doc.Links {
		for _, res := range l.Results {
			if res.State == crawler.LinkBroken && !res.FirstSeen.Before(doc.Run.Started) {
				return true
			}
		}
	}
	return false
}

// changed reports whether the run saw a state begin, or a mirror other than up for the first time.
func changed(doc survey.Report) bool {
	if doc.Run.Void || doc.Run.StoppedBy != nil || newlyBroken(doc) {
		return true
	}
	for _, a := range doc.Articles {
		for _, f := range a.Mirrors {
			if begins(f) && f.State != survey.Unknown {
				return true
			}
		}
	}
	return false
}

// begins reports whether the mirror came into its state in this very run.
func begins(f survey.Finding) bool { return f.Since != nil && f.Since.Equal(f.ObservedAt) }

// newlyUnknown reports whether a mirror can no longer be judged that could be before.
func newlyUnknown(doc survey.Report) bool {
	for _, a := range doc.Articles {
		for _, f := range a.Mirrors {
			if f.State == survey.Unknown && begins(f) {
				return true
			}
		}
	}
	return false
}

// outcome turns the document into the exit status.
func (j *job) outcome(w *world, doc survey.Report) error {
	s := doc.Summary
	something := s.Degraded > 0 || s.Down > 0 || newlyBroken(doc)
	switch {
	case doc.Run.Void:
		return &status{code: exitVoid, err: errors.New("the run is void: " + *doc.Run.VoidReason), hint: "nothing was judged; check this machine's network, or choose other canaries with --canary"}
	case something && j.settings.ExitZero:
		return nil
	case something:
		return found()
	case doc.Run.StoppedBy != nil:
		return &status{code: exitVoid, err: fmt.Errorf("the run was cut short (%s) and found nothing", *doc.Run.StoppedBy)}
	case s.Unknown > 0:
		if !j.settings.QuietUnlessChanged || newlyUnknown(doc) {
			fmt.Fprintf(w.stderr, "mirrorwatch: %d of %d mirrors could not be judged; the reasons stand beside them\n", s.Unknown, s.Mirrors)
		}
		if j.settings.Strict {
			return found()
		}
	}
	return nil
}
