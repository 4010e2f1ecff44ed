package markup

// Attr is one attribute of a Tag: offsets of its name and of its raw value without quotes.
type Attr struct{ NameStart, NameEnd, Start, End int }

// Tag is one start tag. It and its Attrs are valid until the function that was given it returns.
type Tag struct {
	src []byte
	// Start is the offset of "<", NameEnd that behind the name, End that behind ">".
	Start, NameEnd, End int
	Attrs               []Attr
}

// Is reports whether the element's name is the lower-case word.
func (t *Tag) Is(name string) bool { return fold(t.src[t.Start+1:t.NameEnd], name) }

// Find returns the first attribute of that lower-case name, which is the one that counts.
func (t *Tag) Find(name string) (Attr, bool) {
	for _, a := range t.Attrs {
		if a.NameEnd-a.NameStart == len(name) && fold(t.src[a.NameStart:a.NameEnd], name) {
			return a, true
		}
	}
	return Attr{}, false
}

// Value returns the attribute's text, character references undone, white space around it removed.
func (t *Tag) Value(a Attr) string {
	v, _ := unescape(t.src[a.Start:a.End], nil)
	start, end := trim(v, 0, len(v))
	return string(v[start:end])
}

// Scan is HTML that also hands up start tags, each before the places in it; those inside srcdoc attributes are left out.
// Either function stops the scan by returning false.
func Scan(src []byte, tag func(*Tag) bool, place func(Place) bool) {
	s := scanner{src: src, yield: place, line: 1, tag: tag}
	s.run()
}

// show hands up the tag whose name is src[start:end) and whose attributes were read.
func (s *scanner) show(start, end, next int) {
	t := &s.shown
	t.src, t.Start, t.NameEnd, t.End = s.src, start-1, end, next
	t.Attrs = t.Attrs[:0]
	for _, a := range s.attrs {
		t.Attrs = append(t.Attrs, Attr{a.ns, a.ne, a.vs, a.ve})
	}
	if !s.tag(t) {
		s.stopped = true
	}
}
