package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/net/netutil"

	"mirrorwatch/archive/replay"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/reports"
)

func serveCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "show the report, and archived articles in a browser",
		Description: "The report and the archive are two origins: archived pages must have nothing in common with pages of ours.\n" +
			"/go/URL on the report's origin leads to a mirror that serves the article, else to its archived copy; behind a reverse\n" +
			"proxy these are links to publish. Nothing is written. A signal stops it; answers under way are finished.\n\n" + statuses("does not happen"),
		Flags: append(append([]cli.Flag{
			&cli.StringFlag{Name: "listen", Value: defaultListen, Usage: "`ADDRESS` of the report"},
			&cli.StringFlag{Name: "replay-listen", Value: defaultReplayListen, Usage: "`ADDRESS` of the archived pages"},
			&cli.StringFlag{Name: "public-url", Usage: "the `URL` that the report is also reached under"},
			&cli.StringFlag{Name: "replay-url", Usage: "the `URL` that the archived pages are also reached under"},
			&cli.StringFlag{Name: "sites", Usage: "the sites `FILE` (default " + defaultSites + ")"},
			dataFlag(),
		}, settingFlags("connect_to", "ca_file", "allow_private", "user_agent")...), verbosityFlags()...),
		Action: func(c *cli.Context) error { return serve(c, w) },
	}
}

// Bounds of a server: what slow or many clients can hold.
const (
	maxConnections = 1024
	headTime       = 10 * time.Second
	idleTime       = time.Minute
	stallTime      = 30 * time.Second // a write that makes no progress
	stopTime       = 10 * time.Second // answers under way at a signal
	maxRequestHead = 64 << 10
)

func serve(c *cli.Context, w *world) (err error) {
	if c.NArg() > 0 {
		return usagef("name the data folder with --data", "serve: unexpected argument %q", c.Args().First())
	}
	file, err := loadSites(c, w)
	if err != nil {
		return err
	}
	public, err := originFlag(c, "public-url", file, func(f *sites.File) string { return f.PublicURL })
	if err != nil {
		return err
	}
	replayURL, err := originFlag(c, "replay-url", file, func(f *sites.File) string { return f.ReplayURL })
	if err != nil {
		return err
	}
	if public != "" && hostOfURL(public) == hostOfURL(replayURL) {
		return usagef("give the replay a host name of its own", "serve: --public-url and --replay-url are one origin: archived pages would share it with the report")
	}
	log := logger(c, w.stderr)
	d, err := openToRead(dataFolder(c, w, file), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	f, err := newFinder(c, w, d, file)
	if err != nil {
		return err
	}
	defer f.close()

	// Signals are caught before anything is said, so that a service manager may stop what it sees running.
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	front, err := listen(ctx, c, "listen")
	if err != nil {
		return err
	}
	defer front.Close()
	pages, err := listen(ctx, c, "replay-listen")
	if err != nil {
		return err
	}
	defer pages.Close()
	base := replayURL
	if base == "" {
		base = "http://" + pages.Addr().String()
	}
	archived, err := replay.New(replay.Config{Archive: d.archive, Judgements: judgements{d.history}, URL: replayURL, Log: log})
	if err != nil {
		return usagef("give an origin such as https://archive.example.org", "serve: --replay-url: %w", err)
	}
	shown := &reportServer{dir: filepath.Join(d.dir, "report"), finder: f, replay: base, hosts: map[string]bool{}, log: log, open: d, now: w.now}
	if public != "" {
		shown.hosts[hostOfURL(public)] = true
	}
	if !c.Bool("quiet") {
		fmt.Fprintf(w.stdout, "report   http://%s/\nreplay   http://%s/\n", front.Addr(), pages.Addr())
	}
	return serveAll(ctx, stop, log, map[net.Listener]http.Handler{front: shown, pages: archived})
}

func hostOfURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

func listen(ctx context.Context, c *cli.Context, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.String(flag))
	if err != nil {
		return nil, usagef("choose another address with --"+flag, "serve: cannot listen on %q: %w", c.String(flag), err)
	}
	return netutil.LimitListener(l, maxConnections), nil
}

// serveAll serves until ctx ends or a server fails, then lets answers under way finish for a while.
func serveAll(ctx context.Context, stop func(), log *slog.Logger, handlers map[net.Listener]http.Handler) error {
	failed := make(chan error, len(handlers))
	var servers []*http.Server
	for l, h := range handlers {
		s := &http.Server{Handler: patient{h}, ReadHeaderTimeout: headTime, ReadTimeout: stallTime, IdleTimeout: idleTime, MaxHeaderBytes: maxRequestHead,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo)}
		servers = append(servers, s)
		go func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop() // a second signal ends the process
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	}
	return err
}

// patient gives a client time as long as it goes on reading, whatever the size of the answer, and drops one that stopped.
type patient struct{ next http.Handler }

func (p patient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pw := &patientWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	pw.extend()
	p.next.ServeHTTP(pw, r)
	pw.extend() // for what is buffered still
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time
}

func (p *patientWriter) extend() {
	if now := time.Now(); p.until.Sub(now) < stallTime-time.Second {
		p.until = now.Add(stallTime)
		_ = p.control.SetWriteDeadline(p.until)
	}
}

func (p *patientWriter) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// reportServer is the report's origin: the files of DIR/report, and /go/.
type reportServer struct {
	dir    string
	finder *finder
	replay string // origin of the archived pages
	hosts  map[string]bool
	log    *slog.Logger
	open   *data
	now    func() time.Time

	mu    sync.Mutex
	shown reports.View
	read  time.Time // when shown was read
}

// reportPolicy is the pages' own policy, and nobody frames them.
var reportPolicy = reports.Policy + "; frame-ancestors 'none'"

// freshFor is how long a view of the history is shown before it is read again.
const freshFor = 10 * time.Second

// view is what history holds now, its snapshots leading to the replay; ok is false when there is no run yet.
func (s *reportServer) view(ctx context.Context) (v reports.View, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !s.read.IsZero() && now.Sub(s.read) < freshFor && now.After(s.read) {
		return s.shown, true, nil
	}
	doc, ok, err := s.open.history.Last(ctx)
	if err != nil || !ok {
		return v, false, err
	}
	if v, err = view(ctx, s.open, doc, now, time.Time{}); err != nil {
		return v, false, err
	}
	v.ReplayURL = s.replay
	s.shown, s.read = v, now
	return v, true, nil
}

// live answers with a page, or the same as data, made from history as it is now; done is false when that is none of the
// report's files, so that the folder is looked at.
func (s *reportServer) live(w http.ResponseWriter, r *http.Request, name string) (done bool) {
	if name == "metrics" {
		name = "metrics.prom"
	}
	kind := map[string]string{".html": "text/html; charset=utf-8", ".prom": "text/plain; version=0.0.4; charset=utf-8", ".atom": "application/atom+xml; charset=utf-8",
		".json": "application/json", ".csv": "text/csv; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	if kind == "" {
		return false
	}
	v, ok, err := s.view(r.Context())
	if err != nil || !ok {
		if err != nil && r.Context().Err() == nil {
			s.log.Error("report", "name", name, "err", err)
		}
		return false
	}
	for f := range reports.Files(v) {
		if f.Name != name {
			continue
		}
		var b bytes.Buffer
		if err := f.Write(&b); err != nil {
			s.log.Error("report", "name", name, "err", err)
			return false
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
		if r.Method != http.MethodHead {
			_, _ = w.Write(b.Bytes())
		}
		return true
	}
	return false
}

func (s *reportServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", reportPolicy)
	switch {
	case !replay.HostAccepted(r, s.hosts):
		http.Error(w, "This server does not answer under that name.", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD.", http.StatusMethodNotAllowed)
	default:
		target := r.RequestURI
		if !strings.HasPrefix(target, "/") {
			target = r.URL.RequestURI()
		}
		if raw, ok := strings.CutPrefix(target, "/go/"); ok {
			s.lead(w, r, raw)
			return
		}
		s.report(w, r)
	}
}

// lead redirects to where an article can be read. The address comes from history, or leads to the replay; what was asked
// for is only looked up.
func (s *reportServer) lead(w http.ResponseWriter, r *http.Request, raw string) {
	w.Header().Set("Cache-Control", "no-store")
	address, ok := replay.Repair(raw)
	if !ok || len(raw) > 8<<10 {
		http.Error(w, "This is no web address.", http.StatusBadRequest)
		return
	}
	live, archived, err := s.finder.find(r.Context(), address)
	switch {
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler)
	case err != nil:
		s.log.Error("/go/", "url", address, "err", err)
		http.Error(w, "History could not be read.", http.StatusInternalServerError)
	case live != "":
		w.Header().Set("Location", live)
		w.WriteHeader(http.StatusFound)
	case archived != "":
		w.Header().Set("Location", s.replay+archived)
		w.WriteHeader(http.StatusFound)
	default:
		http.Error(w, "Nothing is known of this article.", http.StatusNotFound)
	}
}

// report serves regular files below DIR/report that are not hidden; nothing leads out of it.
func (s *reportServer) report(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	for _, part := range strings.Split(name, "/") {
		if strings.HasPrefix(part, ".") {
			http.NotFound(w, r)
			return
		}
	}
	if s.open != nil && s.live(w, r, name) {
		return
	}
	root, err := os.OpenRoot(s.dir)
	if err == nil {
		defer root.Close()
		var f *os.File
		if f, err = root.Open(filepath.FromSlash(name)); err == nil {
			defer f.Close()
			if st, serr := f.Stat(); serr == nil && st.Mode().IsRegular() {
				w.Header().Set("Cache-Control", "no-cache")
				http.ServeContent(w, r, name, st.ModTime(), f)
				return
			}
			err = fs.ErrNotExist
		}
	}
	if name == "index.html" && errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "There is no report yet; `mirrorwatch check` or `mirrorwatch report` writes it.", http.StatusNotFound)
		return
	}
	http.NotFound(w, r)
}
