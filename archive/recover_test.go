package archive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

var long = flag.Bool("long", false, "kill a writer 200 times in place of 4")

func verifyOK(t testing.TB, dir string) VerifyReport {
	t.Helper()
	r, err := Verify(t.Context(), dir, VerifyOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		for _, f := range r.Findings {
			t.Errorf("verify: %v", f)
		}
		t.FailNow()
	}
	return r
}

// I3: whatever octet a crash cut the file at, the whole records before it are kept and the rest is in a side file.
func TestRecoverAtEveryOctet(t *testing.T) {
	src := t.TempDir()
	a := writer(t, src, Options{Run: "r"})
	var captures []survey.Capture
	for i := range 2 {
		captures = append(captures, must[survey.Capture](t)(a.Put(t.Context(), exchange(t, fmt.Sprintf("http://a.test/%d", i), page(fmt.Sprint("body ", i))))))
	}
	if err := a.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	const name = "202611-r-00001.warc.gz"
	whole, err := os.ReadFile(filepath.Join(src, "archive", name+".open"))
	if err != nil {
		t.Fatal(err)
	}
	step := 1
	if !*long {
		step = 61
	}
	for n := 0; n <= len(whole); n += step {
		dir := t.TempDir()
		os.MkdirAll(filepath.Join(dir, "archive"), 0o777)
		os.MkdirAll(filepath.Join(dir, "indexes"), 0o777)
		os.WriteFile(filepath.Join(dir, "archive", name+".open"), whole[:n], 0o666)
		b := writer(t, dir, Options{Run: "later"})
		for i, c := range captures {
			if c.Offset+c.Length > int64(n) {
				continue
			}
			if got := body(t, b, c); got != fmt.Sprint("body ", i) {
				t.Fatalf("cut at %d: capture %d: %q", n, i, got)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		verifyOK(t, dir)
		kept, _ := os.ReadFile(filepath.Join(dir, "archive", name))
		torn, _ := os.ReadFile(filepath.Join(dir, "archive", name+".torn"))
		if !bytes.Equal(append(kept, torn...), whole[:n]) {
			t.Fatalf("cut at %d: %d octets kept, %d torn", n, len(kept), len(torn))
		}
	}
}

// TestMain is also the child that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MIRRORWATCH_TEST_WRITER"); dir != "" {
		writeForever(dir)
		return
	}
	os.Exit(m.Run())
}

func writeForever(dir string) {
	t := &testing.B{}
	a, err := Open(dir, Options{RollOver: 64 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		var captures []survey.Capture
		for j := range 3 {
			text := strings.Repeat(fmt.Sprintf("round %d of %s ", i, a.Run()), 50)
			c, err := a.Put(context.Background(), exchange(t, fmt.Sprintf("http://m%d.test/%d", j, i), page(text)))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			captures = append(captures, c)
		}
		if err := a.Commit(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, c := range captures {
			b, _ := json.Marshal(c)
			out.Write(append(b, '\n'))
		}
		out.Flush()
	}
}

// Issue 4: killed at any moment, every capture that was committed is there and valid after the next Open.
func TestKill(t *testing.T) {
	rounds := 4
	if *long {
		rounds = 200
	}
	dir := t.TempDir()
	var believed []survey.Capture
	for round := 0; round < rounds || len(believed) == 0 && round < 10*rounds; round++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MIRRORWATCH_TEST_WRITER="+dir)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Where nothing was written in time, the machine is slow: it gets longer.
		time.Sleep(time.Duration(30+rand.IntN(120+100*round*(1-min(len(believed), 1)))) * time.Millisecond)
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if errs.Len() > 0 {
			t.Fatal(errs.String())
		}
		for line := range bytes.Lines(out.Bytes()) {
			var c survey.Capture
			if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &c) == nil {
				believed = append(believed, c)
			}
		}
	}
	a := writer(t, dir, Options{Run: "last"})
	for _, c := range believed {
		if got := body(t, a, c); !strings.HasPrefix(got, "round ") {
			t.Fatalf("%v: %q", c, got)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	r := verifyOK(t, dir)
	if len(believed) == 0 || r.Records == 0 {
		t.Fatal("the child wrote nothing")
	}
	t.Logf("%d captures believed, %d records in %d files", len(believed), r.Records, r.Files)
}

// A reader works on a read-only folder beside a dead writer, and an index that is gone costs one file's reading.
func TestVerifyFindsPlantedErrors(t *testing.T) {
	build := func() string {
		dir := t.TempDir()
		a := writer(t, dir, Options{Run: "r"})
		c := must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://a.test/", page(strings.Repeat("body ", 100)))))
		must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://b.test/", page(strings.Repeat("body ", 100)))))
		snapshot(t, a, "http://a.test/", "a.test", testTime, c)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := build()
	if r := verifyOK(t, dir); r.Records != 8 || r.Snapshots != 1 || len(r.Findings) != 0 {
		t.Errorf("report: %+v", r)
	}
	const name = "202611-r-00001"
	edit := func(file string, change func([]byte) []byte) func(string) {
		return func(dir string) {
			p := filepath.Join(dir, file)
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if b = change(b); b == nil {
				os.Remove(p)
			} else {
				os.WriteFile(p, b, 0o666)
			}
		}
	}
	for _, test := range []struct {
		kind  string
		plant func(dir string)
	}{
		{"damaged-member", edit("archive/"+name+".warc.gz", func(b []byte) []byte { b[len(b)/2] ^= 4; return b })},
		{"cut-member", edit("archive/"+name+".warc.gz", func(b []byte) []byte { return b[:len(b)-5] })},
		{FoundManifest, edit("archive/"+name+".warc.gz", func(b []byte) []byte { return append(b, 0) })},
		{FoundMissingFile, edit("archive/"+name+".warc.gz", func([]byte) []byte { return nil })},
		{FoundUnlisted, edit(manifestFile, func([]byte) []byte { return nil })},
		{FoundNoIndex, edit("indexes/"+name+".cdxj", func([]byte) []byte { return nil })},
		{FoundIndexLine, edit("indexes/"+name+".cdxj", func(b []byte) []byte { return append([]byte("junk\n"), b...) })},
		{FoundIndexOrder, edit("indexes/"+name+".cdxj", func(b []byte) []byte {
			i := bytes.IndexByte(b, '\n') + 1
			return append(bytes.Clone(b[i:]), b[:i]...)
		})},
		{FoundIndexLacks, edit("indexes/"+name+".cdxj", func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] })},
		{FoundIndexExtra, edit("indexes/"+name+".cdxj", func(b []byte) []byte { return bytes.Replace(b, []byte("text/html"), []byte("text/hxml"), 1) })},
		{FoundFormat, edit("format", func(b []byte) []byte { return []byte("x") })},
	} {
		dir := build()
		test.plant(dir)
		r, err := Verify(t.Context(), dir, VerifyOptions{Full: true})
		if err != nil {
			t.Errorf("%s: %v", test.kind, err)
			continue
		}
		found := false
		for _, f := range r.Findings {
			found = found || f.Kind == test.kind
		}
		if !found || r.OK() {
			t.Errorf("%s: not found: %v", test.kind, r.Findings)
		}
	}
}

// I4: every octet of a sealed file that is changed is found.
func TestVerifyFindsEveryFlip(t *testing.T) {
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	must[survey.Capture](t)(a.Put(t.Context(), exchange(t, "http://a.test/", page("body"))))
	a.Close()
	path := filepath.Join(dir, "archive", "202611-r-00001.warc.gz")
	whole, _ := os.ReadFile(path)
	step := 1
	if !*long {
		step = 41
	}
	for i := 0; i < len(whole); i += step {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		os.WriteFile(path, b, 0o666)
		r, err := Verify(t.Context(), dir, VerifyOptions{Full: true})
		if err != nil || r.OK() {
			t.Fatalf("octet %d flipped: %v %v", i, r.Findings, err)
		}
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir, s := restorable(t)
	filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		mode := os.FileMode(0o444)
		if info.IsDir() {
			mode = 0o555
			t.Cleanup(func() { os.Chmod(p, 0o777) })
		}
		return os.Chmod(p, mode)
	})
	a := reader(t, dir)
	got, err := a.Snapshots(t.Context(), Query{URL: s.URL})
	if err != nil || len(got) != 1 || !strings.Contains(body(t, a, got[0].Requisites[2].Capture), "PNG") {
		t.Errorf("%v %v", got, err)
	}
	if _, err := a.Put(t.Context(), exchange(t, "http://a.test/", page("x"))); !errors.Is(err, ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
}
