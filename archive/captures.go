package archive

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/crawler/survey"
)

// Captures returns the captures of a URL in order of time, at most limit of them (0: all), the newest ones when there are
// more. It takes what Find with exact takes: scheme, host and port are compared, redirects to the URL itself are left out.
func (a *Archive) Captures(ctx context.Context, url string, limit int) ([]survey.Capture, error) {
	x, err := a.index.view(ctx)
	if err != nil {
		return nil, err
	}
	url = targetURI(url)
	origin, key := cdxj.Origin(url), cdxj.SURT(url)
	var all []survey.Capture
	seen := map[survey.RecordID]bool{}
	for l, err := range x.Exact(url) {
		if err != nil {
			if errors.Is(err, cdxj.ErrLine) {
				continue // verify names it
			}
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := survey.RecordID(l.RecordID)
		if l.Extra[extraKind] != "" || l.Method != "" || seen[id] || cdxj.Origin(l.URL) != origin {
			continue
		}
		if len(l.Status) == 3 && l.Status[0] == '3' && l.Location != "" && cdxj.SURT(l.Location) == key && cdxj.Origin(l.Location) == origin {
			continue
		}
		if id != "" {
			seen[id] = true
		}
		all = append(all, captureOf(&l))
	}
	slices.SortStableFunc(all, func(x, y survey.Capture) int {
		return cmp.Or(x.Date.Compare(y.Date), cmp.Compare(x.RecordID, y.RecordID))
	})
	if limit > 0 && len(all) > limit {
		all = all[len(all)-limit:]
	}
	return all, nil
}
