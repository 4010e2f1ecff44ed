package cdxj

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// collect gathers a look-up.
func collect(t testing.TB, seq iter.Seq2[Line, error]) []Line {
	t.Helper()
	var all []Line
	for l, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

var hosts = []string{"a.com", "www.a.com", "b.a.com", "a.com:8080", "a-b.com", "aa.com", "a.co", "c.b.a.com", "192.0.2.1"}

// randomLine makes lines that share keys often, some long beyond a block.
func randomLine(rng *rand.Rand) Line {
	url := []string{"http://", "https://"}[rng.IntN(2)] + hosts[rng.IntN(len(hosts))] + "/" + strings.Repeat("p/", rng.IntN(3)) + fmt.Sprint(rng.IntN(4))
	if rng.IntN(60) == 0 {
		url += "?" + strings.Repeat("long", 1+rng.IntN(6000))
	}
	l := Line{Key: SURT(url), URL: url, Timestamp: Timestamp(time.Date(2026, 1, 1, 0, 0, rng.IntN(40), rng.IntN(2)*rng.IntN(1000)*1e6, time.UTC)),
		Status: "200", Filename: fmt.Sprintf("%d.warc.gz", rng.IntN(9)), Offset: int64(rng.IntN(1e6))}
	if rng.IntN(4) == 0 {
		l.Status, l.Location = "301", "https"+url[strings.IndexByte(url, ':'):]
	}
	return l
}

func memFile(lines []Line) *File {
	b := AppendSorted(nil, lines)
	return NewFile(bytes.NewReader(b), int64(len(b)))
}

// Every look-up equals a linear scan, on random sets spread over several files (C3, C4, C7).
func TestLookupEqualsLinearScan(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		files := make([]*File, 1+rng.IntN(4))
		var all []Line
		for i := range files {
			var lines []Line
			for range rng.IntN(200) {
				lines = append(lines, randomLine(rng))
			}
			files[i] = memFile(lines)
			if n, err := files[i].Check(); err != nil || n > len(lines) {
				t.Fatal(n, err)
			}
			// Equal lines of one file are one.
			all = append(all, collect(t, New(files[i]).All())...)
		}
		row := func(l Line) string { return string(l.Append(nil)) }
		slices.SortStableFunc(all, func(a, b Line) int { return cmp.Compare(row(a), row(b)) })
		x := New(files...)
		same := func(what string, got, want []Line) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("seed %d, %s: %d lines, want %d", seed, what, len(got), len(want))
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("seed %d, %s: line %d is %s, want %s", seed, what, i, row(got[i]), row(want[i]))
				}
			}
		}
		where := func(keep func(Line) bool) (some []Line) {
			for _, l := range all {
				if keep(l) {
					some = append(some, l)
				}
			}
			return some
		}
		same("all", collect(t, x.All()), all)
		for range 20 {
			probe := randomLine(rng)
			same("exact "+probe.URL, collect(t, x.Exact(probe.URL)), where(func(l Line) bool { return l.Key == probe.Key }))
			url := probe.URL[:strings.IndexByte(probe.URL[8:], '/')+9]
			same("prefix "+url, collect(t, x.Prefix(url)), where(func(l Line) bool { return strings.HasPrefix(l.Key, SURT(url)) }))
			host := hosts[rng.IntN(len(hosts))]
			key := hostKey(host)
			same("host "+host, collect(t, x.Host(host)), where(func(l Line) bool { return strings.HasPrefix(l.Key, key+")") }))
			domain := collect(t, x.Domain("a.com"))
			slices.SortStableFunc(domain, func(a, b Line) int { return cmp.Compare(row(a), row(b)) })
			same("domain", domain, where(func(l Line) bool {
				return strings.HasPrefix(l.Key, "com,a)") || strings.HasPrefix(l.Key, "com,a,") || strings.HasPrefix(l.Key, "com,a:")
			}))

			at := time.Date(2026, 1, 1, 0, 0, rng.IntN(44)-2, rng.IntN(1000)*1e6, time.UTC)
			for _, exact := range []bool{false, true} {
				filter := Filter{Exact: exact}
				var want Line
				found := false
				for _, l := range all {
					if l.Key != probe.Key || !filter.takes(Origin(probe.URL), &l) {
						continue
					}
					if d, w := l.Time().Sub(at).Abs(), want.Time().Sub(at).Abs(); !found || d < w || (d == w && l.Time().Before(want.Time())) {
						want, found = l, true
					}
				}
				got, ok, err := x.Closest(probe.URL, at, filter)
				if err != nil || ok != found || !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d: closest to %s of %s, exact %v:\n got %s\nwant %s", seed, at, probe.URL, exact, row(got), row(want))
				}
			}
		}
		var merged bytes.Buffer
		if _, err := Merge(&merged, files...); err != nil {
			t.Fatal(err)
		}
		distinct := slices.CompactFunc(slices.Clone(all), func(a, b Line) bool { return row(a) == row(b) })
		same("merged", collect(t, New(NewFile(bytes.NewReader(merged.Bytes()), int64(merged.Len()))).All()), distinct)
	}
}

// http, https and www share a key; the captures of one never stand for another, and no redirect leads back (C4).
func TestClosestTellsMirrorsApart(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 10, 0, time.UTC)
	line := func(sec int, status, url, location string) Line {
		return Line{Key: SURT(url), Timestamp: Timestamp(at.Add(time.Duration(sec) * time.Second)), URL: url, Status: status, Location: location, Filename: "f"}
	}
	x := New(memFile([]Line{
		line(0, "301", "http://a.com/", "https://a.com/"),
		line(0, "301", "https://a.com/", "https://www.a.com/"),
		line(1, "200", "https://www.a.com/", ""),
		line(-3, "200", "http://a.com/", ""),
		line(3, "200", "http://a.com/", ""),
		line(0, "302", "http://loop.com/x", "http://loop.com/x"),
		line(9, "200", "http://loop.com/x", ""),
	}))
	for _, test := range []struct {
		url   string
		exact bool
		want  string
	}{
		{"http://a.com/", true, "301 http://a.com/"},       // the redirect leads to another origin: replay can follow it
		{"http://a.com/", false, "200 https://www.a.com/"}, // without origins it would lead back here
		{"https://www.a.com:443/", true, "200 https://www.a.com/"},
		{"https://b.com/", true, " "},
		{"http://www.a.com/", true, " "},
		{"http://loop.com/x", true, "200 http://loop.com/x"},
	} {
		got, ok, err := x.Closest(test.url, at, Filter{Exact: test.exact})
		if err != nil || got.Status+" "+got.URL != test.want || ok != (test.want != " ") {
			t.Errorf("%s, exact %v: %s %s, %v", test.url, test.exact, got.Status, got.URL, err)
		}
	}
	// The earlier one on a tie, and what the caller accepts.
	got, _, _ := x.Closest("http://a.com/", at, Filter{Exact: true, Accept: func(l *Line) bool { return l.Status == "200" }})
	if got.Timestamp != "20260101000007" {
		t.Error(got.Timestamp)
	}
}

func TestCheckFindsDisorder(t *testing.T) {
	for in, want := range map[string]error{"b 1 {}\na 1 {}\n": ErrOrder, "a 1 {}\nnonsense\n": ErrLine, "!meta 0 {}\na 1 {}\n\n": ErrOrder, "a 1 {}\nb 1 {}": nil} {
		if _, err := NewFile(strings.NewReader(in), int64(len(in))).Check(); !errors.Is(err, want) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A set loses no line and doubles none, through merges, and when any single write or removal fails.
func TestSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	const n = 22
	per := make([][]Line, n)
	var all []Line
	for i := range per {
		for range 10 {
			l := randomLine(rng)
			l.Filename = fmt.Sprintf("w%02d.warc.gz", i)
			per[i] = append(per[i], l)
		}
		all = append(all, per[i]...)
	}
	want := string(AppendSorted(nil, all))
	dump := func(dir string) string {
		s, err := OpenSet(dir, ".cdxj", SetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := s.Index()
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		return string(AppendSorted(nil, collect(t, x.All())))
	}
	lost := errors.New("power")
	for fail := 0; ; fail++ {
		dir := t.TempDir()
		s, err := OpenSet(dir, ".cdxj", SetOptions{Fanout: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i, lines := range per {
			if err := s.Add(fmt.Sprintf("w%02d.warc.gz", i), lines); err != nil {
				t.Fatal(err)
			}
		}
		ops := 0
		step := func() error {
			if ops++; fail > 0 && ops >= fail {
				return lost
			}
			return nil
		}
		s, _ = OpenSet(dir, ".cdxj", SetOptions{Fanout: 3,
			Write: func(name string, fill func(io.Writer) error) error {
				if err := step(); err != nil {
					return err
				}
				return writeFile(name, fill)
			},
			Remove: func(name string) error {
				if err := step(); err != nil {
					return err
				}
				return os.Remove(name)
			}})
		err = s.Compact()
		if got := dump(dir); got != want {
			t.Fatalf("failing at %d: content differs", fail)
		}
		if fail > 0 && err == nil {
			break
		}
		if fail == 0 && err != nil {
			t.Fatal(err)
		}
		if fail > 0 && !errors.Is(err, lost) {
			t.Fatal(err)
		}
		s, _ = OpenSet(dir, ".cdxj", SetOptions{Fanout: 3})
		if err := s.Compact(); err != nil {
			t.Fatal(err)
		}
		if got := s.Covers(); len(got) != n || got[7] != "w07.warc.gz" {
			t.Fatalf("covers %v", got)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 8 {
			t.Fatalf("%d files are left", len(files))
		}
		if err := s.Drop("w07.warc.gz", "w20.warc.gz"); err != nil {
			t.Fatal(err)
		}
		kept := slices.DeleteFunc(slices.Clone(all), func(l Line) bool { return l.Filename == "w07.warc.gz" || l.Filename == "w20.warc.gz" })
		if dump(dir) != string(AppendSorted(nil, kept)) || len(s.Covers()) != n-2 {
			t.Fatal("dropped lines")
		}
		if fail > 6 {
			fail += 20
		}
	}
}

var lookup5M = flag.Bool("5m", false, "let BenchmarkLookup5M build its index of 5 million lines")

func BenchmarkLookup5M(b *testing.B) {
	n := 200_000
	if *lookup5M {
		n = 5_000_000
	}
	name := filepath.Join(b.TempDir(), "big.cdxj")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	for i := range n {
		url := fmt.Sprintf("https://www.example.com/detail/2026/%08d/some-article-about-something", i)
		l := Line{Key: fmt.Sprintf("com,example)/detail/2026/%08d/some-article-about-something", i), Timestamp: "20260102030405067", URL: url, MIME: "text/html", Status: "200",
			Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Filename: "2026-01-20260102T030405Z-5f2c9a-00001.warc.gz", Offset: int64(i) * 1000, Length: 999}
		if buf = l.Append(buf); len(buf) > 1<<20 || i == n-1 {
			f.Write(buf)
			buf = buf[:0]
		}
	}
	f.Close()
	x, err := Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		found := 0
		for _, err := range x.Exact(fmt.Sprintf("http://example.com/detail/2026/%08d/some-article-about-something", rng.IntN(n))) {
			if err != nil {
				b.Fatal(err)
			}
			found++
		}
		if found != 1 {
			b.Fatal(found)
		}
	}
}

func BenchmarkSURT(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		SURT("https://www.example.com/Detail/2026/01/02/479262/Some-Article?utm_source=x&b=1")
	}
}
