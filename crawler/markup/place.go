// Package markup finds every place in HTML, CSS, srcset values, feeds and sitemaps that names a URL, with its byte
// offsets in the source.
//
// It is a scanner, not a tree builder: it works at any nesting depth, keeps offsets, and allocates little more than the
// URLs themselves. Link discovery, capture of requisites and replay rewriting all rest on it; where a tree is needed (the
// article's text), crawler/content builds one. Nothing here panics on or allocates by what the input declares.
package markup

// Kind is what a reader's browser would use the URL for.
type Kind string

const (
	Page      Kind = "page"      // a, area
	Image     Kind = "image"     // img, srcset, poster, background, og:image, CSS url()
	Style     Kind = "style"     // link rel=stylesheet, @import
	Script    Kind = "script"    // script src, modulepreload
	Font      Kind = "font"      // CSS @font-face, preload as=font
	Media     Kind = "media"     // video, audio, track, object, embed
	FeedLink  Kind = "feed"      // link rel=alternate with a feed's type
	Frame     Kind = "frame"     // iframe, frame
	Form      Kind = "form"      // action, formaction
	Canonical Kind = "canonical" // link rel=canonical
	Alternate Kind = "alternate" // link rel=alternate (hreflang, media), amphtml
	Icon      Kind = "icon"
	Manifest  Kind = "manifest"
	Refresh   Kind = "refresh" // meta http-equiv=refresh
	Meta      Kind = "meta"    // og:url and other URLs of meta elements and JSON-LD that are neither picture nor media
	BaseHref  Kind = "base"    // base href: changes what all others resolve against
	Hint      Kind = "hint"    // preconnect, dns-prefetch, prefetch
	Cite      Kind = "cite"
	Other     Kind = "other"
)

// Requisite reports whether a page needs the URL to be shown as it was.
func (k Kind) Requisite() bool {
	switch k {
	case Image, Style, Script, Font, Media, Icon:
		return true
	}
	return false
}

// Link reports whether a reader can follow the URL.
func (k Kind) Link() bool { return k == Page }

// Place is one URL and where it stands.
type Place struct {
	// URL is what a browser would hand to its URL parser: character references and CSS or JSON escapes undone, white
	// space around it and tabs and newlines in it removed. It is not resolved.
	URL string
	// Start and End enclose the raw value in the source, without quotes and surrounding white space.
	Start, End int
	Element    string // lower case; "" in a style sheet
	Attr       string // lower case; "" in a style element, script text or style sheet
	Kind       Kind
	Rel        string // link: rel in lower case; meta: its name, property or http-equiv; JSON-LD: the key; CSS: "@import"
	Line       int    // 1-based
}
