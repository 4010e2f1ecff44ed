package content

import (
	"bytes"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"mirrorwatch/crawler/markup"
	"mirrorwatch/crawler/survey"
)

// Announcement is another address that the page names for its site (classification section 4). It is a hint from hostile
// input: nobody visits it unasked.
type Announcement struct {
	Host       string // lower case, A-label
	URL        string // as announced, resolved; "https://host/" when only the host was named
	Rule       string // sentence, onion_location, canonical, og_url, json_ld, hreflang, amphtml
	Rank       int    // of classification section 4: 2, 3, 5, 6
	Confidence survey.Confidence
	Evidence   string // the sentence or element
}

const maxAnnounced = 10

// sentences are what announces other addresses, on lower-case text, by language.
var sentences = []*regexp.Regexp{
	// English
	regexp.MustCompile(`(alternat(e|ive)|mirror|backup|back-up|other|additional|secondary|new)\s+(web\s*)?(address(es)?|domains?|sites?|websites?|urls?|links?|mirrors?)\b`),
	regexp.MustCompile(`(can|may|is|are)\s+(also\s+|still\s+)?(be\s+)?(accessed|reached|found|visited|read|available|accessible)\s+(at|on|via|through|under)\b`),
	regexp.MustCompile(`\b(mirrors?|mirror\s+sites?)\s*:|\b(we have moved|has moved|moved) to\b`),
	// Russian
	regexp.MustCompile(`(альтернативн|резервн|запасн|дополнительн|нов)[а-я]*\s+(адрес|домен|сайт|ссылк|зеркал)|зеркал[аоеу]|доступ[а-я]*\s+(также\s+)?по\s+(следующ[а-я]+\s+|эт[а-я]+\s+)?(адрес|ссылк)|также\s+доступ`),
	// Persian
	regexp.MustCompile(`(آدرس|نشانی|دامنه|سایت|وبسایت|لینک)\s*(های|ها)?\s*(جایگزین|جدید|دیگر|زیر|پشتیبان|بدون فیلتر)|در دسترس است|آینه`),
	// Arabic, its letters as Normalise leaves them
	regexp.MustCompile(`(العنوان|العناوین|الرابط|الروابط|المواقع|الموقع|النطاق|النطاقات|عناوین|عنوان|موقع|رابط)\s+(ال)?(بدیل|جدید|تال[یه]|بدیله|تالیه|اخر[یه]?)[ةه]?|(یمکن|یمکنکم)\s+(ال)?(وصول|دخول|تصفح)|مرآ[ةه]`),
	// Chinese
	regexp.MustCompile(`镜像|鏡像|备用(网址|域名|地址|链接|站)|備用(網址|網域|域名|地址|連結|站)|最新(网址|地址|網址)|新(域名|网址|網址|網域)|(其他|以下|下列)(网址|地址|域名|網址|網域)|(也可|亦可|还可).{0,12}(访问|訪問|浏览|瀏覽)`),
}

var hostInText = regexp.MustCompile(`(?i)(https?://)?((?:[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}-]{0,61}[\p{L}\p{N}\p{M}])?\.)+(?:xn--[a-z0-9-]{2,59}|\p{L}{2,24}))(?::(\d{1,5}))?(/[^\s"'<>()،,]*)?`)

// platforms are hosts that are somebody's page, never a mirror of the site, when the page links them.
var platforms = set(`facebook.com twitter.com x.com t.co t.me telegram.me telegram.org youtube.com youtu.be instagram.com whatsapp.com wa.me linkedin.com
	pinterest.com reddit.com tiktok.com vk.com ok.ru weibo.com google.com goo.gl bit.ly apple.com microsoft.com wikipedia.org tumblr.com
	threads.net mastodon.social bsky.app flipboard.com soundcloud.com spotify.com vimeo.com dailymotion.com roku.com amazon.com rumble.com
	aparat.com eitaa.com rubika.ir line.me mailchi.mp feedburner.com addthis.com sharethis.com archive.org`)

func hostOf(raw string) string {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		rest = rest[:i]
	}
	return strings.ToLower(rest)
}

func pathOf(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// registrable returns the domain below the public suffix, "" when there is none.
func registrable(host string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return d
}

// label returns the name a site goes by: the registrable domain's first label.
func label(host string) string {
	l, _, _ := strings.Cut(registrable(host), ".")
	return l
}

// publicHost returns the host in A-label form when it can be a public site's name.
func publicHost(h string) (string, bool) {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if h == "" || len(h) > 253 || strings.ContainsAny(h, "@[]:%/\\ ") {
		return "", false
	}
	if name, ok := strings.CutSuffix(h, ".onion"); ok {
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			name = name[i+1:]
		}
		return h, onionV3(name)
	}
	a, err := idna.Lookup.ToASCII(h)
	if err != nil {
		return "", false
	}
	suffix, managed := publicsuffix.PublicSuffix(a)
	if !managed && strings.IndexByte(suffix, '.') < 0 || registrable(a) == "" {
		return "", false
	}
	switch last := a[strings.LastIndexByte(a, '.')+1:]; last {
	case "local", "internal", "localhost", "test", "example", "invalid", "arpa", "lan", "home", "corp":
		return "", false
	}
	return a, true
}

func onionV3(name string) bool {
	if len(name) != 56 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; !('a' <= c && c <= 'z' || '2' <= c && c <= '7') {
			return false
		}
	}
	return true
}

type announcer struct {
	page    string // host
	brands  map[string]bool
	known   map[string]bool
	domains map[string]bool // registrable domains of page and mirror set
	found   []Announcement
	seen    map[string]bool
}

func (a *announcer) add(raw, rule string, rank int, confidence survey.Confidence, evidence string) {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return
	}
	if p := u.Port(); p != "" && p != "80" && p != "443" {
		return
	}
	host, ok := publicHost(u.Hostname())
	bare := strings.TrimPrefix(host, "www.")
	if !ok || a.known[bare] || a.seen[bare] || len(a.seen) > 200 {
		return
	}
	if rule == "sentence" && (platforms[registrable(host)] && !a.brands[label(host)]) {
		return
	}
	a.seen[bare] = true
	if rule == "sentence" {
		confidence = survey.Medium
		if a.brands[label(host)] || strings.HasSuffix(host, ".onion") {
			confidence = survey.High
		}
	}
	if r := []rune(evidence); len(r) > 400 {
		evidence = string(r[:400])
	}
	a.found = append(a.found, Announcement{host, raw, rule, rank, confidence, strings.Join(strings.Fields(evidence), " ")})
}

// announced finds the other addresses the page names, best first.
func (p *Page) announced(opt Options, src []byte, places []markup.Place) []Announcement {
	a := &announcer{page: hostOf(opt.URL), brands: map[string]bool{}, known: map[string]bool{}, domains: map[string]bool{}, seen: map[string]bool{}}
	for _, h := range append([]string{a.page}, hostStrings(opt.Hosts)...) {
		h, _, _ = strings.Cut(strings.ToLower(h), ":")
		if h == "" {
			continue
		}
		a.known[strings.TrimPrefix(h, "www.")] = true
		if l := label(h); l != "" {
			a.brands[l] = true
		}
		if r := registrable(h); r != "" {
			a.domains[r] = true
		}
	}
	p.bySentence(a)

	onion := func(v, evidence string) {
		// valid only on an https page that is no onion itself, for an onion of version 3
		if strings.HasPrefix(opt.URL, "https://") && !strings.HasSuffix(a.page, ".onion") && strings.HasSuffix(hostOf(v), ".onion") {
			a.add(v, "onion_location", 3, survey.High, evidence)
		}
	}
	if opt.Header != nil {
		if v := strings.TrimSpace(opt.Header("Onion-Location")); v != "" {
			onion(v, "Onion-Location: "+v)
		}
	}
	for _, pl := range places {
		u, ok := markup.Resolve(opt.URL, pl.URL)
		if !ok {
			continue
		}
		away := registrable(hostOf(u)) != "" && !a.domains[registrable(hostOf(u))]
		switch {
		case pl.Rel == "onion-location":
			onion(u, `<meta http-equiv="onion-location" content="`+u+`">`)
		case !away:
		case pl.Kind == markup.Canonical:
			a.add(u, "canonical", 5, survey.Medium, `<link rel="canonical" href="`+u+`">`)
		case pl.Element == "meta" && pl.Rel == "og:url":
			a.add(u, "og_url", 5, survey.Medium, `<meta property="og:url" content="`+u+`">`)
		case pl.Element == "script" && pl.Kind == markup.Meta && samePath(u, opt.URL):
			a.add(u, "json_ld", 5, survey.Medium, `JSON-LD "`+pl.Rel+`": "`+u+`"`)
		case pl.Kind == markup.Alternate && strings.Contains(pl.Rel, "amphtml"):
			if !strings.HasSuffix(hostOf(u), "ampproject.org") {
				a.add(u, "amphtml", 6, survey.Low, `<link rel="amphtml" href="`+u+`">`)
			}
		case pl.Kind == markup.Alternate:
			a.add(u, "hreflang", 6, survey.Low, alternateElement(src, pl, u))
		}
	}
	sort.SliceStable(a.found, func(i, j int) bool { return a.found[i].Rank < a.found[j].Rank })
	return a.found[:min(len(a.found), maxAnnounced)]
}

// alternateElement is a link element as evidence, with its language as it stands in the source.
func alternateElement(src []byte, pl markup.Place, u string) string {
	lang := ""
	from, to := bytes.LastIndexByte(src[:min(pl.Start, len(src))], '<'), len(src)
	if from >= 0 {
		if i := bytes.IndexByte(src[from:], '>'); i >= 0 {
			to = from + i
		}
		if m := hreflangValue.FindSubmatch(src[from:min(to, from+2000)]); m != nil {
			lang = ` hreflang="` + strings.ToLower(string(m[1])) + `"`
		}
	}
	return `<link rel="alternate"` + lang + ` href="` + u + `">`
}

var hreflangValue = regexp.MustCompile(`(?i)\bhreflang\s*=\s*["']?([a-z0-9-]{1,20})`)

func hostStrings(hosts []survey.Host) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = string(h)
	}
	return out
}

func samePath(a, b string) bool {
	return strings.TrimSuffix(pathOf(a), "/") == strings.TrimSuffix(pathOf(b), "/")
}

// bySentence looks for a sentence that announces addresses, and takes the hosts and foreign links in it and in the lines
// behind it, as long as each of those holds one.
func (p *Page) bySentence(a *announcer) {
	text := p.Visible
	if len(text) > 1<<20 {
		text = text[:1<<20]
	}
	links := p.Links
	at, li := 0, 0
	open, gap := "", 0
	checked := 0
	for at < len(text) {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text)
		} else {
			end += at
		}
		line := text[at:end]
		for li < len(links) && links[li].at < at-1 {
			li++
		}
		var here []Link
		for k := li; k < len(links) && links[k].at <= end && len(here) < 50; k++ {
			if links[k].at < end || links[k].Text == "" {
				here = append(here, links[k])
			}
		}
		start := -1
		if announcing(line) && checked < 2000 {
			checked++
			low := strings.ToLower(fold(line))
			for _, re := range sentences {
				if m := re.FindStringIndex(low); m != nil {
					start = m[0]
					break
				}
			}
		}
		switch {
		case start >= 0:
			// what follows the words; when folding moved them, the whole line
			tail := line
			if start <= len(line) && ascii(line) {
				tail = line[start:]
			}
			p.hostsIn(a, tail, here, at+len(line)-len(tail), line)
			open, gap = line, 0
		case open != "":
			if p.hostsIn(a, line, here, at, open) == 0 || len(line) > 300 {
				if gap++; gap > 1 {
					open = ""
				}
			}
		}
		at = end + 1
	}
}

// announcing is a cheap look before the expressions.
func announcing(line string) bool {
	if ascii(line) {
		low := line
		for _, w := range []string{"irror", "lternat", "ccess", "ackup", "omain", "ddress", "oved to", "vailable", "eached", "site", "SITE", "MIRROR", "ALTERNAT"} {
			if strings.Contains(low, w) {
				return true
			}
		}
		return false
	}
	return true
}

// hostsIn adds the hosts that line names from offset from on, and the foreign targets of its links; it returns how many
// it saw, known ones too.
func (p *Page) hostsIn(a *announcer, text string, links []Link, from int, evidence string) int {
	n := 0
	covered := map[string]bool{}
	for _, m := range hostInText.FindAllStringSubmatchIndex(text, 20) {
		if m[0] > 0 && (text[m[0]-1] == '@' || text[m[0]-1] == '.') {
			continue
		}
		host := text[m[4]:m[5]]
		if !plausibleHost(host) {
			continue
		}
		scheme := "https://"
		if m[2] >= 0 {
			scheme = strings.ToLower(text[m[2]:m[3]])
		}
		h, ok := publicHost(host)
		if !ok {
			continue
		}
		n++
		covered[h] = true
		raw := scheme + h
		if m[6] >= 0 {
			raw += ":" + text[m[6]:m[7]]
		}
		path := "/"
		if m[8] >= 0 {
			path = strings.TrimRight(text[m[8]:m[9]], ".,;:!?")
		}
		a.add(raw+path, "sentence", 2, survey.Medium, evidence+" "+text[m[0]:m[1]])
	}
	for _, l := range links {
		h := hostOf(l.URL)
		if l.at < from-1 || h == "" || a.domains[registrable(h)] || covered[h] {
			continue
		}
		n++
		a.add(l.URL, "sentence", 2, survey.Medium, evidence+" <"+l.URL+">")
	}
	return n
}

// plausibleHost tells names of hosts from "e.g." and sentences without a space behind the stop.
func plausibleHost(h string) bool {
	last := h[strings.LastIndexByte(h, '.')+1:]
	upper := 0
	for _, r := range last {
		if unicode.IsUpper(r) {
			upper++
		}
	}
	return upper == 0 || upper == len([]rune(last)) && strings.ToUpper(h) == h
}
