package main

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// Words of two texts, held against each other.

// piece is a run of words that both texts have, or that only one has.
type piece struct {
	op   string // "equal", "delete" (only in the first), "insert" (only in the second)
	text string // as it stands, with its white space
	at   int    // octets into the first text (insert: into the second)
}

// maxDiffWords bounds what is compared: as many words as there are code points to stand for them.
const maxDiffWords = 500_000

// splitWords cuts a text into words, each with the white space behind it; letters of scripts without spaces are words of
// their own.
func splitWords(s string) []string {
	var out []string
	start, space := 0, false
	for i, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case i > start && (space || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)):
			out = append(out, s[start:i])
			start = i
			if len(out) == maxDiffWords {
				return append(out, s[start:])
			}
		}
		space = false
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

// diffWords compares two texts word by word; how words are spaced makes no difference. Every octet of both texts is in one of
// the pieces, in order; of equal runs the first text's.
func diffWords(a, b string) []piece {
	x, y := splitWords(a), splitWords(b)
	interned := map[string]rune{}
	next := rune(0)
	intern := func(words []string) []rune {
		out := make([]rune, len(words))
		for i, w := range words {
			w = strings.TrimSpace(w)
			r, ok := interned[w]
			if !ok {
				if next++; next == 0xd800 {
					next = 0xe000 // no surrogates: they do not survive being text
				}
				if next == utf8.RuneError {
					next++
				}
				r = next
				interned[w] = r
			}
			out[i] = r
		}
		return out
	}
	dmp := diffmatchpatch.New()
	dmp.DiffTimeout = 5 * time.Second // then the rest counts as replaced
	var out []piece
	i, j, at, bt := 0, 0, 0, 0
	take := func(words []string, k *int, n int) string {
		s := strings.Join(words[*k:*k+n], "")
		*k += n
		return s
	}
	for _, d := range dmp.DiffMainRunes(intern(x), intern(y), false) {
		n := utf8.RuneCountInString(d.Text)
		switch d.Type {
		case diffmatchpatch.DiffEqual:
			s := take(x, &i, n)
			out = append(out, piece{"equal", s, at})
			at += len(s)
			bt += len(take(y, &j, n))
		case diffmatchpatch.DiffDelete:
			s := take(x, &i, n)
			out = append(out, piece{"delete", s, at})
			at += len(s)
		case diffmatchpatch.DiffInsert:
			s := take(y, &j, n)
			out = append(out, piece{"insert", s, bt})
			bt += len(s)
		}
	}
	return out
}

// change is one place where the texts differ.
type change struct {
	Reference string `json:"reference"`
	Candidate string `json:"candidate"`
	At        [2]int `json:"at"` // octets into the two texts
	Before    string `json:"before"`
	After     string `json:"after"`
}

// changesOf gathers neighbouring pieces into changes, each with a few words around it.
func changesOf(pieces []piece) []change {
	out := []change{}
	a, b := 0, 0
	for i := 0; i < len(pieces); i++ {
		if pieces[i].op == "equal" {
			a, b = a+len(pieces[i].text), b+len(pieces[i].text)
			continue
		}
		c := change{At: [2]int{a, b}}
		if i > 0 {
			c.Before = lastWords(pieces[i-1].text, 8)
		}
		for ; i < len(pieces) && pieces[i].op != "equal"; i++ {
			if pieces[i].op == "delete" {
				c.Reference += pieces[i].text
				c.At[0] = min(c.At[0], pieces[i].at)
				a = pieces[i].at + len(pieces[i].text)
			} else {
				c.Candidate += pieces[i].text
				c.At[1] = pieces[i].at
				b = pieces[i].at + len(pieces[i].text)
			}
		}
		if i < len(pieces) {
			c.After = firstWords(pieces[i].text, 8)
			i--
		}
		c.Reference, c.Candidate = strings.TrimSpace(c.Reference), strings.TrimSpace(c.Candidate)
		out = append(out, c)
	}
	return out
}

func firstWords(s string, n int) string {
	w := splitWords(s)
	return strings.TrimSpace(strings.Join(w[:min(n, len(w))], ""))
}

func lastWords(s string, n int) string {
	w := splitWords(s)
	return strings.TrimSpace(strings.Join(w[max(0, len(w)-n):], ""))
}
