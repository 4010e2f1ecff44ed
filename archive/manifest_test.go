package archive

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// I5: lines are put into the manifest where they belong by name; a manifest that somebody sorted otherwise or added to, and
// one that names the file already, are written anew with the same result.
func TestManifestLines(t *testing.T) {
	sum := func(c string) string { return strings.Repeat(c, 64) }
	line := func(c, name string) string { return sum(c) + "  archive/" + name + "\n" }
	for _, c := range []struct{ name, old, want string }{
		{"none yet", "", line("b", "b.warc.gz")},
		{"before", line("a", "c.warc.gz"), line("b", "b.warc.gz") + line("a", "c.warc.gz")},
		{"behind", line("a", "a.warc.gz"), line("a", "a.warc.gz") + line("b", "b.warc.gz")},
		{"between", line("a", "a.warc.gz") + line("c", "c.warc.gz"), line("a", "a.warc.gz") + line("b", "b.warc.gz") + line("c", "c.warc.gz")},
		{"replaced", line("a", "b.warc.gz"), line("b", "b.warc.gz")},
		{"not sorted", line("c", "c.warc.gz") + line("a", "a.warc.gz"), line("a", "a.warc.gz") + line("b", "b.warc.gz") + line("c", "c.warc.gz")},
		{"no last line end", strings.TrimSuffix(line("a", "a.warc.gz"), "\n"), line("a", "a.warc.gz") + line("b", "b.warc.gz")},
		{"other lines", "hello\n" + line("a", "a.warc.gz"), line("a", "a.warc.gz") + line("b", "b.warc.gz")},
		{"other folders", sum("d") + "  elsewhere/x\n" + line("a", "a.warc.gz"), line("a", "a.warc.gz") + line("b", "b.warc.gz")},
	} {
		dir := t.TempDir()
		a := writer(t, dir, Options{Run: "r"})
		path := filepath.Join(dir, manifestFile)
		os.WriteFile(path, []byte(c.old), 0o666)
		if err := a.addToManifest(map[string]string{"b.warc.gz": sum("b")}); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
	// In whatever order lines come, the text is what writing all of them at once gives.
	dir := t.TempDir()
	a := writer(t, dir, Options{Run: "r"})
	all := map[string]string{}
	for range 60 {
		add := map[string]string{}
		for range 1 + rand.IntN(3) {
			add[string([]byte{byte('a' + rand.IntN(26)), byte('a' + rand.IntN(26))})+".warc.gz"] = sum("e")
		}
		maps.Copy(all, add)
		if err := a.addToManifest(add); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, n := range slices.Sorted(maps.Keys(all)) {
			want += line("e", n)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, manifestFile)); string(got) != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
	}
}
