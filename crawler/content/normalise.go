package content

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"mirrorwatch/crawler/survey"
)

// HostToken stands for every host of the mirror set in normalised text.
const HostToken = "mirrorhost"

// Normalise brings s into the form in which texts are compared (classification 2.5): NFKC, case folded, quotes, dashes and
// spaces of one kind each, soft hyphens, zero-width and direction marks gone, letters of the Arabic script that keyboards
// exchange and digits of all scripts unified, hosts of the mirror set replaced by HostToken, tracking parameters of URLs
// dropped. Normalise(Normalise(s)) is Normalise(s). Lines stay lines.
func Normalise(s string, hosts []survey.Host) string {
	if !simple(s) {
		s = fold(s)
	}
	s = spaces(s)
	if len(hosts) > 0 {
		s = replaceHosts(s, hosts)
	}
	if strings.IndexByte(s, '?') >= 0 && (strings.Contains(s, "=")) {
		s = dropTracking(s)
	}
	return s
}

// simple reports whether s is lower-case ASCII already.
func simple(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 || 'A' <= c && c <= 'Z' || c == '`' {
			return false
		}
	}
	return true
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func fold(s string) string {
	if ascii(s) {
		return strings.ToLower(strings.ReplaceAll(s, "`", "'"))
	}
	var b strings.Builder
	b.Grow(len(s))
	// Marks go first: between two letters they would keep NFKC from composing them.
	for _, r := range s {
		if !invisible(r) {
			b.WriteRune(r)
		}
	}
	s = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(b.String())))
	b.Reset()
	b.Grow(len(s))
	for _, r := range s {
		if r < 0x80 {
			if r == '`' {
				r = '\''
			}
			b.WriteByte(byte(r))
			continue
		}
		if r = unify(r); r >= 0 {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// invisible reports whether a character is shown by nothing: dropped in normal form, counted in Noise.
func invisible(r rune) bool {
	switch {
	case r < 0xAD:
		return false
	case r == 0xAD, r == 0x034F, r == 0x061C, r == 0x115F, r == 0x1160, r == 0x17B4, r == 0x17B5, r == 0x180E,
		0x200B <= r && r <= 0x200F, 0x202A <= r && r <= 0x202E, 0x2060 <= r && r <= 0x206F,
		r == 0x3164, r == 0xFEFF, r == 0xFFA0, 0xFE00 <= r && r <= 0xFE0F, 0xE0000 <= r && r <= 0xE007F:
		return true
	}
	return false
}

// unify maps a character to the one that stands for its kind; -1 drops it.
func unify(r rune) rune {
	switch r {
	case '‘', '’', '‚', '‛', '′', '‵', 'ʼ', 'ʹ', 'ʻ', '´', '‹', '›', '׳', '＇':
		return '\''
	case '“', '”', '„', '‟', '″', '‶', '«', '»', '״', '「', '」', '『', '』', '〝', '〞', '〟', '＂':
		return '"'
	case '‐', '‑', '‒', '–', '—', '―', '−', '⁃', '﹘', '﹣', '－', '־':
		return '-'
	case '…':
		return '.'
	// letters of the Arabic script that keyboards exchange
	case 'ي', 'ى', 'ې', 'ے':
		return 'ی'
	case 'ك', 'ڪ':
		return 'ک'
	case 'ہ', 'ھ', 'ە', 'ۀ', 'ۂ':
		return 'ه'
	case 'ٱ':
		return 'ا'
	case 'ـ': // tatweel
		return -1
	case '،':
		return ','
	case '؛':
		return ';'
	case '؟':
		return '?'
	case '٪':
		return '%'
	case '٫':
		return '.'
	case '٬':
		return ','
	case '۔', '。', '।':
		return '.'
	case '、':
		return ','
	}
	switch {
	case 0x064B <= r && r <= 0x0652, r == 0x0670: // vowel marks, written or not
		return -1
	case 0x0591 <= r && r <= 0x05C7 && unicode.Is(unicode.Mn, r): // Hebrew points
		return -1
	case unicode.Is(unicode.Nd, r):
		// the digits of a script stand in order; its zero is the one that no digit precedes
		z := r
		for r-z < 9 && unicode.Is(unicode.Nd, z-1) {
			z--
		}
		return '0' + (r-z)%10
	case unicode.Is(unicode.Zs, r), r == 0x2028, r == 0x2029, r == 0x85:
		return ' '
	}
	return r
}

// spaces collapses white space: runs with a newline to one newline, others to one space; none at the ends.
func spaces(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\t' || c == '\r' || c == '\v' || c == '\f' || (c == ' ' || c == '\n') && (i == 0 || i+1 == len(s) || s[i-1] == ' ' || s[i-1] == '\n') {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	space, line := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\n':
			line = true
		case ' ', '\t', '\r', '\v', '\f':
			space = true
		default:
			if b.Len() > 0 {
				if line {
					b.WriteByte('\n')
				} else if space {
					b.WriteByte(' ')
				}
			}
			space, line = false, false
			b.WriteByte(c)
		}
	}
	return b.String()
}

// replaceHosts puts HostToken for each host, with its scheme where one stands before it. The form without "www." counts
// too; "french.presstv.ir" is another host and stays.
func replaceHosts(s string, hosts []survey.Host) string {
	names := make([]string, 0, 2*len(hosts))
	seen := map[string]bool{}
	add := func(n string) {
		if n != "" && strings.IndexByte(n, '.') > 0 && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, h := range hosts {
		n := strings.ToLower(string(h))
		add(n)
		add(strings.TrimPrefix(n, "www."))
		add("www." + strings.TrimPrefix(n, "www."))
	}
	sort.Slice(names, func(i, j int) bool {
		if len(names[i]) != len(names[j]) {
			return len(names[i]) > len(names[j])
		}
		return names[i] < names[j]
	})
	for _, n := range names {
		if strings.Contains(s, n) {
			s = replaceHost(s, n)
		}
	}
	return s
}

func replaceHost(s, name string) string {
	var b strings.Builder
	rest := s
	for {
		i := strings.Index(rest, name)
		if i < 0 {
			break
		}
		end := i + len(name)
		before, _ := utf8.DecodeLastRuneInString(rest[:i])
		if i == 0 && b.Len() > 0 {
			before = 'x' // right behind another replacement
		}
		after, n := utf8.DecodeRuneInString(rest[end:])
		next, _ := utf8.DecodeRuneInString(rest[min(end+n, len(rest)):])
		if hostRune(before) || before == '.' || hostRune(after) && after < 0x2E80 || after == '.' && hostRune(next) && next < 0x2E80 {
			b.WriteString(rest[:end])
			rest = rest[end:]
			continue
		}
		head := rest[:i]
		head = strings.TrimSuffix(head, "://")
		if len(head) < i {
			head = strings.TrimSuffix(strings.TrimSuffix(head, "https"), "http")
		}
		b.WriteString(head)
		b.WriteString(HostToken)
		rest = rest[end:]
	}
	if b.Len() == 0 {
		return s
	}
	b.WriteString(rest)
	return b.String()
}

func hostRune(r rune) bool {
	return r != utf8.RuneError && (r == '-' || r == '_' || unicode.IsLetter(r) && r < 0x2E80 || unicode.IsDigit(r))
}

// tracking reports whether a query parameter only tells where the reader came from.
func tracking(name string) bool {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "utm_") || strings.HasPrefix(name, "pk_") || strings.HasPrefix(name, "mtm_") || strings.HasPrefix(name, "at_") || strings.HasPrefix(name, "hsa_") {
		return true
	}
	switch name {
	case "fbclid", "gclid", "dclid", "gbraid", "wbraid", "msclkid", "yclid", "twclid", "ttclid", "igshid", "mc_cid", "mc_eid",
		"_ga", "_gl", "_hsenc", "_hsmi", "vero_id", "wt_mc", "cmpid", "cmp", "ocid", "ncid", "ito", "icid", "smid", "smtyp",
		"spm", "ref_src", "ref_url", "__twitter_impression", "s_cid", "xtor", "mkt_tok", "ns_mchannel", "ns_source", "ns_campaign":
		return true
	}
	return false
}

// dropTracking takes tracking parameters out of the URLs in s.
func dropTracking(s string) string {
	var b strings.Builder
	last := 0
	for i := 0; i < len(s); i++ {
		if s[i] != '?' {
			continue
		}
		start := strings.LastIndexAny(s[:i], " \n\"'(<") + 1
		if w := s[max(start, last):i]; !strings.Contains(w, "://") && !strings.Contains(w, HostToken) && !strings.HasPrefix(w, "www.") {
			continue
		}
		end := i + 1
		for end < len(s) && s[end] > ' ' && s[end] != '"' && s[end] != '\'' && s[end] != '<' && s[end] != '#' && s[end] != ')' {
			end++
		}
		query := cleanQuery(s[i+1 : end])
		if len(query) == end-i-1 {
			i = end - 1
			continue
		}
		b.WriteString(s[last:i])
		if query != "" {
			b.WriteByte('?')
			b.WriteString(query)
		}
		last = end
		i = end - 1
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

func cleanQuery(q string) string {
	if q == "" {
		return q
	}
	var keep []string
	parts := strings.Split(q, "&")
	for _, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if !tracking(name) {
			keep = append(keep, part)
		}
	}
	if len(keep) == len(parts) {
		return q
	}
	return strings.Join(keep, "&")
}

// LinkKey brings a link's target into the form in which targets on different mirrors are equal: scheme and hosts of the
// mirror set unified, tracking parameters and fragment dropped.
func LinkKey(url string, hosts []survey.Host) string {
	if i := strings.IndexByte(url, '#'); i >= 0 {
		url = url[:i]
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	n := strings.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	host, path := strings.ToLower(rest[:n]), rest[n:]
	for _, h := range hosts {
		if host == string(h) || strings.TrimPrefix(host, "www.") == strings.TrimPrefix(string(h), "www.") {
			host, scheme = HostToken, ""
			break
		}
	}
	if i := strings.IndexByte(path, '?'); i >= 0 {
		q := cleanQuery(path[i+1:])
		path = path[:i]
		if q != "" {
			path += "?" + q
		}
	}
	if path == "" {
		path = "/"
	}
	if scheme == "" {
		return host + path
	}
	return "//" + host + path
}

// unspaced reports whether the rune belongs to a script that puts no spaces between words, and is its own token.
func unspaced(r rune) bool {
	switch {
	case r < 0x0E00:
		return false
	case 0x0E00 <= r && r <= 0x0EFF, // Thai, Lao
		0x1000 <= r && r <= 0x109F, 0xAA60 <= r && r <= 0xAA7F, 0xA9E0 <= r && r <= 0xA9FF, // Burmese
		0x1780 <= r && r <= 0x17FF, 0x19E0 <= r && r <= 0x19FF, // Khmer
		0x2E80 <= r && r <= 0x2FDF, 0x3005 <= r && r <= 0x3007, 0x3040 <= r && r <= 0x30FF, 0x3100 <= r && r <= 0x312F,
		0x31F0 <= r && r <= 0x31FF, 0x3400 <= r && r <= 0x4DBF, 0x4E00 <= r && r <= 0x9FFF, 0xF900 <= r && r <= 0xFAFF,
		0x20000 <= r && r <= 0x3FFFF:
		return true
	}
	return false
}

func hangul(r rune) bool { return 0xAC00 <= r && r <= 0xD7A3 || 0x1100 <= r && r <= 0x11FF }

// Count counts words as people do: runs of letters and digits; two letters to a word in Chinese, Japanese, Korean, Thai,
// Lao, Khmer and Burmese.
func Count(s string) int {
	words, letters := 0, 0
	in := false
	for i := 0; i < len(s); {
		c := rune(s[i])
		n := 1
		if c >= 0x80 {
			c, n = utf8.DecodeRuneInString(s[i:])
		}
		i += n
		switch {
		case c < 0x80:
			w := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
			if w && !in {
				words++
			}
			in = w || in && c == '\'' || in && c == '_'
		case unspaced(c) || hangul(c):
			if unicode.IsLetter(c) || c >= 0x4E00 {
				letters++
			}
			in = false
		case unicode.IsLetter(c) || unicode.IsDigit(c):
			if !in {
				words++
			}
			in = true
		case unicode.IsMark(c) || invisible(c) || c == '’':
		default:
			in = false
		}
	}
	return words + (letters+1)/2
}

// Words cuts s into normalised tokens: runs of letters, digits and marks, an apostrophe inside them kept; single letters
// (with their marks) in scripts without spaces, so that shingles of tokens work for them too. Punctuation is dropped.
func Words(s string) []string {
	s = Normalise(s, nil)
	words := make([]string, 0, len(s)/6+1)
	start := -1
	alone := false // start is a letter of an unspaced script
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= 0x80 {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case r < 0x80 && ('a' <= r && r <= 'z' || '0' <= r && r <= '9'), r >= 0x80 && !unspaced(r) && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			if alone {
				words = append(words, s[start:i])
				start, alone = -1, false
			}
			if start < 0 {
				start = i
			}
		case r >= 0x80 && unicode.IsMark(r): // with what stands before it
		case r >= 0x80 && unspaced(r) && (unicode.IsLetter(r) || r == 0x3005 || r == 0x3007):
			if start >= 0 {
				words = append(words, s[start:i])
			}
			start, alone = i, true
		case (r == '\'' || r == '.' || r == ',') && start >= 0 && !alone && inside(s, i, r):
		default:
			if start >= 0 {
				words = append(words, s[start:i])
			}
			start, alone = -1, false
		}
		i += n
	}
	if start >= 0 {
		words = append(words, s[start:])
	}
	return words
}

// inside reports whether the mark at i joins: an apostrophe between letters, a point or comma between digits.
func inside(s string, i int, r rune) bool {
	if i+1 >= len(s) {
		return false
	}
	next, _ := utf8.DecodeRuneInString(s[i+1:])
	if r == '\'' {
		return unicode.IsLetter(next) && !unspaced(next)
	}
	return s[i-1] >= '0' && s[i-1] <= '9' && next >= '0' && next <= '9'
}

// Shingles returns the hashes of all runs of n words; one hash of all when there are fewer.
func Shingles(words []string, n int) map[uint64]struct{} {
	if len(words) == 0 || n < 1 {
		return map[uint64]struct{}{}
	}
	set := make(map[uint64]struct{}, len(words))
	each(words, n, func(h uint64) { set[h] = struct{}{} })
	return set
}

func each(words []string, n int, f func(uint64)) {
	hashes := make([]uint64, len(words))
	for i, w := range words {
		h := uint64(14695981039346656037)
		for k := 0; k < len(w); k++ {
			h = (h ^ uint64(w[k])) * 1099511628211
		}
		hashes[i] = h
	}
	n = min(n, len(words))
	for i := 0; i+n <= len(words); i++ {
		h := uint64(n)
		for _, w := range hashes[i : i+n] {
			h = (h ^ w) * 0x9E3779B97F4A7C15
			h ^= h >> 29
		}
		f(h)
	}
}

// measureNoise counts the invisible and the deceiving characters of s.
func measureNoise(s string) (n Noise) {
	if ascii(s) {
		return n
	}
	var before rune
	latin, alike := false, false
	word := func() {
		if latin && alike {
			n.Homoglyphs++
		}
		latin, alike = false, false
	}
	for i, r := range s {
		switch {
		case r == 0xAD:
			n.SoftHyphen++
			continue
		case r == 0x200C || r == 0x200D:
			next, _ := utf8.DecodeRuneInString(s[i+3:])
			if !joins(before) && !joins(next) {
				n.ZeroWidth++
			}
			continue
		case 0x202A <= r && r <= 0x202E, 0x2066 <= r && r <= 0x2069, r == 0x200E, r == 0x200F, r == 0x061C:
			n.Bidi++
			continue
		case 0xFE00 <= r && r <= 0xFE0F: // variation selectors of emoji
			continue
		case invisible(r):
			n.ZeroWidth++
			continue
		case r < 0x80:
			if 'a' <= r|0x20 && r|0x20 <= 'z' {
				latin = true
			} else if r != '\'' && r != '-' {
				word()
			}
		case unicode.Is(unicode.Cyrillic, r) || unicode.Is(unicode.Greek, r) && r != 'µ' && r != 'Ω':
			alike = true
		case unicode.Is(unicode.Latin, r):
			latin = true
		case !unicode.IsLetter(r) && !unicode.IsMark(r):
			word()
		}
		before = r
	}
	word()
	return n
}

// joins reports whether a joiner beside r does what joiners are for: scripts with joined letters, and emoji.
func joins(r rune) bool {
	return unicode.In(r, unicode.Arabic, unicode.Syriac, unicode.Devanagari, unicode.Bengali, unicode.Tamil, unicode.Telugu,
		unicode.Kannada, unicode.Malayalam, unicode.Gujarati, unicode.Gurmukhi, unicode.Sinhala, unicode.Oriya, unicode.Khmer,
		unicode.Myanmar, unicode.Mongolian, unicode.Thai, unicode.Lao) || unicode.Is(unicode.So, r) || unicode.Is(unicode.Sk, r)
}
