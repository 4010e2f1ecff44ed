package warc

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files again")

// testdata returns the folder of other people's archives, or skips.
func testdata(t testing.TB) string {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = "../../../shared/data"
	} else if !filepath.IsAbs(dir) {
		dir = filepath.Join("../..", dir)
	}
	dir = filepath.Join(dir, "warc")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: other people's archives are not here (MIRRORWATCH_TESTDATA): %v", err)
	}
	return dir
}

// summarise reads a whole archive and describes records and findings, a line each.
func summarise(r *Reader) string {
	var out strings.Builder
	for {
		rec, err := r.Next()
		if err != nil {
			for _, f := range r.Findings() {
				fmt.Fprintf(&out, "  ! %s\n", f)
			}
			if err != io.EOF {
				fmt.Fprintf(&out, "error: %v\n", err)
			}
			return out.String()
		}
		n, berr := io.Copy(io.Discard, rec.Block)
		rec.Close()
		fmt.Fprintf(&out, "%d+%d %s %s %s %d octets", rec.Offset, rec.Length, rec.Header.Version(), rec.Header.Type(), rec.Header.TargetURI(), n)
		if rec.Inside != 0 {
			fmt.Fprintf(&out, " inside %d", rec.Inside)
		}
		if berr != nil {
			fmt.Fprintf(&out, " %v", berr)
		}
		out.WriteByte('\n')
		for _, f := range r.Findings() {
			fmt.Fprintf(&out, "  ! %s\n", f)
		}
	}
}

var lengths = regexp.MustCompile(`(?m)\+\d+`)

// Every file at hand is read with exactly the records and findings of the committed table, also octet by octet from a pipe.
func TestOtherPeoplesArchives(t *testing.T) {
	names, _ := filepath.Glob(filepath.Join(testdata(t), "*"))
	if len(names) < 10 {
		t.Fatalf("only %d files", len(names))
	}
	var all bytes.Buffer
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		if strings.HasPrefix(base, "LICENSE") {
			continue
		}
		got := summarise(NewReader(bytes.NewReader(data), ReaderOptions{Digests: true}))
		fmt.Fprintf(&all, "== %s\n%s", base, got)
		slow := summarise(NewReader(oneByte{bytes.NewReader(data)}, ReaderOptions{Digests: true}))
		if strings.Contains(got, KindSharedMember) {
			// Where such a record ends in the file depends on how much was inflated at once.
			got, slow = lengths.ReplaceAllString(got, ""), lengths.ReplaceAllString(slow, "")
		}
		if slow != got {
			t.Errorf("%s reads differently from a pipe:\n%s\ninstead of\n%s", base, slow, got)
		}
	}
	golden(t, "testdata/archives.golden", all.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, got) {
		return
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			t.Fatalf("%s line %d:\n-%s\n+%s", name, i+1, a, b)
		}
	}
}

// oneByte is a pipe that hands out one octet at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.r.Read(p[:1])
}
