package markup

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Entry is one item of a feed or sitemap. URL is as it stands there, trimmed, not resolved.
type Entry struct {
	URL       string
	ID        string // guid, atom:id
	Title     string
	Published time.Time // zero when absent or unreadable
	Updated   time.Time
	Images    []string
	Lang      string
}

// Bounds on what is read from one document.
const (
	maxEntries = 50_000   // the sitemap protocol's own limit
	maxXML     = 64 << 20 // octets after decompression
	maxField   = 16 << 10
	maxNesting = 64
)

// ErrNotFeed says that the document is neither feed nor sitemap.
var ErrNotFeed = errors.New("neither feed nor sitemap")

// Feed reads RSS 0.9x to 2.0, RSS 1.0 (RDF), Atom and JSON Feed. What was read before a syntax error is returned with the
// error: feeds in the wild are cut and misspelt.
func Feed(src []byte) ([]Entry, error) {
	src, err := expand(src)
	if err != nil && len(src) == 0 {
		return nil, err
	}
	if t := bytes.TrimLeft(src, " \t\r\n\ufeff"); len(t) > 0 && t[0] == '{' {
		return jsonFeed(t)
	}
	d := reader(src)
	if !d.root("rss", "rdf", "feed", "channel") {
		return nil, d.fail("feed")
	}
	for d.next() {
		if d.start && (d.name == "item" || d.name == "entry") {
			e := d.entry()
			if e.URL != "" && len(d.entries) < maxEntries {
				d.entries = append(d.entries, e)
			}
		}
	}
	return d.entries, d.err
}

// Sitemap reads a sitemap (urlset, with the news and image extensions), a sitemap index (its children), or a plain list of
// URLs; gzip is undone. What was read before a syntax error is returned with the error.
func Sitemap(src []byte) (entries []Entry, children []string, err error) {
	src, err = expand(src)
	if err != nil && len(src) == 0 {
		return nil, nil, err
	}
	if t := bytes.TrimLeft(src, " \t\r\n\ufeff"); bytes.HasPrefix(t, []byte("http")) {
		for _, line := range bytes.Split(t, newline) {
			line = bytes.TrimSpace(line)
			if bytes.HasPrefix(line, []byte("http")) && len(line) < maxField && len(entries) < maxEntries {
				entries = append(entries, Entry{URL: string(line)})
			}
		}
		return entries, nil, nil
	}
	d := reader(src)
	if !d.root("urlset", "sitemapindex") {
		return nil, nil, d.fail("sitemap")
	}
	for d.next() {
		if !d.start {
			continue
		}
		switch d.name {
		case "sitemap":
			if e := d.entry(); e.URL != "" && len(children) < maxEntries {
				children = append(children, e.URL)
			}
		case "url":
			if e := d.entry(); e.URL != "" && len(d.entries) < maxEntries {
				d.entries = append(d.entries, e)
			}
		}
	}
	return d.entries, children, d.err
}

// expand undoes gzip, bounded.
func expand(src []byte) ([]byte, error) {
	if len(src) < 3 || src[0] != 0x1f || src[1] != 0x8b {
		return src, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, fmt.Errorf("reading gzip: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, maxXML))
	return out, err
}

type xmlReader struct {
	dec     *xml.Decoder
	name    string // local, lower case
	space   string
	attr    []xml.Attr
	start   bool
	depth   int
	entries []Entry
	err     error
}

func reader(src []byte) *xmlReader {
	dec := xml.NewDecoder(bytes.NewReader(src))
	dec.Strict = false
	dec.Entity = xml.HTMLEntity
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // the transport made it UTF-8
	return &xmlReader{dec: dec}
}

func (d *xmlReader) fail(what string) error {
	if d.err != nil {
		return fmt.Errorf("reading %s: %w", what, d.err)
	}
	return ErrNotFeed
}

// next moves to the next start or end tag.
func (d *xmlReader) next() bool {
	for d.err == nil {
		t, err := d.dec.RawToken()
		if err != nil {
			if err != io.EOF {
				d.err = err
			}
			return false
		}
		if d.take(t) {
			return true
		}
	}
	return false
}

func (d *xmlReader) take(t xml.Token) bool {
	switch t := t.(type) {
	case xml.StartElement:
		d.name, d.space, d.attr, d.start = strings.ToLower(t.Name.Local), t.Name.Space, t.Attr, true
		d.depth++
		return true
	case xml.EndElement:
		d.name, d.space, d.start = strings.ToLower(t.Name.Local), t.Name.Space, false
		d.depth--
		return true
	}
	return false
}

func (d *xmlReader) root(names ...string) bool {
	if !d.next() || !d.start {
		return false
	}
	for _, n := range names {
		if d.name == n {
			return true
		}
	}
	return false
}

func (d *xmlReader) attribute(name string) string {
	for _, a := range d.attr {
		if strings.EqualFold(a.Name.Local, name) {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// text gathers the character data up to the end of the current element.
func (d *xmlReader) text() string {
	var b strings.Builder
	depth := d.depth
	for d.err == nil {
		t, err := d.dec.RawToken()
		if err != nil {
			if err != io.EOF {
				d.err = err
			}
			break
		}
		if c, ok := t.(xml.CharData); ok {
			if b.Len() < maxField {
				b.Write(c[:min(len(c), maxField-b.Len())])
			}
			continue
		}
		if d.take(t) && d.depth < depth {
			break
		}
	}
	return strings.ToValidUTF8(strings.TrimSpace(b.String()), "\uFFFD")
}

// entry reads the children of the current element up to its end.
func (d *xmlReader) entry() (e Entry) {
	depth := d.depth
	permalink := ""
	if a := d.attribute("about"); a != "" { // RDF
		permalink = a
	}
	for d.next() {
		if !d.start {
			if d.depth < depth {
				break
			}
			continue
		}
		if d.depth > depth+maxNesting {
			continue
		}
		switch d.name {
		case "link":
			if href := d.attribute("href"); href != "" {
				if rel := d.attribute("rel"); (rel == "" || rel == "alternate") && e.URL == "" {
					e.URL = href
				}
				continue
			}
			if d.space == "" || d.space == "rss" {
				if t := d.text(); e.URL == "" {
					e.URL = t
				}
			}
		case "loc":
			if d.space == "image" {
				e.Images = append(e.Images, d.text())
			} else if t := d.text(); e.URL == "" {
				e.URL = t
			}
		case "origlink": // feedburner
			e.URL = d.text()
		case "guid", "id":
			perma := d.name == "guid" && !strings.EqualFold(d.attribute("isPermaLink"), "false")
			if e.ID = d.text(); perma && strings.HasPrefix(e.ID, "http") {
				permalink = e.ID
			}
		case "title":
			if d.space == "" || d.space == "news" {
				e.Title = d.text()
			}
		case "pubdate", "published", "issued", "publication_date", "date":
			if t := when(d.text()); e.Published.IsZero() {
				e.Published = t
			}
		case "updated", "modified", "lastmod":
			e.Updated = when(d.text())
		case "language":
			e.Lang = d.text()
		case "enclosure", "content", "thumbnail":
			if u := d.attribute("url"); u != "" && (strings.HasPrefix(d.attribute("type"), "image/") || d.name == "thumbnail" || d.attribute("medium") == "image") && len(e.Images) < 100 {
				e.Images = append(e.Images, u)
			}
		}
	}
	if e.URL == "" {
		e.URL = permalink
	}
	return e
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05", "2006-01-02",
	time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04 -0700",
	"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST", "2 Jan 2006", "Mon, 02 Jan 06 15:04:05 -0700", "2006-01", "2006",
}

// when reads the dates that feeds carry; the zero time when it cannot. Names of zones other than UTC and GMT are taken
// for UTC.
func when(s string) time.Time {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return time.Time{}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func jsonFeed(src []byte) ([]Entry, error) {
	var f struct {
		Version string `json:"version"`
		Items   []struct {
			ID        any    `json:"id"`
			URL       string `json:"url"`
			External  string `json:"external_url"`
			Title     string `json:"title"`
			Published string `json:"date_published"`
			Modified  string `json:"date_modified"`
			Image     string `json:"image"`
			Lang      string `json:"language"`
		} `json:"items"`
	}
	if err := json.Unmarshal(src, &f); err != nil {
		return nil, fmt.Errorf("reading JSON feed: %w", err)
	}
	if !strings.Contains(f.Version, "jsonfeed.org") && len(f.Items) == 0 {
		return nil, ErrNotFeed
	}
	var out []Entry
	for _, it := range f.Items {
		e := Entry{URL: strings.TrimSpace(it.URL), Title: it.Title, Published: when(it.Published), Updated: when(it.Modified), Lang: it.Lang}
		if e.URL == "" {
			e.URL = strings.TrimSpace(it.External)
		}
		if it.ID != nil {
			e.ID = fmt.Sprint(it.ID)
		}
		if it.Image != "" {
			e.Images = []string{it.Image}
		}
		if e.URL != "" && len(out) < maxEntries {
			out = append(out, e)
		}
	}
	return out, nil
}
