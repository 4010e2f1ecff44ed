package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// allowed is the import table: which of our packages each package may import. A package that is not here may not exist.
var allowed = map[string][]string{
	"crawler/survey":           {},
	"crawler/message":          {"crawler/survey"},
	"crawler/markup":           {"crawler/survey"},
	"crawler/content":          {"crawler/survey", "crawler/message", "crawler/markup"},
	"crawler/compare":          {"crawler/survey", "crawler/content"},
	"crawler/internal/perturb": {"crawler/survey"},
	"crawler/incident":         {"crawler/survey"},
	"crawler/wire":             {"crawler/survey", "crawler/message"},
	"crawler": {"crawler/survey", "crawler/message", "crawler/markup", "crawler/content", "crawler/compare", "crawler/incident",
		"crawler/wire"},
	"archive/warc":                    {},
	"archive/cdxj":                    {},
	"archive/wacz":                    {"archive/warc", "archive/cdxj"},
	"archive/internal/durable":        {},
	"archive/internal/durable/faulty": {"archive/internal/durable"},
	"archive": {"crawler/survey", "crawler/message", "crawler/markup", "crawler/content", "archive/warc", "archive/cdxj", "archive/wacz",
		"archive/internal/durable"},
	"archive/replay":                 {"archive", "crawler/survey", "crawler/message", "crawler/markup"},
	"archive/history":                {"crawler/survey"},
	"reports":                        {"crawler/survey"},
	"reports/notify":                 {"crawler/survey"},
	"cmd/mirrorwatch/internal/sites": {"crawler/survey"},
	"cmd/mirrorwatch/internal/demo":  {"crawler/survey"},
	"cmd/mirrorwatch":                {"*"},
}

// homes says which package an outside library lives in; its sub-packages live there too.
var homes = map[string][]string{
	"github.com/gocolly/colly/v2":            {"crawler"},
	"github.com/PuerkitoBio/goquery":         {"crawler/content"},
	"github.com/urfave/cli/v2":               {"cmd/mirrorwatch"},
	"modernc.org/sqlite":                     {"archive/history"},
	"database/sql":                           {"archive/history"},
	"github.com/miekg/dns":                   {"crawler/wire"},
	"github.com/goccy/go-yaml":               {"cmd/mirrorwatch/internal/sites"},
	"github.com/nicholas-fedor/shoutrrr":     {"reports/notify"},
	"github.com/go-co-op/gocron/v2":          {"cmd/mirrorwatch"},
	"codeberg.org/readeck/go-readability/v2": {"crawler/content"},
}

func TestImportTable(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		seen[pkg] = true
		may, ok := allowed[pkg]
		if !ok {
			t.Errorf("package %s is not in the import table", pkg)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(imp, "mirrorwatch/"); ok {
				if !slices.Contains(may, ours) && !slices.Contains(may, "*") {
					t.Errorf("%s: %s may not import %s", name, pkg, ours)
				}
				continue
			}
			if pkg == "crawler/survey" && strings.Contains(strings.Split(imp, "/")[0], ".") {
				t.Errorf("%s: the vocabulary imports only the standard library, not %s", name, imp)
			}
			for lib, home := range homes {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(home, pkg) {
					t.Errorf("%s: %s has its home in %s", name, lib, strings.Join(home, ", "))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < 10 {
		t.Errorf("the walk found %d packages only: it looked in the wrong place", len(seen))
	}
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var extra []string
	for _, e := range entries {
		switch name := e.Name(); name {
		case "cmd", "crawler", "archive", "reports", "go.mod", "go.sum", "README.md", "mirrorwatch-demo", "mirrorwatch-data", "mirrorwatch":
		default:
			if !strings.HasPrefix(name, ".") {
				extra = append(extra, path.Base(name))
			}
		}
	}
	sort.Strings(extra)
	if len(extra) > 0 {
		t.Errorf("beyond the prescribed top level: %s", strings.Join(extra, ", "))
	}
}
