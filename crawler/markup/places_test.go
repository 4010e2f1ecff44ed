package markup

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// TestPlaces has a row for every element and attribute that links come from (issue 6, point 3): what stands there is found,
// with its kind.
func TestPlaces(t *testing.T) {
	for _, c := range [][2]string{
		// Links.
		{`<a href=u>`, "page u"},
		{`<a xlink:href=u>`, "page u"},
		{`<area href=u>`, "page u"},
		{`<a ping=u>`, "other u"},
		{`<svg><a xlink:href=u></a></svg>`, "page u"},
		{`<blockquote cite=u>`, "cite u"},
		{`<q cite=u>`, "cite u"},
		{`<ins cite=u>`, "cite u"},
		{`<del cite=u>`, "cite u"},
		{`<img longdesc=u>`, "cite u"},
		{`<form action=u>`, "form u"},
		{`<button formaction=u>`, "form u"},
		{`<input formaction=u>`, "form u"},
		{`<base href=u>`, "base u"},
		{`<iframe src=u></iframe>`, "frame u"},
		{`<iframe srcdoc="&lt;a href=u>"></iframe>`, "page u"},
		{`<frame src=u>`, "frame u"},
		{`<amp-iframe src=u>`, "frame u"},
		{`<portal src=u>`, "frame u"},
		// Pictures.
		{`<img src=u>`, "image u"},
		{`<img srcset="a 1x, b 2x">`, "image a|image b"},
		{`<img srcset="a,b 100w, c">`, "image a,b|image c"},
		{`<img lowsrc=u>`, "image u"},
		{`<img dynsrc=u>`, "image u"},
		{`<amp-img src=u>`, "image u"},
		{`<amp-anim src=u>`, "image u"},
		{`<picture><source srcset="a 1x, b"><img src=c></picture>`, "image a|image b|image c"},
		{`<input type=image src=u>`, "image u"},
		{`<body background=u>`, "image u"},
		{`<table background=u>`, "image u"},
		{`<td background=u>`, "image u"},
		{`<svg><image href=u /></svg>`, "image u"},
		{`<svg><image xlink:href=u /></svg>`, "image u"},
		{`<svg><use href=u /></svg>`, "image u"},
		{`<svg><feImage href=u /></svg>`, "image u"},
		{`<video poster=u>`, "image u"},
		// Sound, video, objects.
		{`<video src=u>`, "media u"},
		{`<audio src=u>`, "media u"},
		{`<video><source src=u></video>`, "media u"},
		{`<track src=u>`, "media u"},
		{`<embed src=u>`, "media u"},
		{`<object data=u>`, "media u"},
		{`<object codebase=u>`, "other u"},
		{`<bgsound src=u>`, "media u"},
		{`<amp-video src=u>`, "media u"},
		{`<amp-audio src=u>`, "media u"},
		// Scripts.
		{`<script src=u></script>`, "script u"},
		{`<svg><script href=u></script></svg>`, "script u"},
		{`<amp-script src=u>`, "script u"},
		{`<link rel=modulepreload href=u>`, "script u"},
		// The link element.
		{`<link rel=stylesheet href=u>`, "style u"},
		{`<link rel="alternate stylesheet" href=u>`, "style u"},
		{`<link rel=icon href=u>`, "icon u"},
		{`<link rel="shortcut icon" href=u>`, "icon u"},
		{`<link rel=apple-touch-icon href=u>`, "icon u"},
		{`<link rel=apple-touch-icon-precomposed href=u>`, "icon u"},
		{`<link rel=apple-touch-startup-image href=u>`, "icon u"},
		{`<link rel=mask-icon href=u>`, "icon u"},
		{`<link rel=fluid-icon href=u>`, "icon u"},
		{`<link rel=canonical href=u>`, "canonical u"},
		{`<link rel=alternate hreflang=de href=u>`, "alternate u"},
		{`<link rel=amphtml href=u>`, "alternate u"},
		{`<link rel=alternate type=application/rss+xml href=u>`, "feed u"},
		{`<link rel=alternate type=application/atom+xml href=u>`, "feed u"},
		{`<link rel=alternate type=application/feed+json href=u>`, "feed u"},
		{`<link rel=alternate type=application/json+oembed href=u>`, "other u"},
		{`<link rel=manifest href=u>`, "manifest u"},
		{`<html manifest=u>`, "manifest u"},
		{`<link rel=preload as=image imagesrcset="a 1x, b">`, "image a|image b"},
		{`<link rel=preload as=image href=u>`, "image u"},
		{`<link rel=preload as=style href=u>`, "style u"},
		{`<link rel=preload as=script href=u>`, "script u"},
		{`<link rel=preload as=font href=u>`, "font u"},
		{`<link rel=preload as=video href=u>`, "media u"},
		{`<link rel=image_src href=u>`, "image u"},
		{`<link rel=preconnect href=u>`, "hint u"},
		{`<link rel=dns-prefetch href=u>`, "hint u"},
		{`<link rel=prefetch href=u>`, "hint u"},
		{`<link rel=next href=u>`, "other u"},
		// meta: refresh, Open Graph, Twitter and others.
		{`<meta http-equiv=refresh content="5; url=u">`, "refresh u"},
		{`<meta http-equiv=Refresh content="0;URL='u'">`, "refresh u"},
		{`<meta http-equiv=onion-location content=u>`, "meta u"},
		{`<meta property=og:image content=u>`, "image u"},
		{`<meta property=og:image:url content=u>`, "image u"},
		{`<meta property=og:image:secure_url content=u>`, "image u"},
		{`<meta property=og:video content=u>`, "media u"},
		{`<meta property=og:audio content=u>`, "media u"},
		{`<meta property=og:url content=u>`, "meta u"},
		{`<meta property=og:see_also content=u>`, "meta u"},
		{`<meta name=twitter:image content=u>`, "image u"},
		{`<meta name=twitter:image:src content=u>`, "image u"},
		{`<meta name=twitter:player content=u>`, "frame u"},
		{`<meta name=twitter:player:stream content=u>`, "media u"},
		{`<meta name=twitter:url content=u>`, "meta u"},
		{`<meta itemprop=image content=u>`, "image u"},
		{`<meta name=thumbnail content=u>`, "image u"},
		{`<meta name=msapplication-TileImage content=u>`, "image u"},
		{`<meta name=description content=u>`, ""},
		// JSON-LD.
		{`<script type=application/ld+json>{"image":"https://a.b/c"}</script>`, "image https://a.b/c"},
		{`<script type=application/ld+json>{"image":["https://a.b/c","https://a.b/d"]}</script>`, "image https://a.b/c|image https://a.b/d"},
		{`<script type=application/ld+json>{"image":{"@type":"ImageObject","url":"https://a.b/c"}}</script>`, "meta https://a.b/c"},
		{`<script type=application/ld+json>{"logo":"https:\/\/a.b\/c","thumbnailUrl":"https://a.b/d"}</script>`, "image https://a.b/c|image https://a.b/d"},
		{`<script type=application/ld+json>{"contentUrl":"https://a.b/c","embedUrl":"https://a.b/d"}</script>`, "media https://a.b/c|frame https://a.b/d"},
		{`<script type=application/ld+json>{"mainEntityOfPage":"https://a.b/c","url":"//a.b/long"}</script>`, "meta https://a.b/c|meta //a.b/long"},
		{`<script>{"image":"https://a.b/c"}</script>`, ""},
		// Styles in the page.
		{`<p style="background:url(u)">`, "image u"},
		{`<p style="background-image:url('u'), url(&quot;v&quot;)">`, "image u|image v"},
		{`<style>@import "a"; @import url(b); p{background:url(c)} @font-face{src:url(d.woff2)}</style>`, "style a|style b|image c|font d.woff2"},
		{`<svg><style>p{fill:url(u)}</style></svg>`, "image u"},
		// What a browser with scripts would not show, and other places that hold markup.
		{`<noscript><a href=u><img src=v></noscript>`, "page u|image v"},
		{`<template><img src=u></template>`, "image u"},
		// Lazy loading.
		{`<img data-src=/u.x src="data:image/gif;base64,x">`, "image /u.x"},
		{`<img data-srcset="/a 1x, /b 2x">`, "image /a|image /b"},
		{`<img data-original=/u.x>`, "image /u.x"},
		{`<img data-lazy-src=/u.x>`, "image /u.x"},
		{`<img data-lazy-srcset="/a 1x">`, "image /a"},
		{`<div data-bg=/u.png>`, "image /u.png"},
		{`<div data-background-image=/u.png>`, "image /u.png"},
		{`<iframe data-src=/u.x></iframe>`, "frame /u.x"},
		{`<video data-src=/u.x></video>`, "media /u.x"},
		{`<video data-poster=/u.x></video>`, "image /u.x"},
		{`<script data-src=/u.x></script>`, "script /u.x"},
		{`<img data-src="{{u}}">`, ""},
		{`<img data-lazy=true>`, ""},
		// What leads nowhere.
		{`<a href="javascript:x"><a href="mailto:x@y"><a href="tel:1"><a href="data:,x"><a href="about:blank"><a href="blob:x"><a href="">`, ""},
	} {
		var got []string
		HTML([]byte(c[0]), func(p Place) bool {
			got = append(got, fmt.Sprintf("%s %s", p.Kind, p.URL))
			return true
		})
		if s := strings.Join(got, "|"); s != c[1] {
			t.Errorf("%s\n got %s\nwant %s", c[0], s, c[1])
		}
	}
}

// TestFeedShapes has the shapes of feeds and sitemaps that the newest articles are read from.
func TestFeedShapes(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"RSS 2.0", `<rss version="2.0"><channel><link>no</link><item><link>u</link><pubDate>Wed, 10 Aug 2016 06:00:00 GMT</pubDate></item></channel></rss>`, "u 2016-08-10"},
		{"RSS with a permalink only", `<rss><channel><item><guid>http://u/1</guid></item><item><guid isPermaLink="false">http://no</guid></item></channel></rss>`, "http://u/1 0001-01-01"},
		{"RSS with feedburner's own link", `<rss xmlns:feedburner="f"><channel><item><link>no</link><feedburner:origLink>u</feedburner:origLink></item></channel></rss>`, "u 0001-01-01"},
		{"RSS with CDATA", `<rss><channel><item><link><![CDATA[ u?a=1&b=2 ]]></link></item></channel></rss>`, "u?a=1&b=2 0001-01-01"},
		{"RSS with an Atom link to itself", `<rss xmlns:atom="a"><channel><atom:link rel="self" href="no"/><item><link>u</link></item></channel></rss>`, "u 0001-01-01"},
		{"RSS 1.0", `<rdf:RDF xmlns:rdf="r" xmlns:dc="d"><item rdf:about="u"><link>u</link><dc:date>2016-08-10T06:00:00Z</dc:date></item></rdf:RDF>`, "u 2016-08-10"},
		{"Atom", `<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="edit" href="no"/><link href="u"/><published>2016-08-10T06:00:00+02:00</published></entry></feed>`, "u 2016-08-10"},
		{"JSON feed", `{"version":"https://jsonfeed.org/version/1.1","items":[{"id":1,"url":"u","date_published":"2016-08-10T06:00:00Z"},{"id":"2","external_url":"v"}]}`, "u 2016-08-10|v 0001-01-01"},
		{"cut off", `<rss><channel><item><link>u</link></item><item><link>v`, "u 0001-01-01|v 0001-01-01"},
		{"HTML entities in XML", `<rss><channel><item><title>A&nbsp;B</title><link>u</link></item></channel></rss>`, "u 0001-01-01"},
	} {
		entries, _ := Feed([]byte(c.doc))
		var got []string
		for _, e := range entries {
			got = append(got, e.URL+" "+e.Published.Format("2006-01-02"))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
	for _, c := range []struct{ name, doc, entries, children string }{
		{"urlset", `<urlset><url><loc>u</loc><lastmod>2016-08-10</lastmod></url></urlset>`, "u 2016-08-10", ""},
		{"index", `<sitemapindex><sitemap><loc> a </loc></sitemap><sitemap><loc>b</loc></sitemap></sitemapindex>`, "", "a|b"},
		{"news", `<urlset xmlns:news="n"><url><loc>u</loc><news:news><news:publication_date>2016-08-10</news:publication_date><news:title>T</news:title></news:news></url></urlset>`, "u 2016-08-10", ""},
		{"pictures are no pages", `<urlset xmlns:image="i"><url><loc>u</loc><image:image><image:loc>no</image:loc></image:image></url></urlset>`, "u 0001-01-01", ""},
		{"gzip", zipped(`<urlset><url><loc>u</loc></url></urlset>`), "u 0001-01-01", ""},
		{"an index in gzip", zipped(`<sitemapindex><sitemap><loc>a.xml.gz</loc></sitemap></sitemapindex>`), "", "a.xml.gz"},
		{"a list of lines", "https://a.b/c\nhttps://a.b/d\n", "https://a.b/c 0001-01-01|https://a.b/d 0001-01-01", ""},
	} {
		entries, children, _ := Sitemap([]byte(c.doc))
		var got []string
		for _, e := range entries {
			at := e.Published
			if at.IsZero() {
				at = e.Updated
			}
			got = append(got, e.URL+" "+at.Format("2006-01-02"))
		}
		if s := strings.Join(got, "|"); s != c.entries {
			t.Errorf("sitemap, %s: %q, want %q", c.name, s, c.entries)
		}
		if s := strings.Join(children, "|"); s != c.children {
			t.Errorf("sitemap, %s: children %q, want %q", c.name, s, c.children)
		}
	}
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}
