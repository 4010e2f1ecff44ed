package main

import (
	"context"
	"errors"
	"net/url"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/crawler"
	"mirrorwatch/crawler/survey"
)

// importedVersions are imported pages of the article's address on its primary, newest first: references only when the
// operator trusts imports (DESIGN section 2).
func (m memory) importedVersions(ctx context.Context, a survey.Article, limit int) ([]crawler.Version, error) {
	u, err := url.Parse(a.URL)
	if err != nil || !m.trustImports {
		return nil, err
	}
	all, err := m.archive.Captures(ctx, a.URL, 0)
	if err != nil {
		return nil, err
	}
	var out []crawler.Version
	for i := len(all) - 1; i >= 0 && len(out) < limit; i-- {
		c := all[i]
		if !c.Imported || c.Unverified || c.Truncated != "" || c.Status != 200 {
			continue
		}
		s, err := m.archive.Assemble(ctx, a.URL, c.Date)
		if errors.Is(err, archive.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.Article, s.Mirror, s.Time = a, survey.MirrorName(u), c.Date.Truncate(time.Millisecond)
		out = append(out, crawler.Version{Snapshot: s, Admissible: true})
	}
	return out, nil
}
