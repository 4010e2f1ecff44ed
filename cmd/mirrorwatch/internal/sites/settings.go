package sites

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Source says where the value of a setting comes from. The order of the constants is the precedence, weakest first.
type Source int

const (
	BuiltIn Source = iota
	FromDefaults
	FromSite
	FromEnvironment
	FromFlag
)

func (s Source) String() string {
	return [...]string{"built-in", "defaults", "site", "environment", "flag"}[s]
}

// Settings are the settings of `check` for one site, all layers joined. Times are durations, sizes octets; paths are
// relative to the working directory or absolute.
type Settings struct {
	Mirrors     []survey.Mirror
	Links       string // none, page, site
	External    bool
	Media       string // none, head, all
	Fragments   bool
	ConnectTo   map[string]string // host:port -> host:port
	CAFile      string
	Resolver    string
	Proxy       Secret
	Source      string
	Vantages    []string
	Canaries    []string // nil: none
	NoCanaries  bool     // "none" was said; with an empty Canaries and NoCanaries unset, the caller's default holds
	Private     []netip.Prefix
	Headers     []HeaderField
	Timeout     time.Duration
	Retries     int
	PerHost     int
	Delay       time.Duration
	Concurrency int
	MaxBody     int64
	MaxURLs     int           // 0: no bound
	MaxTime     time.Duration // 0: no bound
	Grace       time.Duration

	RequisitesEvery time.Duration
	LinksEvery      time.Duration

	Baseline           string
	ConfirmCandidates  bool
	UserAgent          string // empty: the tool's own, with contact
	IgnoreRobots       bool
	RuleFiles          []string
	Format             string
	Out                string
	ExitZero           bool
	Strict             bool
	Wait               bool
	QuietUnlessChanged bool

	// From says where each setting's value comes from, by its key.
	From map[string]Source
}

// setting is one check setting: a key of the sites file, a flag (with - for _) and an environment variable
// (MIRRORWATCH_ and the key in capitals).
type setting struct {
	name    string
	doc     string
	builtIn []string
	list    bool // may be given more than once; in the file a list or a single value
	run     bool // belongs to the whole run: not in a site
	path    bool // relative to the file, when it stands in the file
	secret  bool
	boolean bool
	number  bool
	words   []string // the closed list of values
	also    string   // another name of the same key in the file
	set     func(s *Settings, v string) error
	reset   func(s *Settings) // of lists: a stronger layer replaces a weaker one's list
	show    func(s *Settings) string
}

func boolean(name, doc string, p func(*Settings) *bool) setting {
	return setting{name: name, doc: doc, builtIn: []string{"false"}, boolean: true,
		set:  func(s *Settings, v string) (err error) { *p(s), err = ParseBool(v); return },
		show: func(s *Settings) string { return strconv.FormatBool(*p(s)) }}
}

func duration(name, doc, def string, p func(*Settings) *time.Duration) setting {
	return setting{name: name, doc: doc, builtIn: []string{def},
		set:  func(s *Settings, v string) (err error) { *p(s), err = ParseDuration(v); return },
		show: func(s *Settings) string { return FormatDuration(*p(s)) }}
}

func count(name, doc, def string, min, max int, p func(*Settings) *int) setting {
	return setting{name: name, doc: doc, builtIn: []string{def}, number: true,
		set:  func(s *Settings, v string) (err error) { *p(s), err = ParseCount(v, min, max); return },
		show: func(s *Settings) string { return strconv.Itoa(*p(s)) }}
}

func word(name, doc, def string, words []string, p func(*Settings) *string) setting {
	return setting{name: name, doc: doc, builtIn: []string{def}, words: words,
		set: func(s *Settings, v string) error {
			if err := oneOf(v, words...); err != nil {
				return err
			}
			*p(s) = v
			return nil
		},
		show: func(s *Settings) string { return *p(s) }}
}

func text(name, doc string, check func(string) (string, error), p func(*Settings) *string) setting {
	return setting{name: name, doc: doc,
		set:  func(s *Settings, v string) (err error) { *p(s), err = check(v); return },
		show: func(s *Settings) string { return *p(s) }}
}

func plainText(what string) func(string) (string, error) {
	return func(v string) (string, error) {
		if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", bad(what, "a value is empty or holds a control character")
		}
		return v, nil
	}
}

func (s setting) asPath() setting { s.path = true; return s }
func (s setting) ofRun() setting  { s.run = true; return s }

var settings = []setting{
	{name: "mirrors", also: "mirror", list: true, doc: "mirrors of the site: host, host:port or origin",
		set: func(s *Settings, v string) error {
			m, err := ParseMirror(v)
			if err != nil {
				return err
			}
			for _, o := range s.Mirrors {
				if o.Host == m.Host {
					return bad("name each mirror once", "mirror %s is given twice", m.Host)
				}
			}
			s.Mirrors = append(s.Mirrors, m)
			return nil
		},
		reset: func(s *Settings) { s.Mirrors = nil },
		show: func(s *Settings) string {
			return join(s.Mirrors, func(m survey.Mirror) string { return m.Origin() })
		}},
	word("links", "which links are checked: none, those of each article's page, or the whole site (crawled from the first vantage that works)", "page", []string{"none", "page", "site"}, func(s *Settings) *string { return &s.Links }),
	boolean("external", "check links to foreign hosts too", func(s *Settings) *bool { return &s.External }),
	word("media", "how videos and sound are checked", "head", []string{"none", "head", "all"}, func(s *Settings) *string { return &s.Media }),
	boolean("fragments", "check that the #part a link names is on its page, on each mirror", func(s *Settings) *bool { return &s.Fragments }),
	{name: "connect_to", list: true, doc: "HOST1:PORT1:HOST2:PORT2, as curl's --connect-to",
		set: func(s *Settings, v string) error {
			from, to, err := ParseConnectTo(v)
			if err != nil {
				return err
			}
			if s.ConnectTo == nil {
				s.ConnectTo = map[string]string{}
			}
			if old, ok := s.ConnectTo[from]; ok && old != to {
				return bad("pin each host and port once", "%s is pinned to %s and to %s", from, old, to)
			}
			s.ConnectTo[from] = to
			return nil
		},
		reset: func(s *Settings) { s.ConnectTo = nil },
		show: func(s *Settings) string {
			var l []string
			for from, to := range s.ConnectTo {
				l = append(l, from+":"+to)
			}
			sort.Strings(l)
			return strings.Join(l, ", ")
		}},
	text("ca_file", "file with certificate authorities (PEM) to trust besides the system's", plainText("a path"), func(s *Settings) *string { return &s.CAFile }).asPath(),
	{name: "resolver", builtIn: []string{"system"}, doc: "resolver of vantages that name none: " + wantResolver,
		set: func(s *Settings, v string) error {
			if _, err := ParseResolver(v); err != nil {
				return err
			}
			s.Resolver = v
			return nil
		},
		show: func(s *Settings) string { return s.Resolver }},
	{name: "proxy", secret: true, doc: "proxy of vantages that name none: socks5://host:port or http://host:port",
		set:  func(s *Settings, v string) (err error) { s.Proxy, err = ParseProxy(v); return },
		show: func(s *Settings) string { return ProxyWithoutUser(s.Proxy) }},
	text("source", "own address or interface of vantages that name none", ParseSource, func(s *Settings) *string { return &s.Source }),
	{name: "vantages", also: "vantage", list: true, builtIn: []string{"direct"}, doc: "names of the vantages to look from",
		set: func(s *Settings, v string) error {
			if err := checkName("vantage", v); err != nil {
				return err
			}
			for _, o := range s.Vantages {
				if o == v {
					return bad("name each vantage once", "vantage %q is given twice", v)
				}
			}
			s.Vantages = append(s.Vantages, v)
			return nil
		},
		reset: func(s *Settings) { s.Vantages = nil },
		show:  func(s *Settings) string { return strings.Join(s.Vantages, ", ") }},
	{name: "canaries", also: "canary", list: true, doc: "URLs that must always work, or none",
		set: func(s *Settings, v string) error {
			if v == "none" {
				if len(s.Canaries) > 0 {
					return bad("none, or URLs", "canaries are none and some at once")
				}
				s.NoCanaries = true
				return nil
			}
			if s.NoCanaries {
				return bad("none, or URLs", "canaries are none and some at once")
			}
			u, err := ParseURL(v)
			if err != nil {
				return err
			}
			for _, o := range s.Canaries {
				if o == u.String() {
					return bad("name each canary once", "canary %s is given twice", o)
				}
			}
			s.Canaries = append(s.Canaries, u.String())
			return nil
		},
		reset: func(s *Settings) { s.Canaries, s.NoCanaries = nil, false },
		show: func(s *Settings) string {
			if s.NoCanaries {
				return "none"
			}
			return strings.Join(s.Canaries, ", ")
		}},
	{name: "allow_private", list: true, builtIn: []string{"false"}, doc: "permit private addresses: true, or networks",
		set: func(s *Settings, v string) error {
			l, err := ParseCIDRs(v)
			s.Private = append(s.Private, l...)
			return err
		},
		reset: func(s *Settings) { s.Private = nil },
		show: func(s *Settings) string {
			if s.Private == nil {
				return "false"
			}
			return join(s.Private, netip.Prefix.String)
		}},
	{name: "header", list: true, secret: true, doc: "HOST: Name: value, sent to that host",
		set: func(s *Settings, v string) error {
			h, err := ParseHeader(v)
			if err == nil {
				s.Headers = append(s.Headers, h)
			}
			return err
		},
		reset: func(s *Settings) { s.Headers = nil },
		show: func(s *Settings) string {
			return join(s.Headers, func(h HeaderField) string { return string(h.Host) + ": " + h.Name + ": " + masked })
		}},
	duration("timeout", "time for one request to give its first byte", "20s", func(s *Settings) *time.Duration { return &s.Timeout }).positive(func(s *Settings) bool { return s.Timeout > 0 }),
	count("retries", "how often a failed request is asked again", "2", 0, 20, func(s *Settings) *int { return &s.Retries }),
	count("per_host", "requests at once to one host", "4", 1, 256, func(s *Settings) *int { return &s.PerHost }),
	duration("delay", "pause between requests to one host", "250ms", func(s *Settings) *time.Duration { return &s.Delay }),
	count("concurrency", "requests at once in all", "32", 1, 4096, func(s *Settings) *int { return &s.Concurrency }).ofRun(),
	{name: "max_body", builtIn: []string{"64MB"}, doc: "octets of one response that are kept",
		set: func(s *Settings, v string) (err error) {
			s.MaxBody, err = ParseSize(v)
			if err == nil && s.MaxBody == 0 {
				err = bad(wantSize, "no body at all would be kept")
			}
			return
		},
		show: func(s *Settings) string { return FormatSize(s.MaxBody) }},
	count("max_urls", "bound on the URLs of one run; 0 is none", "0", 0, 1<<31-1, func(s *Settings) *int { return &s.MaxURLs }).ofRun(),
	duration("max_time", "bound on the time of one run; 0 is none", "0", func(s *Settings) *time.Duration { return &s.MaxTime }).ofRun(),
	duration("grace", "time for visits in flight after a signal", "10s", func(s *Settings) *time.Duration { return &s.Grace }).ofRun(),
	duration("requisites_every", "how often pictures, styles and scripts are fetched again", "24h", func(s *Settings) *time.Duration { return &s.RequisitesEvery }),
	duration("links_every", "how often links that work are checked again, and sites crawled; 0: every run", "24h", func(s *Settings) *time.Duration { return &s.LinksEvery }),
	text("baseline", "file with broken links that are known and accepted; written when it does not exist", plainText("a path"), func(s *Settings) *string { return &s.Baseline }).asPath(),
	boolean("confirm_candidates", "visit mirrors that pages announce", func(s *Settings) *bool { return &s.ConfirmCandidates }),
	text("user_agent", "User-Agent to send", plainText("printable text"), func(s *Settings) *string { return &s.UserAgent }),
	boolean("ignore_robots", "do not ask robots.txt about links", func(s *Settings) *bool { return &s.IgnoreRobots }),
	{name: "rules", list: true, path: true, doc: "files with more rules for page classes",
		set: func(s *Settings, v string) error {
			v, err := plainText("a path")(v)
			s.RuleFiles = append(s.RuleFiles, v)
			return err
		},
		reset: func(s *Settings) { s.RuleFiles = nil },
		show:  func(s *Settings) string { return strings.Join(s.RuleFiles, ", ") }},
	word("format", "what is printed", "text", []string{"text", "json", "jsonl", "csv", "junit", "markdown"}, func(s *Settings) *string { return &s.Format }).ofRun(),
	text("out", "file to print to", plainText("a path"), func(s *Settings) *string { return &s.Out }).asPath().ofRun(),
	boolean("exit_zero", "exit 0 although something was found", func(s *Settings) *bool { return &s.ExitZero }).ofRun(),
	boolean("strict", "exit 1 when mirrors are unknown", func(s *Settings) *bool { return &s.Strict }).ofRun(),
	boolean("wait", "wait for another run to end", func(s *Settings) *bool { return &s.Wait }).ofRun(),
	boolean("quiet_unless_changed", "print nothing when nothing changed", func(s *Settings) *bool { return &s.QuietUnlessChanged }).ofRun(),
}

// positive adds the condition that a duration is not zero.
func (s setting) positive(ok func(*Settings) bool) setting {
	set := s.set
	s.set = func(t *Settings, v string) error {
		if err := set(t, v); err != nil {
			return err
		}
		if !ok(t) {
			return bad(wantDuration, "%s cannot be 0", s.name)
		}
		return nil
	}
	return s
}

func join[T any](list []T, f func(T) string) string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = f(v)
	}
	return strings.Join(s, ", ")
}

// ProxyWithoutUser returns the proxy's URL without user name and password: what may be shown and recorded.
func ProxyWithoutUser(p Secret) string {
	if p.IsZero() {
		return ""
	}
	scheme, rest, _ := strings.Cut(p.Reveal(), "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	return scheme + "://" + rest
}

func findSetting(name string) *setting {
	for i := range settings {
		if settings[i].name == name || settings[i].also == name {
			return &settings[i]
		}
	}
	return nil
}

// FlagName returns the flag of a setting's key: "per-host" for "per_host", and the singular "mirror", "vantage",
// "canary" where the flag is repeated.
func FlagName(key string) string {
	if s := findSetting(key); s != nil && s.also != "" {
		key = s.also
	}
	return strings.ReplaceAll(key, "_", "-")
}

// EnvName returns the environment variable of a setting's key: "MIRRORWATCH_PER_HOST".
func EnvName(key string) string {
	return "MIRRORWATCH_" + strings.ToUpper(strings.ReplaceAll(FlagName(key), "-", "_"))
}

// Keys returns the keys of all settings in the order of documentation.
func Keys() []string {
	keys := make([]string, len(settings))
	for i := range settings {
		keys[i] = settings[i].name
	}
	return keys
}

// Overrides are the layers above the file.
type Overrides struct {
	// Flags holds the values of the flags that were given, by key ("per_host") or flag name ("per-host", "mirror").
	Flags map[string][]string
	// Env looks up MIRRORWATCH_ variables; nil asks nothing. Lists are separated by spaces, header by line ends.
	Env func(string) (string, bool)
}

// layer holds the values of one place, by key.
type layer map[string][]string

// Effective joins built-in values, the layers of the file, environment and flags for the named site; "" is no site: a
// URL named on the command line. f may be nil: no sites file. The error of a bad flag or variable names it.
func (f *File) Effective(site string, over Overrides) (Settings, error) {
	s := Settings{From: map[string]Source{}}
	var st *Site
	if f != nil && site != "" {
		if st = f.Site(site); st == nil {
			hint := ""
			if near := nearest(site, f.SiteNames()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return s, bad(hint, "there is no site %q in %s", site, f.Name)
		}
	}
	flags := map[string][]string{}
	for name, values := range over.Flags {
		def := findSetting(strings.ReplaceAll(name, "-", "_"))
		if def == nil {
			return s, bad("", "unknown setting --%s", name)
		}
		flags[def.name] = append(flags[def.name], values...)
	}
	for i := range settings {
		def := &settings[i]
		values, from, dir := def.builtIn, BuiltIn, ""
		if f != nil {
			if v, ok := f.defaults[def.name]; ok {
				values, from, dir = v, FromDefaults, f.Dir
			}
			if def.name == "canaries" && f.canaries != nil && from == BuiltIn {
				values, from = f.canaries, FromDefaults
			}
		}
		if st != nil {
			if v, ok := st.layer[def.name]; ok {
				values, from, dir = v, FromSite, f.Dir
			}
		}
		if over.Env != nil {
			if v, ok := over.Env(EnvName(def.name)); ok && v != "" {
				values, from, dir = envValues(def, v), FromEnvironment, ""
			}
		}
		if v, ok := flags[def.name]; ok {
			values, from, dir = v, FromFlag, ""
		}
		if def.reset != nil {
			def.reset(&s)
		}
		s.From[def.name] = from
		for _, v := range values {
			if dir != "" && def.path {
				v = relativeTo(dir, v)
			}
			if err := def.set(&s, v); err != nil {
				switch from {
				case FromFlag:
					return s, fmt.Errorf("--%s: %w", FlagName(def.name), err)
				case FromEnvironment:
					return s, fmt.Errorf("environment variable %s: %w", EnvName(def.name), err)
				}
				return s, fmt.Errorf("%s: %w", def.name, err)
			}
		}
	}
	for _, v := range s.Vantages {
		if v == "direct" || f != nil && f.vantage(v) != nil {
			continue
		}
		known := []string{"direct"}
		if f != nil {
			known = f.vantageNames()
		}
		if f == nil && s.From["vantages"] == FromFlag {
			continue // a name for the resolver, proxy and source given beside it
		}
		return s, bad("known are "+strings.Join(known, ", "), "there is no vantage %q", v)
	}
	return s, nil
}

func envValues(def *setting, v string) []string {
	switch {
	case !def.list:
		return []string{v}
	case def.name == "header":
		return strings.FieldsFunc(v, func(r rune) bool { return r == '\n' || r == '\r' })
	}
	return strings.Fields(v)
}

// relativeTo resolves a path of the file against the file's folder.
func relativeTo(dir, p string) string {
	if p == "" || p == "-" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// VantageList returns the vantages that the settings name, with resolver, proxy and source filled in from the settings
// where a vantage leaves them open. The proxy holds its userinfo: see ProxyWithoutUser before anything is recorded.
func (f *File) VantageList(s Settings) []survey.Vantage {
	list := make([]survey.Vantage, 0, len(s.Vantages))
	for _, name := range s.Vantages {
		v := survey.Vantage{Name: name, Resolver: s.Resolver, Proxy: s.Proxy.Reveal(), Source: s.Source}
		if f != nil {
			if d := f.vantage(name); d != nil {
				if d.Resolver != "" {
					v.Resolver = d.Resolver
				}
				if !d.Proxy.IsZero() {
					v.Proxy = d.Proxy.Reveal()
				}
				if d.Source != "" {
					v.Source = d.Source
				}
			}
		}
		list = append(list, v)
	}
	return list
}

func checkName(what, v string) error {
	ok := v != "" && len(v) <= 64
	for i, r := range v {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || i > 0 && strings.ContainsRune("._-", r)) {
			ok = false
		}
	}
	if !ok {
		return bad("letters, digits, dot, hyphen and underscore, at most 64", "%q cannot name a %s", v, what)
	}
	return nil
}
