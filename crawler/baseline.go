package crawler

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mirrorwatch/crawler/survey"
)

// Baseline is a list of broken links that are known and accepted: they are reported with the date they were first seen and
// are not new. Its nil value holds none.
type Baseline struct {
	by map[baselineKey]time.Time
}

type baselineKey struct {
	target string
	mirror survey.Host
}

// BaselineSchema names the JSON of a baseline file.
const BaselineSchema = "mirrorwatch/baseline/1"

type baselineEntry struct {
	Target    string      `json:"target"`
	Mirror    survey.Host `json:"mirror"`
	FirstSeen time.Time   `json:"first_seen"`
}

// ReadBaseline reads a baseline file. A report of `check --format json` serves too: its broken links are taken.
func ReadBaseline(data []byte) (*Baseline, error) {
	var f struct {
		Schema string          `json:"schema"`
		Links  json.RawMessage `json:"links"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("reading baseline: %w", err)
	}
	b := &Baseline{by: map[baselineKey]time.Time{}}
	switch f.Schema {
	case BaselineSchema:
		var entries []baselineEntry
		if err := json.Unmarshal(f.Links, &entries); err != nil {
			return nil, fmt.Errorf("reading baseline: %w", err)
		}
		for _, e := range entries {
			b.by[baselineKey{e.Target, e.Mirror}] = e.FirstSeen
		}
	case survey.Schema:
		var links []survey.Link
		if err := json.Unmarshal(f.Links, &links); err != nil {
			return nil, fmt.Errorf("reading baseline: %w", err)
		}
		b.take(links)
	default:
		return nil, fmt.Errorf("reading baseline: schema %q is neither %s nor %s", f.Schema, BaselineSchema, survey.Schema)
	}
	return b, nil
}

// Baselined is the baseline file of what is broken on the hosts, and how many entries it has. A later run that reads it reports
// these links with their dates, and as known.
func Baselined(links []survey.Link, hosts []survey.Host) ([]byte, int, error) {
	entries := []baselineEntry{}
	for _, l := range links {
		for _, res := range l.Results {
			if res.State == LinkBroken && slices.Contains(hosts, res.Mirror) {
				entries = append(entries, baselineEntry{l.Target, res.Mirror, res.FirstSeen})
			}
		}
	}
	b, err := json.MarshalIndent(struct {
		Schema string          `json:"schema"`
		Links  []baselineEntry `json:"links"`
	}{BaselineSchema, entries}, "", "  ")
	return append(b, '\n'), len(entries), err
}

// Len is how many broken links it holds.
func (b *Baseline) Len() int { return len(b.by) }

func (b *Baseline) take(links []survey.Link) {
	for _, l := range links {
		for _, res := range l.Results {
			if res.State != LinkBroken {
				continue
			}
			key := baselineKey{l.Target, res.Mirror}
			if old, ok := b.by[key]; !ok || res.FirstSeen.Before(old) {
				b.by[key] = res.FirstSeen
			}
		}
	}
}

// known says since when the link is known to be broken on the mirror; an entry without a mirror holds for all.
func (b *Baseline) known(target string, m survey.Host) (time.Time, bool) {
	if b == nil {
		return time.Time{}, false
	}
	t, ok := b.by[baselineKey{target, m}]
	if !ok {
		t, ok = b.by[baselineKey{target, ""}]
	}
	return t, ok
}
