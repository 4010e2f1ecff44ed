package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mirrorwatch/reports"
)

func TestDiffWords(t *testing.T) {
	cases := []struct {
		name, a, b string
		want       []change
	}{
		{"equal", "one two three", "one two three", []change{}},
		{"spaces only", "one two  three", "one\ntwo three", []change{}},
		{"one word", "pay rise of 6 percent and more", "pay rise of 9 percent and more",
			[]change{{Reference: "6", Candidate: "9", At: [2]int{12, 12}, Before: "pay rise of", After: "percent and more"}}},
		{"appended", "one two", "one two three", []change{{Candidate: "three", At: [2]int{7, 8}, Before: "one two"}}},
		{"removed at the start", "zero one two", "one two", []change{{Reference: "zero", At: [2]int{0, 0}, After: "one two"}}},
		{"no spaces", "今天天气好", "今天天气坏", []change{{Reference: "好", Candidate: "坏", At: [2]int{12, 12}, Before: "今天天气"}}},
		{"empty", "", "word", []change{{Candidate: "word"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			pieces := diffWords(c.a, c.b)
			if d := cmp.Diff(c.want, changesOf(pieces)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			whole(t, c.a, c.b, pieces)
		})
	}
}

// whole holds that the pieces are the texts: the first from what is equal or deleted, the words of the second likewise.
func whole(t *testing.T, a, b string, pieces []piece) {
	t.Helper()
	var x, y strings.Builder
	for _, p := range pieces {
		if p.op != "insert" {
			x.WriteString(p.text)
		}
		if p.op != "delete" {
			y.WriteString(p.text + " ")
		}
	}
	if x.String() != a {
		t.Errorf("the first text came out as %q, not %q", x.String(), a)
	}
	if got, want := strings.Join(strings.Fields(y.String()), ""), strings.Join(strings.Fields(b), ""); got != want {
		t.Errorf("the second text came out as %q, not %q", got, want)
	}
}

func FuzzDiffWords(f *testing.F) {
	f.Add("one two three", "one 2 three")
	f.Add("", " ")
	f.Add("今天 天气", "\xff\xfe a\u00a0b")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 4000 {
			return
		}
		pieces := diffWords(a, b)
		whole(t, a, b, pieces)
		changesOf(pieces)
	})
}

func TestDiffIsEscaped(t *testing.T) {
	doc := diffDocument{Article: `https://x.example/<script>`, A: diffSide{Mirror: "a"}, B: diffSide{Mirror: "b"}}
	pieces := diffWords("<b>old</b> text \x1b[31m", "<script>alert(1)</script> text \u202e")
	doc.Changes = changesOf(pieces)
	var page, text bytes.Buffer
	if err := reports.DiffHTML(&page, doc.page(pieces)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script>") || strings.Contains(page.String(), "<b>") || strings.ContainsAny(page.String(), "\x1b\u202e") {
		t.Errorf("markup of a page got through:\n%s", page.String())
	}
	if err := diffText(&text, doc, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\u202e") {
		t.Errorf("control characters got through: %q", text.String())
	}
}
