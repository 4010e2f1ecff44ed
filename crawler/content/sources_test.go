package content

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"mirrorwatch/crawler/survey"
)

// TestTextSources: where the text comes from when the page shows none without its scripts.
func TestTextSources(t *testing.T) {
	text := strings.TrimSpace(strings.Repeat(para, 8))
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	shell := func(script string) string {
		return `<!DOCTYPE html><html><head><title>Talks - Example News</title>` + script + `</head><body><div id="root"></div><noscript>Please enable JavaScript.</noscript></body></html>`
	}
	cases := []struct{ name, html, source string }{
		{"JSON-LD articleBody", shell(`<script type="application/ld+json">{"@context":"https://schema.org","@type":"NewsArticle","headline":"Talks","articleBody":` + string(quoted) + `}</script>`), FromJSONLD},
		{"JSON-LD in a graph", shell(`<script type="application/ld+json">{"@graph":[{"@type":"WebPage"},{"@type":["NewsArticle"],"articleBody":` + string(quoted) + `}]}</script>`), FromJSONLD},
		{"the page's own text goes first", `<html><head><script type="application/ld+json">{"@type":"NewsArticle","articleBody":"Something else altogether, quite short."}</script></head><body><article><h1>Talks</h1><p>` + strings.ReplaceAll(text, "August. ", "August.</p><p>") + `</p></article></body></html>`, FromExtractor},
		{"AMP", `<!doctype html><html amp lang="en"><head><title>Talks</title></head><body><article><h1>Talks</h1><p>` + strings.ReplaceAll(text, "August. ", "August.</p><p>") + `</p></article></body></html>`, FromExtractor},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := Read([]byte(c.html), Options{URL: "https://example-news.com/a/1", ContentType: "text/html"})
			if p.Source != c.source || !strings.Contains(p.Text, "without conditions") || p.Words < 100 {
				t.Errorf("source %q, %d words, problem %q: %.80q", p.Source, p.Words, p.Problem, p.Text)
			}
			if strings.Contains(c.html, "html amp") != p.AMP {
				t.Errorf("AMP is %v", p.AMP)
			}
		})
	}
	if p := Read([]byte(shell("<script src=/app.js></script>")), Options{URL: "https://example-news.com/a/1"}); p.Text != "" && p.Problem == "" {
		t.Errorf("a shell without a text: %q %q", p.Text, p.Problem)
	}
}

// TestAnnouncedByHead: ranks 5 and 6, each with its element as evidence.
func TestAnnouncedByHead(t *testing.T) {
	cases := []struct {
		name, head, host, rule, evidence string
		rank                             int
	}{
		{"canonical", `<link rel="canonical" href="https://www.presstv.ir/a/1">`, "www.presstv.ir", "canonical", "canonical", 5},
		{"og:url", `<meta property="og:url" content="https://www.presstv.ir/a/1">`, "www.presstv.ir", "og_url", "og:url", 5},
		{"JSON-LD", `<script type="application/ld+json">{"@type":"NewsArticle","url":"https://www.presstv.ir/a/1"}</script>`, "www.presstv.ir", "json_ld", "JSON-LD", 5},
		{"hreflang", `<link rel="alternate" hreflang="fr" href="https://fr.presstv.tv/a/1">`, "fr.presstv.tv", "hreflang", `hreflang="fr"`, 6},
		{"AMP", `<link rel="amphtml" href="https://amp.presstv.tv/a/1">`, "amp.presstv.tv", "amphtml", "amphtml", 6},
		{"AMP cache is nobody's mirror", `<link rel="amphtml" href="https://presstv-com.cdn.ampproject.org/c/a">`, "", "", "", 0},
		{"its own address", `<link rel="canonical" href="https://www.presstv.com/a/1">`, "", "", "", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			src := strings.Replace(articlePage(""), "</head>", c.head+"</head>", 1)
			p := Read([]byte(src), Options{URL: "https://www.presstv.com/a/1", Hosts: []survey.Host{"www.presstv.com"}})
			if c.host == "" {
				if len(p.Announced) != 0 {
					t.Errorf("%+v", p.Announced)
				}
				return
			}
			if len(p.Announced) != 1 {
				t.Fatalf("%+v", p.Announced)
			}
			if a := p.Announced[0]; a.Host != c.host || a.Rule != c.rule || a.Rank != c.rank || !strings.Contains(a.Evidence, c.evidence) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestMetadataChoice: of several statements of one fact, which is taken.
func TestMetadataChoice(t *testing.T) {
	cases := []struct{ name, head, body, title, author, published string }{
		{"h1 that the title confirms", `<title>Talks resume | The Post</title>`, `<h1>Talks resume</h1>`, "Talks resume", "", ""},
		{"og:title without h1", `<title>The Post</title><meta property="og:title" content="Talks resume on the coast">`, ``, "Talks resume on the coast", "", ""},
		{"author and date of JSON-LD", `<title>Talks resume - The Post</title><script type="application/ld+json">{"@type":"NewsArticle","headline":"Talks resume","author":{"@type":"Person","name":"Ana Reyes"},"datePublished":"2016-08-10T08:00:00Z"}</script>`, `<h1>Talks resume</h1>`, "Talks resume", "Ana Reyes", "2016-08-10T08:00:00Z"},
		{"author of a meta element", `<title>Talks resume</title><meta name="author" content="Ana Reyes">`, `<h1>Talks resume</h1>`, "Talks resume", "Ana Reyes", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			src := fmt.Sprintf(`<!doctype html><html lang="en"><head>%s</head><body><article>%s%s</article></body></html>`, c.head, c.body, strings.Repeat("<p>"+para+"</p>", 6))
			p := Read([]byte(src), Options{URL: "https://www.post.example/a/1"})
			if p.Title != c.title || p.Author != c.author || p.Published != c.published {
				t.Errorf("title %q author %q published %q", p.Title, p.Author, p.Published)
			}
		})
	}
}

// TestMarkers: what software of known kinds leaves in its pages.
func TestMarkers(t *testing.T) {
	for name, html := range map[string]string{
		"challenge:": `<html><head><title>Just a moment...</title></head><body><script>window._cf_chl_opt={cvId:'3'}</script></body></html>`,
		"consent:":   `<html><body><div id="onetrust-consent-sdk"></div><script src="https://cdn.cookielaw.org/otSDKStub.js"></script></body></html>`,
	} {
		p := Read([]byte(html), Options{URL: "https://a.com/"})
		found := false
		for _, m := range p.Markers {
			found = found || strings.HasPrefix(m, name)
		}
		if !found {
			t.Errorf("%s: markers %q", name, p.Markers)
		}
	}
}
