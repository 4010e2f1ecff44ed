package archive

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/archive/cdxj"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Extra members of our index lines, beside those that every CDXJ has.
const (
	extraKind    = "kind"    // of notes: exchange, snapshot, check, run; absent on captures
	extraFlags   = "flags"   // unverified, imported, user_agent, separated by blanks
	extraCut     = "trunc"   // WARC-Truncated
	extraType    = "type"    // of revisits: the media type
	extraArticle = "article" // of snapshots: Article.URL
	extraMirror  = "mirror"  // of snapshots
	extraVantage = "vantage" // of snapshots
	extraPage    = "page"    // of a snapshot's line under its article: the page's URL
	extraWas     = "was"     // of a copy with a new record ID: the one before it (W19)
	extraAt      = "at"      // of a snapshot: its time with milliseconds, 17 digits
)

const mimeRevisit = "warc/revisit"

// recordLine makes the index line of a response, revisit or resource, without place and flags.
func recordLine(h *warc.Header, status int, mediaType string) *cdxj.Line {
	target := h.TargetURI()
	l := &cdxj.Line{
		Key: cdxj.SURT(target), Timestamp: survey.Timestamp17(h.Date()), URL: target, MIME: mediaType,
		Digest: h.Get(warc.FieldPayloadDigest), RecordID: h.ID(), Extra: map[string]string{},
	}
	if status > 0 {
		l.Status = strconv.Itoa(status)
	}
	if h.Type() == warc.Revisit {
		l.MIME = mimeRevisit
		if mediaType != "" {
			l.Extra[extraType] = mediaType
		}
	} else if t := h.Get(warc.FieldTruncated); t != "" {
		l.Extra[extraCut] = t
	}
	if was := warc.Bare(h.Get(fieldPrevious)); was != "" {
		l.Extra[extraWas] = was
	}
	if l.MIME == "" {
		l.MIME = "unk"
	}
	return l
}

// parse17 reads 14 or 17 digits of UTC time.
func parse17(s string) (time.Time, error) {
	if len(s) == 17 {
		return time.Parse("20060102150405.000", s[:14]+"."+s[14:])
	}
	return time.Parse("20060102150405", s)
}

// setHTTP adds what the message says: the method where it is not GET, the redirect's target.
func setHTTP(l *cdxj.Line, method, location string) {
	if method != "" && method != "GET" {
		l.Method = method
	}
	if strings.HasPrefix(l.Status, "3") && location != "" {
		if to, ok := markup.Resolve(l.URL, location); ok {
			l.Location = to
		}
	}
}

func setFlags(l *cdxj.Line, flags []string) {
	for _, f := range flags {
		if have := l.Extra[extraFlags]; have == "" {
			l.Extra[extraFlags] = f
		} else if !hasFlag(l, f) {
			l.Extra[extraFlags] = have + " " + f
		}
	}
}

func hasFlag(l *cdxj.Line, flag string) bool {
	return slices.Contains(strings.Fields(l.Extra[extraFlags]), flag)
}

// noteLine makes the index line of a metadata record of ours. body is looked into for snapshots only.
func noteLine(h *warc.Header, kind survey.NoteKind, body []byte) *cdxj.Line {
	l := recordLine(h, 0, "application/json")
	l.Extra[extraKind] = shortKind(kind)
	if kind == survey.NoteSnapshot {
		var s survey.Snapshot
		if json.Unmarshal(body, &s) == nil {
			for name, v := range map[string]string{
				extraArticle: s.Article.URL, extraMirror: string(s.Mirror), extraVantage: s.Vantage,
				extraPage: s.URL, extraAt: survey.Timestamp17(s.Time),
			} {
				if v != "" {
					l.Extra[name] = v
				}
			}
		}
	}
	return l
}

// shortKind turns "mirrorwatch/snapshot/1" into "snapshot".
func shortKind(k survey.NoteKind) string {
	s := strings.TrimPrefix(string(k), "mirrorwatch/")
	s, _, _ = strings.Cut(s, "/")
	return fieldText(s)
}

// articleLine is the second line of a snapshot: under the key of its article, when the page has another.
func articleLine(l *cdxj.Line) (cdxj.Line, bool) {
	article := l.Extra[extraArticle]
	if l.Extra[extraKind] != "snapshot" || article == "" {
		return cdxj.Line{}, false
	}
	key := cdxj.SURT(article)
	if key == l.Key {
		return cdxj.Line{}, false
	}
	m := *l
	m.Key, m.URL = key, article
	return m, true
}

// isOrigin says whether later equal payloads of the epoch may be revisits of the line's record.
func isOrigin(l *cdxj.Line) bool {
	return l.Extra[extraKind] == "" && l.Method == "" && l.MIME != mimeRevisit && l.Status == "200" && l.Extra[extraCut] == "" &&
		!hasFlag(l, flagUnverified) && !hasFlag(l, flagImported) && l.RecordID != "" &&
		strings.HasPrefix(l.Digest, "sha256:") && l.Digest != emptyDigest
}

// lineTime is the WARC-Date of the line's record.
func lineTime(l *cdxj.Line) time.Time {
	t, _ := parse17(l.Timestamp)
	return t
}

// isRecord reports whether the line's record has this ID, or had it before it was copied.
func isRecord(l *cdxj.Line, id string) bool {
	return l.RecordID == id || l.Extra[extraWas] == id && id != ""
}

func captureOf(l *cdxj.Line) survey.Capture {
	c := survey.Capture{
		RecordID: survey.RecordID(l.RecordID), File: l.Filename, Offset: l.Offset, Length: l.Length, URL: l.URL,
		Payload: survey.Digest(l.Digest), Date: lineTime(l), Type: l.MIME, Truncated: l.Extra[extraCut],
		Unverified: hasFlag(l, flagUnverified), Imported: hasFlag(l, flagImported),
	}
	if l.MIME == mimeRevisit {
		c.Revisit, c.Type = true, l.Extra[extraType]
	}
	if c.Type == "unk" {
		c.Type = ""
	}
	c.Status, _ = strconv.Atoi(l.Status)
	return c
}
