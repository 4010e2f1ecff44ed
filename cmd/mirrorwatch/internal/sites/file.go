// Package sites reads mirrorwatch.yaml strictly: whatever is not understood is an error that points at its place. It
// also holds the readers of flag values, so that a flag and a key of the same name take the same.
package sites

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"mirrorwatch/crawler/survey"
)

const (
	maxFile = 1 << 20
)

// Error is one mistake in a sites file: where it is and how to mend it. Line and Column count from 1, in runes.
type Error struct {
	File         string
	Line, Column int
	Problem      string
	Hint         string
	source       string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
	if e.source != "" {
		gutter := fmt.Sprintf("%5d | ", e.Line)
		fmt.Fprintf(&b, "\n%s%s\n%s| ", gutter, clean(e.source), strings.Repeat(" ", len(gutter)-2))
		for i, r := range []rune(e.source) {
			if i >= e.Column-1 {
				break
			}
			if r != '\t' {
				r = ' '
			}
			b.WriteRune(r)
		}
		b.WriteByte('^')
	}
	if e.Hint != "" {
		b.WriteString("\nhint: " + e.Hint)
	}
	return b.String()
}

// clean replaces what a terminal would act on.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// File is a sites file that was read and found right.
type File struct {
	Name      string // as given
	Dir       string // its folder: paths in it are relative to it
	Data      string // the data folder, resolved; empty when not given
	Contact   string
	Operator  string
	PublicURL string
	ReplayURL string
	Schedule  Cron
	Heartbeat Secret
	Vantages  []Vantage
	Sites     []*Site
	Notify    []Notice
	Incidents Incidents
	Retention Retention

	canaries []string
	defaults layer
	later    []string
}

// Vantage is a vantage of the file; empty fields are filled from the settings.
type Vantage struct {
	Name, Resolver, Source string
	Proxy                  Secret
}

// Site is one site of the file.
type Site struct {
	Name     string
	Primary  survey.Mirror
	Contacts map[survey.Host][]Secret // whom to tell about a mirror: shoutrrr URLs
	Feeds    []string                 // URLs on the primary
	Sitemaps []string
	Newest   int // articles taken from feeds and sitemaps; 0: not said
	Rules    []LinkRule

	articles []string
	paths    []PathRule
	layer    layer
}

// PathRule says that a mirror keeps articles under other paths: From is a regular expression over the primary's path.
type PathRule struct {
	From   *regexp.Regexp
	To     string
	Mirror survey.Host // empty: every alternate
}

// LinkRule says how a status of matching links is taken.
type LinkRule struct {
	Match  *regexp.Regexp
	Status map[int]string // ok, warn, skip (or ignore), error (or broken)
}

// Notice is one address to tell: a shoutrrr URL or a program.
type Notice struct {
	URL   Secret
	Exec  []string
	On    []string
	Sites []string
	Quiet []Maintenance // windows in which nothing is sent; what is held goes out afterwards, together
	// Digest is when all that happened since the last time is told in one message; the zero value: each run tells its own.
	Digest Cron
	Zone   *time.Location // of Digest
}

// Holds reports whether something that happened at created is not yet to be told at now: in quiet hours, or before the
// digest that it belongs to.
func (n Notice) Holds(created, now time.Time) bool {
	if open(n.Quiet, now) {
		return true
	}
	if n.Digest.IsZero() {
		return false
	}
	at := n.Digest.Next(created.In(n.Zone))
	return !at.IsZero() && now.Before(at)
}

// Incidents holds the rules of incidents.
type Incidents struct {
	DownAfter, UpAfter int           // runs in a row; 3 and 2 when not said
	DownFor            time.Duration // down_after given as a time
	Remind             time.Duration // 24h when not said; 0: never
	Maintenance        []Maintenance
}

// DefaultIncidents are the rules when the file says nothing.
var DefaultIncidents = Incidents{DownAfter: 3, UpAfter: 2, Remind: 24 * time.Hour}

// InMaintenance reports whether t lies in one of the windows.
func (in Incidents) InMaintenance(t time.Time) bool { return open(in.Maintenance, t) }

func open(windows []Maintenance, t time.Time) bool {
	for _, m := range windows {
		// The window that t lies in began at most For ago.
		local := t.In(m.Zone)
		begin := m.Cron.Next(local.Add(-m.For - time.Minute))
		for !begin.IsZero() && !begin.After(local) {
			if local.Before(begin.Add(m.For)) {
				return true
			}
			begin = m.Cron.Next(begin)
		}
	}
	return false
}

// DefaultRetention is kept when the file says nothing.
var DefaultRetention = Retention{Epoch: "month", Raw: 90 * 24 * time.Hour, Hourly: 365 * 24 * time.Hour}

// Maintenance is a window of time that comes again and again: of maintenance, which is measured but neither counted nor
// told, or of quiet hours.
type Maintenance struct {
	Cron Cron
	For  time.Duration
	Zone *time.Location
}

// Retention says what is kept; zero is for ever or without bound.
type Retention struct {
	Epoch               string
	Raw, Hourly, WARC   time.Duration
	WARCBytes, FreeDisk int64
}

// Load reads the file. Its error is *Error for a mistake in the file (the first one), else that of reading it. getenv
// looks up ${NAME}; an empty or unset variable is an error.
func Load(name string, getenv func(string) string) (*File, error) {
	r, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	src, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", name, err)
	}
	if len(src) > maxFile {
		return nil, fmt.Errorf("%q is larger than %s: it is no sites file", name, FormatSize(maxFile))
	}
	return Parse(name, src, getenv)
}

// Parse is Load for a file already read.
func Parse(name string, src []byte, getenv func(string) string) (f *File, err error) {
	d := &decoder{name: name, lines: strings.Split(string(src), "\n"), getenv: getenv}
	// The YAML parser is not ours: a panic on odd input is a syntax error to the user.
	defer func() {
		if p := recover(); p != nil {
			e, ours := p.(*Error)
			if !ours {
				e = &Error{File: name, Line: 1, Column: 1, Problem: "this is no YAML that can be read"}
			}
			f, err = nil, e
		}
	}()
	d.bounded()
	tree, perr := parser.ParseBytes(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), 0)
	if perr != nil {
		var ye yaml.Error
		if errors.As(perr, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			d.fail(p.Line, p.Column, ye.GetMessage(), "")
		}
		d.fail(1, 1, strings.SplitN(perr.Error(), "\n", 2)[0], "")
	}
	f = &File{Name: name, Dir: filepath.Dir(name), defaults: layer{}, Incidents: DefaultIncidents, Retention: DefaultRetention}
	if len(tree.Docs) > 1 {
		d.failAt(tree.Docs[1].Body, "a sites file is one document", "take out the line ---")
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		d.fail(1, 1, "the file is empty", "mirrorwatch init URL writes one")
	}
	d.file(f, tree.Docs[0].Body)
	return f, nil
}

type decoder struct {
	name   string
	lines  []string
	getenv func(string) string
	// expanded holds the values that came from the environment, with the names they came by: no message may quote one.
	expanded map[string]string
}

func (d *decoder) fail(line, col int, problem, hint string) {
	for v, name := range d.expanded {
		for _, form := range []string{strconv.Quote(v), v} {
			if form != v || len(v) >= 4 {
				problem, hint = strings.ReplaceAll(problem, form, name), strings.ReplaceAll(hint, form, name)
			}
		}
	}
	e := &Error{File: d.name, Line: max(line, 1), Column: max(col, 1), Problem: problem, Hint: hint}
	if e.Line <= len(d.lines) {
		// Passwords in URLs are hidden at equal length, so that the caret keeps its place.
		e.source = userinfo.ReplaceAllStringFunc(strings.TrimRight(d.lines[e.Line-1], "\r"), func(m string) string {
			return "://" + strings.Repeat("*", len([]rune(m))-4) + "@"
		})
	}
	panic(e)
}

func (d *decoder) failAt(n ast.Node, problem, hint string) {
	if n == nil || n.GetToken() == nil {
		d.fail(1, 1, problem, hint)
	}
	p := n.GetToken().Position
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		p = m.Values[0].Key.GetToken().Position
	}
	d.fail(p.Line, p.Column, problem, hint)
}

func (d *decoder) check(n ast.Node, err error) {
	if err == nil {
		return
	}
	var ve *ValueError
	problem, hint := err.Error(), ""
	if errors.As(err, &ve) {
		problem, hint = ve.Problem, ve.Want
	}
	if name := d.expands(n); name != "" {
		// What a variable holds may be secret, and a problem can quote any part of it.
		problem = "the value of " + name + " cannot be used here"
		if strings.HasPrefix(hint, "did you mean") {
			hint = ""
		}
	}
	d.failAt(n, problem, hint)
}

// expands returns the first ${NAME} in a scalar, empty when it has none.
func (d *decoder) expands(n ast.Node) string {
	text := ""
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	}
	for _, m := range variable.FindAllString(text, -1) {
		if m != "$$" {
			return m
		}
	}
	return ""
}

type entry struct {
	key   string
	node  ast.Node // the key
	value ast.Node
}

func (d *decoder) entries(n ast.Node, what string) []entry {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		d.failAt(n, what+" must be keys with values", "like key: value")
	}
	seen := map[string]bool{}
	var list []entry
	for _, p := range pairs {
		if p.Key.IsMergeKey() {
			d.failAt(p.Key, "merge keys are not understood", "use defaults")
		}
		k := p.Key.GetToken().Value
		if seen[k] {
			d.failAt(p.Key, fmt.Sprintf("key %q is given twice in %s", k, what), "keep one of them")
		}
		seen[k] = true
		list = append(list, entry{k, p.Key, p.Value})
	}
	return list
}

func null(n ast.Node) bool {
	if n == nil {
		return true
	}
	_, ok := n.(*ast.NullNode)
	return ok
}

// raw returns a scalar's text before expansion.
func (d *decoder) raw(n ast.Node, what string) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		d.failAt(n, "anchors, aliases and tags are not understood", "write the value itself")
	}
	hint := ""
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		hint = "put quotes around it: a colon makes a key of what stands before it"
	}
	d.failAt(n, what+" must be a single value", hint)
	return ""
}

var variable = regexp.MustCompile(`\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// value returns a scalar's text with ${NAME} expanded; "$$" is "$".
func (d *decoder) value(n ast.Node, what string) string {
	return variable.ReplaceAllStringFunc(d.raw(n, what), func(m string) string {
		if m == "$$" {
			return "$"
		}
		v := d.getenv(m[2 : len(m)-1])
		if v == "" {
			d.failAt(n, "environment variable "+m[2:len(m)-1]+" is not set", "set it, or write $$ for a dollar sign")
		}
		if d.expanded == nil {
			d.expanded = map[string]string{}
		}
		d.expanded[v] = m
		return v
	})
}

var userinfo = regexp.MustCompile(`://[^/\s"']*@`)

var oneVariable = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

func (d *decoder) secret(n ast.Node, what string) Secret {
	s := NewSecret(d.value(n, what))
	if raw := d.raw(n, what); oneVariable.MatchString(raw) {
		s.recorded = raw
	}
	if !strings.Contains(s.value, ":") {
		d.failAt(n, what+" is no URL", "like smtp://user:password@host/?to=ops@example.org, best from ${NAME}")
	}
	return s
}

func (d *decoder) list(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.SequenceNode:
		return n.Values
	case nil, *ast.NullNode:
		return nil
	}
	return []ast.Node{n}
}

func (d *decoder) unknown(e entry, what string, known ...string) {
	hint := "known are " + strings.Join(known, ", ")
	if near := nearest(e.key, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.failAt(e.node, fmt.Sprintf("unknown key %q in %s", e.key, what), hint)
}

var (
	topKeys  = []string{"data", "contact", "operator", "canaries", "defaults", "vantages", "sites", "incidents", "notify", "heartbeat", "retention", "schedule", "public_url", "replay_url"}
	siteKeys = []string{"primary", "mirrors", "articles", "feeds", "sitemaps", "newest", "paths", "rules", "baseline"}
)

func (d *decoder) file(f *File, n ast.Node) {
	top := d.entries(n, "the sites file")
	var scratch Settings
	var sitesNode ast.Node
	for _, e := range top {
		switch e.key {
		case "public_url", "replay_url":
			if !null(e.value) {
				f.later = append(f.later, e.key)
			}
		}
		if null(e.value) && e.key != "sites" {
			if !contains(topKeys, e.key) {
				d.unknown(e, "the sites file", topKeys...)
			}
			continue
		}
		v := e.value
		switch e.key {
		case "data":
			f.Data = relativeTo(f.Dir, d.value(v, e.key))
		case "contact", "operator":
			s, err := plainText("printable text")(d.value(v, e.key))
			d.check(v, err)
			if e.key == "contact" {
				f.Contact = s
			} else {
				f.Operator = s
			}
		case "canaries":
			f.canaries = d.setting(&scratch, findSetting("canaries"), v)
		case "defaults":
			d.layer(f.defaults, v, "defaults", false, nil)
		case "vantages":
			d.vantages(f, v)
		case "sites":
			sitesNode = v
		case "incidents":
			d.incidents(&f.Incidents, v)
		case "notify", "heartbeat":
		case "retention":
			d.retention(&f.Retention, v)
		case "schedule":
			c, err := ParseCron(d.value(v, e.key))
			d.check(v, err)
			f.Schedule = c
		case "public_url", "replay_url":
			u, err := ParseURL(d.value(v, e.key))
			d.check(v, err)
			if e.key == "public_url" {
				f.PublicURL = u.String()
			} else {
				f.ReplayURL = u.String()
			}
		default:
			d.unknown(e, "the sites file", topKeys...)
		}
	}
	if null(sitesNode) {
		d.failAt(n, "no sites are given", "sites: {NAME: {primary: https://www.example.org, articles: [/story]}}")
	}
	if len(d.entries(sitesNode, "sites")) == 0 {
		d.failAt(sitesNode, "no sites are given", "sites: {NAME: {primary: https://www.example.org, articles: [/story]}}")
	}
	for _, e := range d.entries(sitesNode, "sites") {
		d.check(e.node, checkName("site", e.key))
		d.site(f, e)
	}
	owner := map[survey.Host]string{}
	for _, s := range f.Sites {
		for _, m := range s.Survey(Settings{}).Mirrors {
			if o, ok := owner[m.Host]; ok {
				d.failAt(sitesNode, fmt.Sprintf("host %s is in site %q and in site %q", m.Host, o, s.Name), "a host belongs to one site")
			}
			owner[m.Host] = s.Name
		}
	}
	for _, e := range top {
		switch {
		case e.key == "notify" && !null(e.value):
			for _, n := range d.list(e.value) {
				d.notice(f, n)
			}
		case e.key == "heartbeat" && !null(e.value):
			f.Heartbeat = d.secret(e.value, "heartbeat")
		case e.key == "defaults" && !null(e.value):
			d.references(f, e.value)
		}
	}
	for _, e := range d.entries(sitesNode, "sites") {
		d.references(f, e.value)
	}
}

// references checks that vantages named in a layer exist.
func (d *decoder) references(f *File, n ast.Node) {
	for _, e := range d.entries(n, "a site") {
		if e.key != "vantages" && e.key != "vantage" {
			continue
		}
		for _, v := range d.list(e.value) {
			if name := d.value(v, e.key); name != "direct" && f.vantage(name) == nil {
				known := f.vantageNames()
				hint := "known are " + strings.Join(known, ", ")
				if near := nearest(name, known); near != "" {
					hint = fmt.Sprintf("did you mean %q?", near)
				}
				d.failAt(v, fmt.Sprintf("there is no vantage %q", name), hint)
			}
		}
	}
}

// setting reads one setting's values and checks them.
func (d *decoder) setting(s *Settings, def *setting, n ast.Node) []string {
	nodes := []ast.Node{n}
	if def.list {
		nodes = d.list(n)
	}
	if def.reset != nil {
		def.reset(s)
	}
	values := []string{}
	for _, n := range nodes {
		v := d.value(n, def.name)
		d.check(n, def.set(s, v))
		values = append(values, v)
	}
	return values
}

func (d *decoder) layer(l layer, n ast.Node, what string, site bool, own func(entry) bool) {
	var s Settings
	for _, e := range d.entries(n, what) {
		if own != nil && own(e) {
			continue
		}
		def := findSetting(e.key)
		switch {
		case def == nil || !site && def.name == "mirrors":
			known := Keys()
			if site {
				known = append(append([]string{}, siteKeys...), known...)
			}
			d.unknown(e, what, known...)
		case site && def.run:
			d.failAt(e.node, fmt.Sprintf("%q belongs to the whole run, not to a site", e.key), "put it under defaults")
		case l[def.name] != nil:
			d.failAt(e.node, fmt.Sprintf("%q and %q are the same key", def.name, def.also), "keep one of them")
		case !null(e.value):
			l[def.name] = d.setting(&s, def, e.value)
		}
	}
}

func (d *decoder) vantages(f *File, n ast.Node) {
	for _, e := range d.entries(n, "vantages") {
		d.check(e.node, checkName("vantage", e.key))
		v := Vantage{Name: e.key}
		if !null(e.value) {
			for _, k := range d.entries(e.value, fmt.Sprintf("vantage %q", e.key)) {
				var err error
				switch k.key {
				case "resolver":
					v.Resolver = d.value(k.value, k.key)
					_, err = ParseResolver(v.Resolver)
				case "proxy":
					v.Proxy, err = ParseProxy(d.value(k.value, k.key))
				case "source":
					v.Source, err = ParseSource(d.value(k.value, k.key))
				default:
					d.unknown(k, fmt.Sprintf("vantage %q", e.key), "resolver", "proxy", "source")
				}
				d.check(k.value, err)
			}
		}
		f.Vantages = append(f.Vantages, v)
	}
}

func (d *decoder) site(f *File, at entry) {
	s := &Site{Name: at.key, Contacts: map[survey.Host][]Secret{}, layer: layer{}}
	what := fmt.Sprintf("site %q", at.key)
	all := d.entries(at.value, what)
	for _, e := range all {
		if e.key == "primary" {
			m, err := ParseMirror(d.value(e.value, "primary"))
			d.check(e.value, err)
			m.Role = survey.Primary
			s.Primary = m
		}
	}
	if s.Primary.Host == "" {
		for _, e := range all { // "prmary" is what to point at
			if !contains(siteKeys, e.key) && findSetting(e.key) == nil {
				d.unknown(e, what, append(append([]string{}, siteKeys...), Keys()...)...)
			}
		}
		d.failAt(at.node, what+" has no primary", "primary: https://www.example.org")
	}
	onSite := func(n ast.Node, what string) string {
		v := d.value(n, what)
		if strings.HasPrefix(v, "/") {
			v = s.Primary.Origin() + v
		}
		u, err := ParseURL(v)
		d.check(n, err)
		return u.String()
	}
	d.layer(s.layer, at.value, what, true, func(e entry) bool {
		switch e.key {
		case "primary":
		case "mirrors", "mirror":
			var scratch Settings
			def := findSetting("mirrors")
			values := []string{}
			for _, n := range d.list(e.value) {
				addr := n
				var contacts []Secret
				if _, ok := n.(*ast.StringNode); !ok {
					addr = nil
					for _, k := range d.entries(n, "a mirror") {
						switch k.key {
						case "url":
							addr = k.value
						case "contact":
							for _, c := range d.list(k.value) {
								contacts = append(contacts, d.secret(c, "contact"))
							}
						default:
							d.unknown(k, "a mirror", "url", "contact")
						}
					}
					if addr == nil {
						d.failAt(n, "a mirror has no url", "{url: https://www.example.net}")
					}
				}
				v := d.value(addr, "mirror")
				d.check(addr, def.set(&scratch, v))
				m := scratch.Mirrors[len(scratch.Mirrors)-1]
				if m.Host == s.Primary.Host {
					d.failAt(addr, fmt.Sprintf("mirror %s is the primary", m.Host), "name each host once")
				}
				if contacts != nil {
					s.Contacts[m.Host] = contacts
				}
				values = append(values, v)
			}
			s.layer["mirrors"] = values
		case "articles":
			for _, n := range d.list(e.value) {
				s.articles = append(s.articles, onSite(n, "article"))
			}
		case "feeds":
			for _, n := range d.list(e.value) {
				s.Feeds = append(s.Feeds, onSite(n, "feed"))
			}
		case "sitemaps":
			for _, n := range d.list(e.value) {
				s.Sitemaps = append(s.Sitemaps, onSite(n, "sitemap"))
			}
		case "newest":
			n, err := ParseCount(d.value(e.value, "newest"), 1, 100000)
			d.check(e.value, err)
			s.Newest = n
		case "paths":
			for _, n := range d.list(e.value) {
				s.paths = append(s.paths, d.path(n))
			}
		case "rules":
			return d.linkRules(f, s, e)
		default:
			return false
		}
		return true
	})
	hosts := map[survey.Host]bool{}
	for _, m := range s.Survey(Settings{}).Mirrors {
		hosts[m.Host] = true
	}
	for _, e := range all {
		if e.key != "paths" {
			continue
		}
		for i, n := range d.list(e.value) {
			if m := s.paths[i].Mirror; m != "" && !hosts[m] {
				d.failAt(n, fmt.Sprintf("path rule for %s, which is no mirror of site %q", m, s.Name), "")
			}
		}
	}
	f.Sites = append(f.Sites, s)
}

func (d *decoder) path(n ast.Node) PathRule {
	var p PathRule
	for _, k := range d.entries(n, "a path rule") {
		v := d.value(k.value, k.key)
		switch k.key {
		case "from":
			re, err := regexp.Compile(v)
			if v == "" {
				d.failAt(k.value, "from is empty, and would be in every path", `like "^/Detail/(.*)$"`)
			}
			if err != nil {
				d.failAt(k.value, fmt.Sprintf("%q is no regular expression: %v", v, err), `like "^/Detail/(.*)$"`)
			}
			p.From = re
		case "to":
			p.To = v
		case "mirror":
			m, err := ParseMirror(v)
			d.check(k.value, err)
			p.Mirror = m.Host
		default:
			d.unknown(k, "a path rule", "from", "to", "mirror")
		}
	}
	if p.From == nil || p.To == "" {
		d.failAt(n, "a path rule needs from and to", `{from: "^/Detail/(.*)$", to: "/detail/$1"}`)
	}
	return p
}

// linkRules reads a site's rules: names of files (the setting of that name) and rules for links, mixed.
func (d *decoder) linkRules(f *File, s *Site, e entry) bool {
	for _, n := range d.list(e.value) {
		if _, ok := n.(*ast.StringNode); ok {
			s.layer["rules"] = append(s.layer["rules"], d.value(n, "rules"))
			continue
		}
		var r LinkRule
		for _, k := range d.entries(n, "a link rule") {
			switch k.key {
			case "match":
				v := d.value(k.value, k.key)
				re, err := regexp.Compile(v)
				if v == "" {
					d.failAt(k.value, "match is empty, and would be in every address", `like "/live/"`)
				}
				if err != nil {
					d.failAt(k.value, "match is no regular expression: "+err.Error(), `like "/live/"`)
				}
				r.Match = re
			case "status":
				r.Status = map[int]string{}
				for _, st := range d.entries(k.value, "status") {
					code, err := ParseCount(st.key, 100, 599)
					d.check(st.node, err)
					v := d.value(st.value, "status")
					d.check(st.value, oneOf(v, "ok", "warn", "skip", "error", "broken", "ignore"))
					r.Status[code] = v
				}
			default:
				d.unknown(k, "a link rule", "match", "status")
			}
		}
		if r.Match == nil || len(r.Status) == 0 {
			d.failAt(n, "a link rule needs match and status", `{match: "/live/", status: {404: warn}}`)
		}
		s.Rules = append(s.Rules, r)
	}
	return true
}

func (d *decoder) incidents(in *Incidents, n ast.Node) {
	for _, k := range d.entries(n, "incidents") {
		var err error
		switch k.key {
		case "down_after":
			v := d.value(k.value, k.key)
			if in.DownAfter, err = ParseCount(v, 1, 1000); err != nil && strings.Trim(v, "0123456789") != "" {
				// "30m": so long, over two runs at least.
				if in.DownFor, err = ParseDuration(v); err == nil && in.DownFor > 0 {
					in.DownAfter = 1 << 30
				} else {
					err = bad("a number of runs from 1 to 1000, or a time like 30m", "%q cannot be used", v)
				}
			}
		case "up_after":
			in.UpAfter, err = ParseCount(d.value(k.value, k.key), 1, 1000)
		case "remind":
			in.Remind, err = ParseDuration(d.value(k.value, k.key))
		case "maintenance":
			in.Maintenance = d.windows(k.value, "maintenance", `{cron: "0 2 * * 0", for: 2h}`)
		default:
			d.unknown(k, "incidents", "down_after", "up_after", "remind", "maintenance")
		}
		d.check(k.value, err)
	}
}

// windows reads a list of {cron, for, zone}.
func (d *decoder) windows(n ast.Node, what, example string) []Maintenance {
	var all []Maintenance
	for _, m := range d.list(n) {
		w := Maintenance{Zone: time.UTC}
		for _, e := range d.entries(m, what) {
			var err error
			v := d.value(e.value, e.key)
			switch e.key {
			case "cron":
				w.Cron, err = ParseCron(v)
			case "for":
				w.For, err = ParseDuration(v)
			case "zone":
				w.Zone, err = zone(v)
			default:
				d.unknown(e, what, "cron", "for", "zone")
			}
			d.check(e.value, err)
		}
		if w.Cron.IsZero() || w.For == 0 {
			d.failAt(m, what+" needs cron and for", example)
		}
		if w.For > maxWindow {
			d.failAt(m, what+" cannot last longer than a week", "for is how long each window is open, at most 7d")
		}
		all = append(all, w)
	}
	return all
}

// maxWindow bounds a window, so that looking for the one that is open looks at few.
const maxWindow = 7 * 24 * time.Hour

func zone(v string) (*time.Location, error) {
	z, err := time.LoadLocation(v)
	if err != nil || v == "" || v == "Local" {
		return nil, bad("like UTC or Europe/London", "%q is no time zone", v)
	}
	return z, nil
}

// digest reads when a channel gets its digest: a schedule in UTC, or {cron, zone}.
func (d *decoder) digest(o *Notice, n ast.Node) {
	var err error
	o.Zone = time.UTC
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, e := range d.entries(n, "digest") {
			v := d.value(e.value, e.key)
			switch e.key {
			case "cron":
				o.Digest, err = ParseCron(v)
			case "zone":
				o.Zone, err = zone(v)
			default:
				d.unknown(e, "digest", "cron", "zone")
			}
			d.check(e.value, err)
		}
		if o.Digest.IsZero() {
			d.failAt(n, "digest needs cron", `{cron: "0 8 * * *", zone: Europe/London}`)
		}
	default:
		o.Digest, err = ParseCron(d.value(n, "digest"))
		d.check(n, err)
	}
}

func (d *decoder) retention(r *Retention, n ast.Node) {
	for _, k := range d.entries(n, "retention") {
		var err error
		v := d.value(k.value, k.key)
		switch k.key {
		case "epoch":
			r.Epoch, err = v, oneOf(v, "day", "week", "month", "year")
		case "raw":
			r.Raw, err = ParseDuration(v)
		case "hourly":
			r.Hourly, err = ParseDuration(v)
		case "warc":
			r.WARC, err = ParseDuration(v)
		case "warc_bytes":
			r.WARCBytes, err = ParseSize(v)
		case "free_space":
			r.FreeDisk, err = ParseSize(v)
		default:
			d.unknown(k, "retention", "epoch", "raw", "hourly", "warc", "warc_bytes", "free_space")
		}
		d.check(k.value, err)
	}
}

var noticeKeys = []string{"url", "exec", "on", "sites", "quiet", "digest"}

func (d *decoder) notice(f *File, n ast.Node) {
	var o Notice
	var digest ast.Node
	for _, k := range d.entries(n, "a notice") {
		switch k.key {
		case "url":
			o.URL = d.secret(k.value, "url")
		case "exec":
			for _, a := range d.list(k.value) {
				o.Exec = append(o.Exec, d.value(a, "exec"))
			}
		case "on":
			for _, a := range d.list(k.value) {
				v := d.value(a, "on")
				d.check(a, oneOf(v, "down", "degraded", "up", "unknown"))
				o.On = append(o.On, v)
			}
		case "sites":
			for _, a := range d.list(k.value) {
				v := d.value(a, "sites")
				d.check(a, oneOf(v, f.SiteNames()...))
				o.Sites = append(o.Sites, v)
			}
		case "quiet":
			o.Quiet = d.windows(k.value, "quiet", `{cron: "0 22 * * *", for: 9h, zone: Europe/London}`)
		case "digest":
			if !null(k.value) {
				d.digest(&o, k.value)
				digest = k.node
			}
		default:
			d.unknown(k, "a notice", noticeKeys...)
		}
	}
	if digest != nil && len(o.Exec) > 0 {
		d.failAt(digest, "a program gets each incident by itself, and no digest", "take digest out; quiet holds programs back too")
	}
	if o.URL.IsZero() == (len(o.Exec) == 0) {
		d.failAt(n, "a notice needs either url or exec", `{url: "${NOTIFY_URL}", on: [down, up]}`)
	}
	f.Notify = append(f.Notify, o)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// Later returns the keys that were given and checked but that nothing acts on yet.
func (f *File) Later() []string { return append([]string(nil), f.later...) }

// Site returns the named site, or nil.
func (f *File) Site(name string) *Site {
	for _, s := range f.Sites {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// SiteOf returns the site that the host belongs to, or nil.
func (f *File) SiteOf(host survey.Host) *Site {
	for _, s := range f.Sites {
		for _, h := range s.Survey(Settings{}).Hosts() {
			if h == host {
				return s
			}
		}
	}
	return nil
}

// SiteNames returns the names of the sites in the file's order.
func (f *File) SiteNames() []string {
	var names []string
	for _, s := range f.Sites {
		names = append(names, s.Name)
	}
	return names
}

func (f *File) vantage(name string) *Vantage {
	for i := range f.Vantages {
		if f.Vantages[i].Name == name {
			return &f.Vantages[i]
		}
	}
	return nil
}

func (f *File) vantageNames() []string {
	names := []string{"direct"}
	for _, v := range f.Vantages {
		if v.Name != "direct" {
			names = append(names, v.Name)
		}
	}
	return names
}

// Survey returns the site as the crawler takes it: the primary first, then set's mirrors; the file's when set has none.
func (s *Site) Survey(set Settings) survey.Site {
	site := survey.Site{Name: s.Name, Mirrors: []survey.Mirror{s.Primary}}
	mirrors := set.Mirrors
	if set.From == nil {
		for _, v := range s.layer["mirrors"] {
			if m, err := ParseMirror(v); err == nil {
				mirrors = append(mirrors, m)
			}
		}
	}
	for _, m := range mirrors {
		if m.Host != s.Primary.Host {
			site.Mirrors = append(site.Mirrors, m)
		}
	}
	return site
}

// Articles returns the site's articles by their addresses on the primary.
func (s *Site) Articles() []survey.Article {
	var list []survey.Article
	for _, a := range s.articles {
		list = append(list, survey.Article{Site: s.Name, URL: a})
	}
	return list
}

// Paths returns the site's path rules.
func (s *Site) Paths() []PathRule { return s.paths }

// Description is what help and documentation say of one setting.
type Description struct {
	Doc, Default  string
	Boolean, List bool
}

// Describe returns the description of a setting by its key.
func Describe(key string) Description {
	s := findSetting(key)
	if s == nil {
		return Description{}
	}
	return Description{Doc: s.doc, Default: strings.Join(s.builtIn, ", "), Boolean: s.boolean, List: s.list}
}

// Describe prints the effective settings of every site, without secrets, and where each value comes from.
func (f *File) Describe(w io.Writer, over Overrides) error {
	for _, st := range f.Sites {
		set, err := f.Effective(st.Name, over)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "site %s\n  primary: %s\n", st.Name, st.Primary.Origin())
		for _, a := range st.articles {
			fmt.Fprintf(w, "  article: %s\n", clean(a))
		}
		keys := Keys()
		sort.Strings(keys)
		for _, k := range keys {
			if v := findSetting(k).show(&set); v != "" {
				fmt.Fprintf(w, "  %s: %s (%s)\n", k, clean(v), set.From[k])
			}
		}
		for _, m := range st.Survey(set).Mirrors {
			if n := len(st.Contacts[m.Host]); n > 0 {
				fmt.Fprintf(w, "  contact of %s: %s\n", clean(string(m.Host)), join(st.Contacts[m.Host], Secret.scheme))
			}
		}
	}
	f.describeRest(w)
	return nil
}

// describeRest prints what belongs to the whole file.
func (f *File) describeRest(w io.Writer) {
	in, line := f.Incidents, func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	down := fmt.Sprintf("after %d bad runs", in.DownAfter)
	if in.DownFor > 0 {
		down = "after " + FormatDuration(in.DownFor) + " of bad runs"
	}
	remind := "never"
	if in.Remind > 0 {
		remind = "every " + FormatDuration(in.Remind)
	}
	line("incidents: down %s, up after %d good ones, reminder %s", down, in.UpAfter, remind)
	for _, m := range in.Maintenance {
		line("  maintenance: %s", m)
	}
	if len(f.Notify) == 0 {
		line("notify: nobody")
	}
	for _, n := range f.Notify {
		to := n.URL.scheme()
		if len(n.Exec) > 0 {
			to = "exec " + strconv.Quote(clean(n.Exec[0]))
		}
		on := "everything"
		if len(n.On) > 0 {
			on = strings.Join(n.On, ", ")
		}
		if len(n.Sites) > 0 {
			on += " of " + strings.Join(n.Sites, ", ")
		}
		line("notify: %s on %s", to, on)
		for _, q := range n.Quiet {
			line("  quiet: %s", q)
		}
		if !n.Digest.IsZero() {
			line("  digest: %s %s", n.Digest, n.Zone)
		}
	}
	if !f.Heartbeat.IsZero() {
		line("heartbeat: %s", f.Heartbeat.scheme())
	}
	r := f.Retention
	line("retention: epoch %s, raw %s, hourly %s, warc %s, warc_bytes %s, free_space %s", r.Epoch, forEver(r.Raw), forEver(r.Hourly), forEver(r.WARC), unbounded(r.WARCBytes), unbounded(r.FreeDisk))
	if !f.Schedule.IsZero() {
		line("schedule: %s", f.Schedule)
	}
}

func (m Maintenance) String() string {
	return fmt.Sprintf("%s for %s, %s", m.Cron, FormatDuration(m.For), m.Zone)
}

// scheme is all that may be shown of a URL that may hold a secret anywhere.
func (s Secret) scheme() string {
	scheme, _, _ := strings.Cut(s.value, ":")
	if strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz+") != "" || len(scheme) > 20 {
		return "***"
	}
	return scheme + ":***"
}

func forEver(d time.Duration) string {
	if d == 0 {
		return "for ever"
	}
	return FormatDuration(d)
}

func unbounded(n int64) string {
	if n == 0 {
		return "none"
	}
	return FormatSize(n)
}
