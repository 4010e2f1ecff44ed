package content

import (
	"encoding/json"
	"sort"
	"strings"
	"time"

	"golang.org/x/net/html"

	"mirrorwatch/crawler/markup"
)

// readMeta fills what the page says of itself: meta elements first, JSON-LD where they are silent.
func (p *Page) readMeta(w *walker, base string, opt Options) {
	m := map[string]string{}
	var equivLang string
	for _, n := range w.metas {
		content := strings.TrimSpace(get(n, "content"))
		if content == "" || len(content) > 8<<10 {
			continue
		}
		for _, a := range []string{"property", "name", "itemprop"} {
			if k := strings.ToLower(strings.TrimSpace(get(n, a))); k != "" && m[k] == "" {
				m[k] = content
			}
		}
		if strings.EqualFold(get(n, "http-equiv"), "content-language") {
			equivLang = content
		}
	}
	first := func(keys ...string) string {
		for _, k := range keys {
			if v := m[k]; v != "" {
				return v
			}
		}
		return ""
	}
	p.Canonical = firstCanonical(w.metas, base)
	if u := first("og:url"); u != "" { // an empty reference is the page itself, which says nothing
		p.OGURL, _ = markup.Resolve(base, u)
	}
	p.SiteTitle = first("og:site_name", "application-name", "apple-mobile-web-app-title")
	p.Generator = first("generator")
	p.NoIndex = strings.Contains(strings.ToLower(first("robots")), "noindex")
	p.FullTitle = w.title
	p.Lang = language(w.lang, equivLang, first("og:locale", "language", "dc.language"))
	ld := readJSONLD(w.jsonLD)
	p.ArticleBody, p.AccessFree, p.Types = ld.body, ld.free, ld.types
	p.Published = date(first("article:published_time", "og:published_time", "og:article:published_time", "datepublished", "date", "pubdate",
		"publishdate", "publish-date", "dc.date", "dc.date.issued", "dcterms.created", "parsely-pub-date", "sailthru.date", "article.published"), ld.published)
	p.Modified = date(first("article:modified_time", "og:updated_time", "og:modified_time", "datemodified", "lastmod", "last-modified", "dcterms.modified",
		"article.updated"), ld.modified)
	if p.Published == "" && len(w.times) > 0 {
		p.Published = date(w.times[0])
	}
	author := first("author", "article:author", "dc.creator", "parsely-author", "sailthru.author", "byl")
	if strings.Contains(author, "://") {
		author = ""
	}
	for i, a := range []string{author, ld.author, w.byline} {
		if a = strings.TrimSpace(a); a != "" && p.Author == "" {
			p.Author = strings.TrimPrefix(strings.TrimPrefix(a, "By "), "by ")
			p.Byline = i == 2
		}
	}
	for _, u := range []string{first("og:image", "og:image:url", "og:image:secure_url", "twitter:image", "twitter:image:src"), ld.image} {
		if r, ok := markup.Resolve(base, u); ok && u != "" && p.LeadImage == "" {
			p.LeadImage = r
		}
	}
	p.Title = title(w.h1, first("og:title", "twitter:title"), w.title, ld.headline, p.SiteTitle, opt.URL)
}

// firstCanonical finds link rel=canonical beside the metas (in the head, or where broken markup put it).
func firstCanonical(metas []*html.Node, base string) string {
	for _, m := range metas {
		if m.Parent == nil {
			continue
		}
		for c := m.Parent.FirstChild; c != nil; c = c.NextSibling {
			if c.Data == "link" && strings.EqualFold(strings.TrimSpace(get(c, "rel")), "canonical") {
				if u, ok := markup.Resolve(base, strings.TrimSpace(get(c, "href"))); ok {
					return u
				}
			}
		}
		break
	}
	return ""
}

func language(candidates ...string) string {
	for _, l := range candidates {
		l = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(l), "_", "-"))
		l, _, _ = strings.Cut(l, ",")
		if n := len(l); n >= 2 && n < 20 && l[0] >= 'a' && l[0] <= 'z' {
			return l
		}
	}
	return ""
}

var dateLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04Z0700",
	"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05Z07:00", time.RFC1123Z, time.RFC1123}

// date returns the first that is not empty, in RFC 3339 and UTC where it names its zone, as it stands otherwise.
func date(candidates ...string) string {
	for _, s := range candidates {
		if s = strings.TrimSpace(s); s == "" || len(s) > 80 {
			continue
		}
		for _, l := range dateLayouts {
			if t, err := time.Parse(l, s); err == nil {
				return t.UTC().Format(time.RFC3339)
			}
		}
		return s
	}
	return ""
}

var separators = []string{" | ", " - ", " – ", " — ", " :: ", " » ", " « ", " · ", " • ", " / ", "_", "｜", " -- ", " ‹ ", " › "}

// title chooses the article's own headline: the h1 that the page's titles confirm, else a title without its site name.
func title(h1 []string, og, full, headline, site, url string) string {
	og, full = strings.Join(strings.Fields(og), " "), strings.Join(strings.Fields(full), " ")
	nog, nfull := Normalise(og, nil), Normalise(full, nil)
	for _, h := range h1 {
		n := Normalise(h, nil)
		if len(n) >= 8 && (strings.Contains(nog, n) || strings.Contains(nfull, n)) && !sameName(n, site, url) {
			return h
		}
	}
	for _, t := range []string{og, full, headline} {
		if t != "" {
			return stripSite(t, site, url)
		}
	}
	if len(h1) > 0 {
		return h1[0]
	}
	return ""
}

// stripSite takes the site's name off either end of a title: a segment that is the name, or the host's label.
func stripSite(t, site, url string) string {
	for range 2 {
		cut := false
		for _, sep := range separators {
			if i := strings.LastIndex(t, sep); i > 0 && sameName(t[i+len(sep):], site, url) {
				t, cut = strings.TrimSpace(t[:i]), true
			}
			if i := strings.Index(t, sep); i > 0 && i+len(sep) < len(t) && sameName(t[:i], site, url) {
				t, cut = strings.TrimSpace(t[i+len(sep):]), true
			}
		}
		if !cut {
			break
		}
	}
	return t
}

func sameName(s, site, url string) bool {
	squeeze := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == ' ' || r == '-' || r == '.' || r == '\'' || r == '|' {
				return -1
			}
			return r
		}, Normalise(s, nil))
	}
	s = squeeze(s)
	if s == "" {
		return false
	}
	if site != "" && s == squeeze(site) {
		return true
	}
	host := hostOf(url)
	if host == "" {
		return false
	}
	brand := squeeze(label(host))
	return s == squeeze(host) || s == squeeze(strings.TrimPrefix(host, "www.")) || len(brand) > 2 && (s == brand || s == "the"+brand || s == brand+"news")
}

type jsonld struct {
	body, headline, published, modified, author, image string
	free                                               *bool
	types                                              []string
}

// readJSONLD reads the blocks it can; broken ones are left out.
func readJSONLD(blocks []string) (out jsonld) {
	types := map[string]bool{}
	budget := 20_000
	var visit func(v any, depth int)
	visit = func(v any, depth int) {
		if budget--; budget < 0 || depth > 12 {
			return
		}
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				visit(e, depth+1)
			}
		case map[string]any:
			article := false
			for _, t := range texts(v["@type"]) {
				types[t] = true
				article = article || strings.HasSuffix(t, "Article") || t == "BlogPosting" || t == "LiveBlogPosting" || t == "Report" || t == "WebPage"
			}
			if article {
				set := func(to *string, from any) {
					if s := texts(from); *to == "" && len(s) > 0 {
						*to = s[0]
					}
				}
				if s := texts(v["articleBody"]); len(s) > 0 && len(s[0]) > len(out.body) && len(s[0]) < maxText {
					out.body = plainText(s[0])
				}
				set(&out.headline, v["headline"])
				set(&out.published, v["datePublished"])
				set(&out.modified, v["dateModified"])
				if out.author == "" {
					out.author = strings.Join(names(v["author"], "name"), ", ")
				}
				if n := names(v["image"], "url"); out.image == "" && len(n) > 0 {
					out.image = n[0]
				}
				switch f := v["isAccessibleForFree"].(type) {
				case bool:
					out.free = &f
				case string:
					b := strings.EqualFold(f, "true")
					out.free = &b
				}
			}
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			sort.Strings(keys)
			for _, k := range keys {
				switch v[k].(type) {
				case map[string]any, []any:
					visit(v[k], depth+1)
				}
			}
		}
	}
	for _, b := range blocks {
		b = strings.TrimSpace(b)
		b = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(b, "<!--"), "//<![CDATA["), "-->")
		b = strings.TrimSuffix(strings.TrimSpace(b), "//]]>")
		var v any
		if json.Unmarshal([]byte(b), &v) != nil {
			clean := strings.Map(func(r rune) rune {
				if r < ' ' {
					return ' '
				}
				return r
			}, strings.TrimRight(strings.TrimSpace(b), ";"))
			if json.Unmarshal([]byte(clean), &v) != nil {
				continue
			}
		}
		visit(v, 0)
	}
	for t := range types {
		out.types = append(out.types, t)
	}
	sort.Strings(out.types)
	return out
}

func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		if s := strings.TrimSpace(v); s != "" {
			out = append(out, s)
		}
	case []any:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	}
	return out
}

// names reads a string, an object's field, or a list of either.
func names(v any, field string) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		return texts(v[field])
	case []any:
		for _, e := range v {
			out = append(out, names(e, field)...)
		}
		return out
	}
	return texts(v)
}

// plainText takes the markup out of an articleBody that has some.
func plainText(s string) string {
	if !strings.Contains(s, "<") && !strings.Contains(s, "&") {
		return s
	}
	n, err := html.Parse(strings.NewReader(s))
	if err != nil {
		return s
	}
	blocks, _, _ := blocksOf(n, "")
	lines := make([]string, len(blocks))
	for i, b := range blocks {
		lines[i] = b.Text
	}
	return strings.Join(lines, "\n")
}
