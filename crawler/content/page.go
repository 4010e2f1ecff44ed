// Package content sees a page as a reader does: its title, the article's text, its links, pictures and dates, the other
// addresses it names, and whatever tells an article from a page that stands in its place.
//
// Read builds the document tree once, leaves out what is not shown, gives the rest to a readability extractor, and takes
// the boilerplate out of its result. Text is never judged here: crawler/compare does that.
package content

import (
	"crypto/sha256"
	"encoding/hex"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Options say how to read a page. The zero value reads it as HTML of unknown address.
type Options struct {
	URL         string        // final URL of the page; relative links resolve against it
	ContentType string        // the response's; "" is HTML
	Hosts       []survey.Host // the mirror set
	// MaxElements bounds the tree given to the extractor; 0 is 150,000.
	MaxElements int
	// Header returns a field of the response, for Onion-Location; nil when there is none.
	Header func(name string) string
}

// Where Page.Text came from.
const (
	FromExtractor = "extractor" // readability and the post-filter
	FromJSONLD    = "json_ld"   // articleBody of a page that shows no text without its scripts
	FromState     = "state"     // a script shell's own state
	FromPlain     = "plain"     // text/plain
	FromBody      = "body"      // the whole visible text: the extractor found no article
)

// Why Page.Text is missing or cannot be trusted (Page.Problem).
const (
	ProblemNesting  = "nesting"   // more than 512 open elements: no tree
	ProblemSize     = "size"      // more elements than Options.MaxElements
	ProblemTime     = "time"      // the extractor did not end in time
	ProblemCrash    = "crash"     // the extractor panicked
	ProblemEmpty    = "empty"     // no octet
	ProblemNotHTML  = "not_html"  // another media type
	ProblemShell    = "js_shell"  // nothing is shown without scripts, and no fall-back had the text
	ProblemNoText   = "no_text"   // a page without an article's text
	ProblemTooLarge = "too_large" // only the first octets were read
)

// Page is what Read found. Strings are valid UTF-8.
type Page struct {
	URL         string
	Title       string // of the article: h1, og:title or title, without the site's name
	SiteTitle   string // the site's name
	FullTitle   string // the title element as it stands
	Lang        string // lower case, "" when the page does not say
	Canonical   string
	OGURL       string
	Published   string // RFC 3339 where it can be read, else as it stands
	Modified    string
	Author      string
	Byline      bool // Author was read from the visible page, its head does not name one
	LeadImage   string
	MetaRefresh string // resolved target of a meta refresh
	Generator   string
	NoIndex     bool
	AMP         bool

	Blocks []Block // main text, in order
	// Holders are the elements that hold the blocks, by number: each entry is the number of the element around it, -1 at the top.
	// nil when the text came from no tree.
	Holders []int32
	Text    string // Blocks' texts joined by "\n"
	Source  string // FromExtractor, ...
	Words   int    // of Text, see Count

	Visible      string // all visible text, a line per block
	VisibleWords int
	VisibleLinks int
	Hidden       string // text in the tree that is not shown

	Links      []Link
	Images     []Image // of the article's body
	Requisites []Requisite
	Feeds      []string // feeds that the head names, resolved
	Announced  []Announcement
	Noise      Noise

	Forms          int
	PasswordFields int
	ArticleBody    string   // of JSON-LD
	AccessFree     *bool    // isAccessibleForFree of JSON-LD
	Types          []string // @type of the JSON-LD objects
	Markers        []string // "challenge:...", "consent:...", "parked:...", sorted
	Elements       int
	Problem        string
	// Thin: fewer than 300 visible words and fewer than 15 links (classification 1.6).
	Thin bool

	// Subtracted are the blocks that Subtract took out. TemplateEqual says that it took nothing because the template holds
	// this very text: the site answers anything with it, or ignores part of the URL.
	Subtracted    []Block
	TemplateEqual bool
}

// Block is a paragraph, heading or list item of the article.
type Block struct {
	Text        string
	Start, End  int     // octets into Page.Text
	LinkDensity float64 // share of the text inside links
	Heading     bool
	Quote       bool
	Holder      int32 // index into Page.Holders of the block's own element
}

// Link is an a or area element.
type Link struct {
	URL   string // resolved, without fragment
	Text  string
	Rel   string
	Block int // index into Page.Blocks, -1 outside the article
	at    int // offset in Visible
}

// Image is a picture of the article's body.
type Image struct {
	URL    string
	Alt    string
	Holder int32 // index into Page.Holders of the closest one around it, -1 when there is none
}

// Requisite is what the page's HTML names to be shown right.
type Requisite struct {
	URL  string
	Kind markup.Kind
}

// Noise counts what people do not see and comparison ignores.
type Noise struct {
	ZeroWidth  int // zero-width characters where no script needs them
	Bidi       int // direction marks and overrides
	SoftHyphen int
	Homoglyphs int // words that mix Latin with look-alike Cyrillic or Greek letters
}

// Total is the sum of all counts.
func (n Noise) Total() int { return n.ZeroWidth + n.Bidi + n.SoftHyphen + n.Homoglyphs }

// TextDigest is the digest of the normalised text, the mirror set's hosts replaced by one token: equal text, equal digest.
func (p *Page) TextDigest(hosts []survey.Host) survey.Digest {
	if p.Text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(Normalise(p.Text, hosts)))
	return survey.Digest("sha256:" + hex.EncodeToString(sum[:]))
}
