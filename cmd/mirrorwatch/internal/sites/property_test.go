package sites

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// every is a file with every key there is.
func every() string {
	src := strings.Replace(whole, "  - {exec: [/usr/local/bin/page-me], on: [down]}\n",
		"  - {exec: [/usr/local/bin/page-me], on: [down], quiet: [{cron: \"0 22 * * *\", for: 9h, zone: Europe/London}]}\n"+
			"  - {url: \"${MAIL_URL}\", digest: {cron: \"0 8 * * *\", zone: UTC}}\n", 1)
	src = strings.Replace(src, "  tor: {proxy:", "  home: {source: 192.0.2.1}\n  tor: {proxy:", 1)
	return src
}

// place is one key of a file and its value.
type place struct {
	path  string // keys joined by dots
	key   *ast.MappingValueNode
	named bool // the user gives the names here
}

func places(t *testing.T, src string) []place {
	t.Helper()
	tree, err := parser.ParseBytes([]byte(src), 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []place
	var walk func(n ast.Node, path string)
	walk = func(n ast.Node, path string) {
		switch n := n.(type) {
		case *ast.MappingNode:
			for _, v := range n.Values {
				walk(v, path)
			}
		case *ast.MappingValueNode:
			k := n.Key.GetToken().Value
			all = append(all, place{strings.TrimPrefix(path+"."+k, "."), n, path == ".vantages" || path == ".sites" || strings.HasSuffix(path, ".status")})
			walk(n.Value, path+"."+k)
		case *ast.SequenceNode:
			for _, v := range n.Values {
				walk(v, path)
			}
		}
	}
	walk(tree.Docs[0].Body, "")
	return all
}

// replaced puts text in the place of old, which begins at line and column.
func replaced(t *testing.T, src string, line, column int, old, text string) string {
	t.Helper()
	lines := strings.Split(src, "\n")
	r := []rune(lines[line-1])
	if !strings.HasPrefix(string(r[column-1:]), old) {
		t.Fatalf("line %d, column %d: %q does not begin with %q", line, column, string(r[column-1:]), old)
	}
	lines[line-1] = string(r[:column-1]) + text + strings.TrimPrefix(string(r[column-1:]), old)
	return strings.Join(lines, "\n")
}

func pointed(t *testing.T, what, src string, line, column int) {
	t.Helper()
	_, err := Parse("m.yaml", []byte(src), env)
	var e *Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("%s: no mistake is seen: %v", what, err)
	case e.Line != line || column > 0 && e.Column != column:
		t.Errorf("%s: points at %d:%d, the mistake is at %d:%d\n%v", what, e.Line, e.Column, line, column, err)
	case !strings.Contains(err.Error(), "^") || strings.Contains(err.Error(), "hunter2"):
		t.Errorf("%s: no caret, or a secret: %v", what, err)
	}
}

// TestEveryMistakeAtEveryKey makes each kind of mistake at every key of a file that has all of them: the key mistyped, given
// twice, with a value of another shape, with a control character. Each is pointed at, with line and caret.
func TestEveryMistakeAtEveryKey(t *testing.T) {
	src := every()
	if _, err := Parse("m.yaml", []byte(src), env); err != nil {
		t.Fatal(err)
	}
	seen, tried := map[string]bool{}, 0
	for _, p := range places(t, src) {
		seen[p.path[strings.LastIndexByte(p.path, '.')+1:]] = true
		tok := p.key.Key.GetToken()
		line, column := tok.Position.Line, tok.Position.Column
		if !p.named {
			pointed(t, p.path+" mistyped", replaced(t, src, line, column, tok.Value, tok.Value+"q"), line, column)
		}
		if line == p.key.Value.GetToken().Position.Line && p.path != "sites" && !p.named {
			// Twice in a flow mapping, or on the next line of a block.
			text := strings.Split(src, "\n")[line-1]
			if strings.Contains(text[:column-1], "{") {
				pointed(t, p.path+" twice", replaced(t, src, line, column, tok.Value, tok.Value+": 1, "+tok.Value), line, column+len([]rune(tok.Value))+5)
			} else {
				lines := strings.Split(src, "\n")
				pointed(t, p.path+" twice", strings.Join(slices.Insert(lines, line, text), "\n"), line+1, column)
			}
		}
		v := p.key.Value.GetToken()
		switch n := p.key.Value.(type) {
		case *ast.StringNode, *ast.IntegerNode:
			old := v.Value
			if o := strings.TrimSpace(v.Origin); strings.HasPrefix(o, `"`) {
				old = o
			}
			vl, vc := v.Position.Line, v.Position.Column
			if p.path == "sites.presstv.paths.to" { // any text is one
				continue
			}
			for kind, text := range map[string]string{"a mapping": "{a: {b: c}}", "a list in a list": "[[a]]", "a control character": `"a\u0001b"`, "nothing": `""`} {
				switch {
				case kind == "nothing" && p.path == "data":
					continue // the folder of the file
				case kind == "a control character" && (p.path == "data" || strings.HasSuffix(p.path, "paths.from") || strings.HasSuffix(p.path, "rules.match") || strings.HasSuffix(p.path, "baseline")):
					continue // names of files and expressions may hold one
				}
				pointed(t, p.path+" is "+kind, replaced(t, src, vl, vc, old, text), vl, 0)
				tried++
			}
		case *ast.NullNode, *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
			_ = n
		}
		tried += 2
	}
	for _, k := range append(append(append([]string{}, topKeys...), siteKeys...), noticeKeys...) {
		if !seen[k] {
			t.Errorf("key %q is not tried", k)
		}
	}
	if tried < 200 {
		t.Errorf("%d mistakes only", tried)
	}
}

// TestEveryMistakeInEverySetting does so for every key that is a flag too, in defaults and in a site.
func TestEveryMistakeInEverySetting(t *testing.T) {
	for _, k := range Keys() {
		def := findSetting(k)
		for _, text := range []string{"{a: {b: c}}", "[[a]]", `{"a": b}`, "&x a", "!!int a"} {
			src := fmt.Sprintf("sites:\n  s:\n    primary: https://a.example\n    %s: %s\n", k, text)
			if !def.run && k != "mirrors" && k != "rules" {
				pointed(t, "site: "+k+": "+text, src, 4, 0)
			}
			if k != "mirrors" {
				pointed(t, "defaults: "+k+": "+text, fmt.Sprintf("sites: {s: {primary: https://a.example}}\ndefaults:\n  %s: %s\n", k, text), 3, 0)
			}
		}
		if k != "mirrors" {
			pointed(t, k+" mistyped", fmt.Sprintf("sites: {s: {primary: https://a.example}}\ndefaults:\n  %sq: 1\n", k), 3, 3)
		}
	}
}
