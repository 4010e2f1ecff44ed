package cdxj

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Index is several index files seen as one. It is safe for concurrent use, except for Close.
type Index struct{ files []*File }

// Open opens index files as one index.
func Open(names ...string) (*Index, error) {
	x := &Index{}
	for _, name := range names {
		f, err := OpenFile(name)
		if err != nil {
			x.Close()
			return nil, err
		}
		x.files = append(x.files, f)
	}
	return x, nil
}

// New returns an index over files, which Close closes.
func New(files ...*File) *Index { return &Index{files: files} }

// Files returns the files.
func (x *Index) Files() []*File { return slices.Clone(x.files) }

// Close closes all files.
func (x *Index) Close() error {
	var errs []error
	for _, f := range x.files {
		errs = append(errs, f.Close())
	}
	x.files = nil
	return errors.Join(errs...)
}

// Range yields the lines whose octets are in [from, to), in order over all files; an empty bound is none. An error ends it.
// A line that cannot be parsed is an error that does not: the next line follows.
func (x *Index) Range(from, to string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for raw, err := range x.raw([]byte(from), []byte(to)) {
			if err != nil {
				yield(Line{}, err)
				return
			}
			l, err := Parse(raw)
			if !yield(l, err) {
				return
			}
		}
	}
}

// All yields every line in order.
func (x *Index) All() iter.Seq2[Line, error] { return x.Range("", "") }

// raw merges the lines of all files.
func (x *Index) raw(from, to []byte) iter.Seq2[[]byte, error] {
	if len(x.files) == 1 {
		return x.files[0].lines(from, to)
	}
	return func(yield func([]byte, error) bool) {
		var heads heap
		for _, f := range x.files {
			next, stop := iter.Pull2(f.lines(from, to))
			defer stop()
			line, err, ok := next()
			if err != nil {
				yield(nil, err)
				return
			}
			if ok {
				heads.push(head{line, next})
			}
		}
		for len(heads) > 0 {
			h := &heads[0]
			if !yield(h.line, nil) {
				return
			}
			line, err, ok := h.next()
			if err != nil {
				yield(nil, err)
				return
			}
			if ok {
				h.line = line
			} else {
				last := len(heads) - 1
				heads[0] = heads[last]
				heads = heads[:last]
			}
			heads.down()
		}
	}
}

type head struct {
	line []byte
	next func() ([]byte, error, bool)
}

// heap holds the next line of each file, the least first.
type heap []head

func (h *heap) push(x head) {
	*h = append(*h, x)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if bytes.Compare(s[parent].line, s[i].line) <= 0 {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

func (h heap) down() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if bytes.Compare(h[c].line, h[least].line) < 0 {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// Lookup yields the lines of one key, in order of time.
func (x *Index) Lookup(key string) iter.Seq2[Line, error] { return x.Range(key+" ", key+"!") }

// Exact yields the lines of a URL's key. Several URLs share a key: compare Line.URL, or use Closest with a Filter.
func (x *Index) Exact(rawURL string) iter.Seq2[Line, error] { return x.Lookup(SURT(rawURL)) }

// Between yields the lines of a URL's key from one time to another, both included to the second; a zero time is no bound.
func (x *Index) Between(rawURL string, from, to time.Time) iter.Seq2[Line, error] {
	key := SURT(rawURL)
	first, behind := key+" ", key+"!"
	if !from.IsZero() {
		first += Timestamp(from.Truncate(time.Second))
	}
	if !to.IsZero() {
		behind = key + " " + Timestamp(to.Truncate(time.Second).Add(time.Second))
	}
	return x.Range(first, behind)
}

// Prefix yields the lines of all URLs that start so, by key: a path is cut off anywhere. "http://host/news/" finds
// "/news/1" and "/news".
func (x *Index) Prefix(rawURL string) iter.Seq2[Line, error] {
	key := SURT(rawURL)
	return x.Range(key, after(key))
}

// after returns the first string that no string with this prefix reaches.
func after(prefix string) string {
	b := []byte(prefix)
	for len(b) > 0 {
		if last := len(b) - 1; b[last] < 0xff {
			b[last]++
			return string(b)
		}
		b = b[:len(b)-1]
	}
	return ""
}

// hostKey returns the part of a key that names a host, without what ends it.
func hostKey(host string) string {
	key, _, _ := strings.Cut(SURT("http://"+strings.TrimSuffix(host, "/")+"/"), ")")
	return key
}

// Host yields the lines of one host, with or without www, any scheme; a port, when given, must match.
func (x *Index) Host(host string) iter.Seq2[Line, error] {
	key := hostKey(host)
	return x.Range(key+")", key+"*")
}

// Domain yields the lines of a host and of everything below it, any port.
func (x *Index) Domain(host string) iter.Seq2[Line, error] {
	key := hostKey(host)
	return func(yield func(Line, error) bool) {
		// By octets: ")" the host, "," below it, ":" its other ports; in between stand hosts that only begin alike.
		for _, r := range [][2]string{{key + ")", key + "*"}, {key + ",", key + "-"}, {key + ":", key + ";"}} {
			for l, err := range x.Range(r[0], r[1]) {
				if !yield(l, err) {
					return
				}
			}
		}
	}
}

// Filter says which of the captures that share a key will do.
type Filter struct {
	// Exact asks for the URL itself: scheme, host and port are compared after the key look-up, since a key merges http,
	// https and www, and a mirror is told from another by nothing else.
	Exact bool
	// Accept, when set, decides about each remaining line.
	Accept func(*Line) bool
}

func (f *Filter) takes(origin string, l *Line) bool {
	if f.Exact && Origin(l.URL) != origin {
		return false
	}
	if selfRedirect(l, f.Exact) {
		return false
	}
	return f.Accept == nil || f.Accept(l)
}

// selfRedirect reports a redirect that would lead back to this look-up: to a URL of the same key, or with exact to the
// same origin and key. Following it in a replay never ends (pywb#18, #73, #865).
func selfRedirect(l *Line, exact bool) bool {
	if len(l.Status) != 3 || l.Status[0] != '3' || l.Location == "" {
		return false
	}
	if SURT(l.Location) != l.Key {
		return false
	}
	return !exact || Origin(l.Location) == Origin(l.URL)
}

// Origin returns scheme, host and port of a URL in one form: lower case, the default port left out. "" when it has none.
func Origin(rawURL string) string {
	scheme, ok := schemeOf(rawURL)
	if !ok {
		return ""
	}
	rest, ok := strings.CutPrefix(rawURL[len(scheme)+1:], "//")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		rest = rest[:i]
	}
	host, port := splitPort(rest[strings.LastIndexByte(rest, '@')+1:])
	if u, err := url.PathUnescape(host); err == nil {
		host = u
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !isASCII(host) {
		host = asciiHost(host)
	}
	if port == "" || (scheme == "http" && port == "80") || (scheme == "https" && port == "443") {
		return scheme + "://" + host
	}
	return scheme + "://" + host + ":" + port
}

// Closest returns the capture of the URL whose time is nearest, the earlier one on a tie. ok is false when none will do.
func (x *Index) Closest(rawURL string, at time.Time, filter Filter) (best Line, ok bool, err error) {
	key, origin := SURT(rawURL), Origin(rawURL)
	pivot := []byte(key + " " + at.UTC().Format("20060102150405"))
	from, to := []byte(key+" "), []byte(key+"!")
	var bestDelta time.Duration
	var bestRaw []byte
	consider := func(raw []byte) (stop bool, err error) {
		l, err := Parse(raw)
		if err != nil {
			return false, nil // verify names it; the other captures still serve
		}
		t := l.Time()
		delta := t.Sub(at).Abs()
		if ok {
			// Lines go away from the pivot in time: none behind this one is nearer.
			if delta > bestDelta {
				return true, nil
			}
			if delta == bestDelta && cmp.Or(t.Compare(best.Time()), bytes.Compare(raw, bestRaw)) >= 0 {
				return false, nil // earlier first; of equal times the first by octets
			}
		}
		if filter.takes(origin, &l) {
			best, bestDelta, ok = l, delta, true
			bestRaw = append(bestRaw[:0], raw...)
		}
		return false, nil
	}
	for _, f := range x.files {
		off, err := f.seek(pivot)
		if err != nil {
			return Line{}, false, err
		}
		// Back from the pivot, then on from it. The pivot has whole seconds; what has milliseconds comes after it.
		buf := make([]byte, blockSize)
		for back := off; ; {
			line, start, grown, err := f.before(back, buf)
			buf = grown
			if err != nil {
				return Line{}, false, err
			}
			if len(line) == 0 || bytes.Compare(line, from) < 0 {
				break
			}
			stop, err := consider(line)
			if err != nil {
				return Line{}, false, err
			}
			if stop {
				break
			}
			back = start
		}
		w := window{f: f, buf: buf}
		w.reset(off)
		passed := 0
		for {
			line, _, err := w.next()
			if err != nil {
				return Line{}, false, err
			}
			if len(line) == 0 || bytes.Compare(line, to) >= 0 {
				break
			}
			stop, err := consider(line)
			if err != nil {
				return Line{}, false, err
			}
			// Within the pivot's own second the distance may shrink first.
			if stop && !bytes.HasPrefix(line, pivot) {
				if passed++; passed > 1 {
					break
				}
			}
		}
	}
	return best, ok, nil
}

// Merge writes the lines of all files in order to w, each distinct line once, and returns how many.
func Merge(w io.Writer, files ...*File) (lines int64, err error) {
	return MergeFunc(w, nil, files...)
}

// MergeFunc is Merge of the lines keep wants; nil wants all.
func MergeFunc(w io.Writer, keep func(*Line) bool, files ...*File) (lines int64, err error) {
	out := bufio.NewWriterSize(w, 256<<10)
	var last []byte
	for raw, err := range (&Index{files: files}).raw(nil, nil) {
		if err != nil {
			return lines, err
		}
		raw = bytes.TrimRight(raw, "\r\n")
		if bytes.Equal(raw, last) {
			continue // a record that is in two indexes after a crash between merge and removal
		}
		if last != nil && bytes.Compare(raw, last) < 0 {
			return lines, ErrOrder
		}
		last = append(last[:0], raw...)
		if keep != nil {
			l, err := Parse(raw)
			if err != nil {
				return lines, err
			}
			if !keep(&l) {
				continue
			}
		}
		lines++
		if _, err := out.Write(raw); err != nil {
			return lines, err
		}
		if err := out.WriteByte('\n'); err != nil {
			return lines, err
		}
	}
	return lines, out.Flush()
}

// AppendSorted appends lines in order, as a file of them must stand.
func AppendSorted(b []byte, lines []Line) []byte {
	rows := make([][]byte, len(lines))
	for i := range lines {
		rows[i] = lines[i].Append(nil)
	}
	slices.SortFunc(rows, bytes.Compare)
	for i, r := range rows {
		if i > 0 && bytes.Equal(r, rows[i-1]) {
			continue
		}
		b = append(b, r...)
	}
	return b
}
