package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mirrorwatch/archive"
	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/demo"
	"mirrorwatch/crawler/survey"
)

func TestMain(m *testing.M) {
	if os.Getenv("MIRRORWATCH_AS_COMMAND") == "1" {
		main()
	}
	testscript.Main(m, map[string]func(){"mirrorwatch": main})
}

// TestScripts runs the command as its users do; the servers are those of the demo.
//
//	status N COMMAND...   runs the command and wants the exit status; any: found something or not
//	world                 starts the demo's servers; sets ARTICLE, CA_FILE, PIN_PRIMARY, PIN_MIRROR, PIN_ALTERED, PIN_DENIED, PINS
//	jsonpath FILE PATH WANT   compares one value of a JSON file, keys and indexes joined by dots
//	jsonsame FILE FILE PATH   wants the same value at PATH in both files, and not null
//	warcs DIR             npm's warcio and gzip read every WARC of the data folder and count what verify counts
//	ago DAYS N ARGS...    runs the command in this process with a clock that is DAYS behind, and wants the status N
//	restoreall DIR OUT [BEFORE]  restores every snapshot that is listed into OUT; with BEFORE, each must be what is there
//	ports VAR...          sets each variable to a free port
//	fetch FILE URL [HOST] gets a URL into FILE: status, header, body; redirects are not followed
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Setenv("HOME", e.WorkDir)
			e.Values[papersKey{}] = &papers{by: map[string]*paper{}}
			return nil
		},
		Cmds: withSites(map[string]func(*testscript.TestScript, bool, []string){
			"status": statusCmd, "world": worldCmd, "jsonpath": jsonpathCmd, "jsonsame": jsonsameCmd, "warcs": warcsCmd, "lockdata": lockCmd, "ports": portsCmd, "ago": agoCmd, "restoreall": restoreAllCmd, "fetch": fetchCmd,
		}),
		UpdateScripts: *update,
	})
}

func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want := -1
	if args[0] != "any" {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		want = n
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want >= 0 && got != want || want < 0 && got != exitOK && got != exitFound {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func worldCmd(ts *testscript.TestScript, _ bool, _ []string) {
	w, err := demo.Start(context.Background())
	ts.Check(err)
	ts.Defer(func() { _ = w.Close() })
	ca := ts.MkAbs("authority.pem")
	ts.Check(os.WriteFile(ca, w.CAPEM, 0o644))
	ts.Setenv("CA_FILE", ca)
	ts.Setenv("ARTICLE", w.Article)
	var pins []string
	for from, to := range w.ConnectTo {
		pins = append(pins, from+":"+to)
		host, _, _ := strings.Cut(from, ":")
		for name, h := range map[string]string{"PIN_PRIMARY": "www.presstv.com", "PIN_MIRROR": "www.presstv.co.uk", "PIN_ALTERED": "altered.presstv.example", "PIN_DENIED": "denied.presstv.example", "PIN_REFUSED": "refused.presstv.example"} {
			if h == host {
				ts.Setenv(name, from+":"+to)
			}
		}
	}
	ts.Setenv("PINS", strings.Join(pins, " "))
}

// jsonValue is the value at a path of keys and indexes, as JSON.
func jsonValue(ts *testscript.TestScript, file, path string) string {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &v))
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[key]; !ok {
				ts.Fatalf("there is no %q in %s", key, path)
			}
		case []any:
			if key == "len" {
				v = float64(len(x))
				continue
			}
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("%s: %d entries only", path, len(x))
			}
			v = x[i]
		default:
			ts.Fatalf("%s: nothing below %v", path, v)
		}
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	return strings.Trim(string(b), `"`)
}

func agoCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: ago DAYS STATUS args...")
	}
	days, err := strconv.Atoi(args[0])
	ts.Check(err)
	var out, errs bytes.Buffer
	code := execute(context.Background(), append([]string{"mirrorwatch"}, args[2:]...), world{stdout: &out, stderr: &errs, getenv: ts.Getenv, environ: func() []string { return nil },
		now: func() time.Time { return time.Now().AddDate(0, 0, -days) }})
	ts.Logf("%s%s", out.String(), errs.String())
	if strconv.Itoa(code) != args[1] {
		ts.Fatalf("exit status %d, want %s", code, args[1])
	}
}

func restoreAllCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: restoreall DIR OUT [BEFORE]")
	}
	dir, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(to, 0o777))
	d, err := openToRead(dir, nil)
	ts.Check(err)
	defer func() { ts.Check(d.close()) }()
	rows, err := d.history.Snapshots(context.Background(), history.SnapshotQuery{Limit: 1000})
	ts.Check(err)
	if len(rows) == 0 {
		ts.Fatalf("no snapshot is listed")
	}
	for _, r := range rows {
		name := strings.TrimPrefix(string(r.ID), "urn:uuid:")
		var out, errs bytes.Buffer
		code := execute(context.Background(), []string{"mirrorwatch", "restore", r.Article, "--data", dir, "--at", r.Time.Format(time.RFC3339Nano), "--mirror", string(r.Mirror), "--vantage", r.Vantage,
			"--any", "--as", "raw", "--to", filepath.Join(to, name)}, world{stdout: &out, stderr: &errs, getenv: ts.Getenv, environ: func() []string { return nil }, now: time.Now})
		if code != exitOK {
			ts.Fatalf("restoring %s of %s: status %d: %s%s", r.Name, r.Mirror, code, out.String(), errs.String())
		}
		got, err := os.ReadFile(filepath.Join(to, name))
		ts.Check(err)
		if len(got) == 0 {
			ts.Fatalf("%s of %s is empty", r.Name, r.Mirror)
		}
		if len(args) > 2 {
			want, err := os.ReadFile(filepath.Join(ts.MkAbs(args[2]), name))
			ts.Check(err)
			if !bytes.Equal(got, want) {
				ts.Fatalf("%s of %s is not what it was", r.Name, r.Mirror)
			}
		}
	}
	ts.Logf("%d snapshots are listed, each restored", len(rows))
}

func jsonpathCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jsonpath FILE PATH WANT")
	}
	if got := jsonValue(ts, args[0], args[1]); (got == args[2]) == neg {
		ts.Fatalf("%s is %s, want %s (not: %v)", args[1], got, args[2], neg)
	}
}

func jsonsameCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: jsonsame FILE FILE PATH")
	}
	if a, b := jsonValue(ts, args[0], args[2]), jsonValue(ts, args[1], args[2]); a != b || a == "null" {
		ts.Fatalf("%s is %s in %s and %s in %s", args[2], a, args[0], b, args[1])
	}
}

// warcio returns npm's warcio, or "" when it is not there; with CI=true it must be.
func warcio(ts *testscript.TestScript) string {
	if dir := os.Getenv("MIRRORWATCH_NODE_MODULES"); dir != "" {
		if p := filepath.Join(dir, ".bin", "warcio"); exists(p) {
			return p
		}
	}
	if p, err := exec.LookPath("warcio"); err == nil {
		return p
	}
	if os.Getenv("CI") == "true" {
		ts.Fatalf("npm's warcio is missing; .ci/run installs it")
	}
	return ""
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

func warcsCmd(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "archive", "*.warc.gz"))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no WARC in %s", args[0])
	}
	tool, total := warcio(ts), 0
	for _, f := range files {
		if out, err := exec.Command("gzip", "-t", f).CombinedOutput(); err != nil {
			ts.Fatalf("gzip -t %s: %v: %s", f, err, out)
		}
		if tool == "" {
			continue
		}
		out, err := exec.Command(tool, "index", f).Output()
		if err != nil {
			ts.Fatalf("warcio index %s: %v", f, err)
		}
		total += bytes.Count(out, []byte("\n"))
		if _, err := exec.Command(tool, "cdx-index", "--format", "cdxj", f).Output(); err != nil {
			ts.Fatalf("warcio cdx-index %s: %v", f, err)
		}
	}
	if tool == "" {
		ts.Logf("SKIPPED: npm's warcio is not installed, so nobody else read these files")
		return
	}
	ts.Check(ts.Exec("mirrorwatch", "verify", "--data", args[0], "--format", "json"))
	var v struct{ Records int }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	if v.Records != total {
		ts.Fatalf("warcio counts %d records, verify %d", total, v.Records)
	}
}

// lockCmd holds the data folder's lock until the script ends, as a run would.
func lockCmd(ts *testscript.TestScript, _ bool, args []string) {
	d, err := openToWrite(ts.MkAbs(args[0]), lockOptions())
	ts.Check(err)
	ts.Defer(func() { _ = d.close() })
}

func lockOptions() archive.Options {
	return archive.Options{Run: newRunID(time.Now()), Tool: survey.Tool{Name: "mirrorwatch", Version: "test"}}
}

// command is the command as a process of its own, for tests that send signals.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "MIRRORWATCH_AS_COMMAND=1", "NO_COLOR=1")
	return cmd
}
