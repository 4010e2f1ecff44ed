package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Bounds of an assembled snapshot.
const (
	maxAssembled = 500
	maxMarkup    = 16 << 20
)

// Assemble makes a snapshot of a page that has none, such as an imported one: the capture of the URL that is closest to at
// (zero: the newest one), and of each requisite that page and style sheets name the capture closest to the page. It is not
// kept. ErrNotFound: there is no whole answer of that URL.
func (a *Archive) Assemble(ctx context.Context, rawURL string, at time.Time) (survey.Snapshot, error) {
	all, err := a.Captures(ctx, rawURL, 0)
	if err != nil {
		return survey.Snapshot{}, err
	}
	best := -1
	for i, c := range all {
		if c.Status != 200 && c.Status != 0 {
			continue
		}
		if best < 0 || at.IsZero() || c.Date.Sub(at).Abs() < all[best].Date.Sub(at).Abs() {
			best = i
		}
	}
	if best < 0 {
		return survey.Snapshot{}, fmt.Errorf("%q: %w", rawURL, ErrNotFound)
	}
	page := all[best]
	s := survey.Snapshot{ID: page.RecordID, Article: survey.Article{URL: rawURL}, URL: page.URL, Time: page.Date, Page: page}
	if u, err := url.Parse(page.URL); err == nil {
		s.Mirror = survey.MirrorName(u)
	}
	seen := map[string]bool{page.URL: true}
	sheets, err := a.requisites(ctx, &s, page, page.URL, seen, isHTML(page.Type))
	if err != nil {
		return s, err
	}
	for len(sheets) > 0 && len(seen) < maxAssembled {
		next := sheets[0]
		more, err := a.requisites(ctx, &s, next, next.URL, seen, false)
		if err != nil {
			return s, err
		}
		sheets = append(sheets[1:], more...)
	}
	return s, nil
}

// requisites adds what a page or sheet names and returns the style sheets among it.
func (a *Archive) requisites(ctx context.Context, s *survey.Snapshot, c survey.Capture, base string, seen map[string]bool, page bool) ([]survey.Capture, error) {
	res, err := a.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer res.Payload.Close()
	b, err := io.ReadAll(res.Decoded(maxMarkup))
	if err != nil && len(b) == 0 {
		return nil, nil // what cannot be read names nothing
	}
	var named []string
	take := func(p markup.Place) bool {
		if p.Kind.Requisite() {
			if abs, ok := markup.Resolve(base, p.URL); ok && !seen[abs] && len(seen) < maxAssembled {
				seen[abs] = true
				named = append(named, abs)
			}
		}
		return true
	}
	if page {
		if href := markup.Base(b); href != "" {
			if abs, ok := markup.Resolve(base, href); ok {
				base = abs
			}
		}
		markup.HTML(b, take)
	} else if c.Type == "text/css" {
		markup.CSS(b, take)
	}
	var sheets []survey.Capture
	for _, u := range named {
		r, err := a.Find(ctx, u, s.Time, true)
		switch {
		case errors.Is(err, ErrNotFound):
			s.LeftOut = append(s.LeftOut, survey.LeftOut{URL: u, Why: "not_archived"})
			continue
		case err != nil:
			return nil, err
		}
		s.Requisites = append(s.Requisites, survey.Requisite{URL: u, Capture: r})
		if r.Type == "text/css" {
			sheets = append(sheets, r)
		}
	}
	return sheets, nil
}
