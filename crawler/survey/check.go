package survey

import "time"

// Observation is what one probe saw on one mirror from one vantage. It is stored whole, and with the archived bytes it is
// all that judging needs.
type Observation struct {
	Mirror     Host       `json:"mirror"`
	Role       Role       `json:"role"`
	Vantage    string     `json:"vantage"`
	ObservedAt time.Time  `json:"observed_at"`
	URL        string     `json:"url"`
	FinalURL   string     `json:"final_url"`
	Redirects  []Redirect `json:"redirects"`

	Stage    Stage    `json:"stage"`
	Outcome  Outcome  `json:"outcome"`
	Failure  *string  `json:"failure"`
	Attempts int      `json:"attempts"`
	Status   *int     `json:"status"`
	DNS      []Lookup `json:"dns"`
	Tries    []Try    `json:"tries"`
	Family   Family   `json:"family"`
	Peer     *string  `json:"peer"`
	Timing   Timing   `json:"timing_ms"`
	TLS      *TLS     `json:"tls"`
	Body     *Body    `json:"body"`
	Title    string   `json:"title"`
	Text     *Text    `json:"text"`

	Captures []Capture `json:"captures"`
	// Snapshot is the name (time/URL) of the snapshot of this page, null when there is none.
	Snapshot *string `json:"snapshot"`
	// Headers are the few response fields that classes and reasons rest on, lower-case names: server, retry-after, link,
	// cf-mitigated, location, ...
	Headers map[string]string `json:"headers,omitempty"`
	// Decoys are the answers to requests for an article that cannot exist.
	Decoys []Decoy `json:"decoys,omitempty"`
	// Notes are remarks that are no failure: "robots.txt disallows this article; named by the user, so visited".
	Notes []string `json:"notes,omitempty"`
}

// Failed reports whether the probe got no response it can judge by its text.
func (o *Observation) Failed() bool {
	return o.Outcome != OK && (o.Status == nil || o.Stage == StageTLS || o.Body == nil)
}

// Redirect is one hop: the URL that answered with the status.
type Redirect struct {
	URL    string `json:"url"`
	Status int    `json:"status"`
}

// Family says what the two address families did: an Outcome each; not_measured when there is no local route, null when
// the name has no address of the family.
type Family struct {
	V4 *Outcome `json:"v4"`
	V6 *Outcome `json:"v6"`
}

// Body describes the final response's body as received.
type Body struct {
	Bytes     int64  `json:"bytes"` // de-chunked, content coding kept
	Type      string `json:"type"`
	Charset   string `json:"charset"`
	Lang      string `json:"lang"`
	Truncated bool   `json:"truncated"`
	SHA256    string `json:"sha256"` // payload digest, hex
}

// Text describes the article's text after extraction.
type Text struct {
	Words  int    `json:"words"`
	SHA256 string `json:"sha256"` // of the normalised text, hosts of the mirror set replaced by one token
}

// Decoy is what a mirror answered to a request for what cannot exist.
type Decoy struct {
	Kind    string   `json:"kind"` // "id", "path" or "root"
	URL     string   `json:"url"`
	Status  int      `json:"status"`
	Outcome Outcome  `json:"outcome"`
	Capture *Capture `json:"capture"`
	Final   string   `json:"final_url,omitempty"`
}

// Finding is one mirror seen from one vantage in one Check: what was seen, what it means, since when.
type Finding struct {
	Observation
	Verdict
	Links   *LinkCount `json:"links"`
	Hygiene []Hygiene  `json:"hygiene"`
	Lag     *Lag       `json:"lag"`
	// Since is when the mirror's state last changed, as far as history knows.
	Since    *time.Time `json:"since"`
	Incident *string    `json:"incident"`
}

// LinkCount counts the links and requisites of the page on this mirror.
type LinkCount struct {
	Checked   int `json:"checked"`
	Broken    int `json:"broken"`
	NotJudged int `json:"not_judged"`
}

// Hygiene is a place where a mirror does not stand alone.
type Hygiene struct {
	Kind   string `json:"kind"`
	URL    string `json:"url"`
	Parent string `json:"parent"`
}

// Lag is how much later than the primary the article appeared: Seconds at most, Bound less at the least. Both come from
// the times at which the article was looked for, so they are no finer than the runs are close.
type Lag struct {
	Seconds float64 `json:"seconds"`
	Bound   float64 `json:"bound"`
}

// Reference is what the others were held against.
type Reference struct {
	Mirror     Host      `json:"mirror"`
	Snapshot   string    `json:"snapshot"`
	ObservedAt time.Time `json:"observed_at"`
	Why        string    `json:"why"` // primary, archived, majority
}

// Conclusion is what the vantages say together about a mirror.
type Conclusion struct {
	Mirror     Host       `json:"mirror"`
	Vantage    string     `json:"vantage"`
	Say        string     `json:"say"`
	Confidence Confidence `json:"confidence"`
	Why        string     `json:"why"`
}

// Check is one article over all mirrors and vantages at one time.
type Check struct {
	Site        string       `json:"site"`
	URL         string       `json:"url"`
	Title       string       `json:"title"`
	Reference   *Reference   `json:"reference"`
	Mirrors     []Finding    `json:"mirrors"`
	Conclusions []Conclusion `json:"conclusions"`
}

// Link is one target that the pages of a site name, and how each mirror answered for it.
type Link struct {
	Target  string       `json:"target"`
	Kind    string       `json:"kind"` // page, image, style, script, font, media, feed, ...
	Parents []string     `json:"parents"`
	Results []LinkResult `json:"results"`
}

// LinkResult is how one mirror answered for a link from one vantage.
type LinkResult struct {
	Mirror    Host      `json:"mirror"`
	Vantage   string    `json:"vantage"`
	URL       string    `json:"url"`
	Status    *int      `json:"status"`
	Outcome   Outcome   `json:"outcome"`
	State     string    `json:"state"` // ok, warn, broken, not_judged
	FirstSeen time.Time `json:"first_seen"`
}

// CandidateMirror is a host that a page announces as another address of its site. It is never visited unasked.
type CandidateMirror struct {
	Host      string `json:"host"`
	Site      string `json:"site"`
	Article   string `json:"article"`
	Rule      string `json:"rule"`     // sentence, onion_location, canonical, ...
	Evidence  string `json:"evidence"` // the sentence or element
	Confirmed bool   `json:"confirmed"`
}

// Run is one invocation.
type Run struct {
	ID           RunID      `json:"id"`
	Started      time.Time  `json:"started"`
	Finished     time.Time  `json:"finished"`
	Complete     bool       `json:"complete"`
	StoppedBy    *string    `json:"stopped_by"` // signal, max_time, max_urls
	Void         bool       `json:"void"`
	VoidReason   *string    `json:"void_reason"`
	VoidVantages []string   `json:"void_vantages"`
	Tool         Tool       `json:"tool"`
	RulesVersion string     `json:"rules_version"`
	NextDue      *time.Time `json:"next_due"`
	Vantages     []Vantage  `json:"vantages,omitempty"`
}

// Tool names the program that made a record.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Report is a whole run: the document of `check --format json`.
type Report struct {
	Schema     string            `json:"schema"`
	Run        Run               `json:"run"`
	Articles   []Check           `json:"articles"`
	Links      []Link            `json:"links"`
	Candidates []CandidateMirror `json:"candidates"`
	Sync       []Sync            `json:"sync,omitempty"`
	Crawls     []Crawl           `json:"crawls,omitempty"`
	Summary    Summary           `json:"summary"`
}

// Sync says how complete a mirror is: how many of the newest articles, as the primary's feeds and sitemaps name them, were
// there in the run, and which it said it does not have. Articles in neither could not be judged.
type Sync struct {
	Site     string   `json:"site"`
	Mirror   Host     `json:"mirror"`
	Vantage  string   `json:"vantage"`
	Expected int      `json:"expected"`
	Present  int      `json:"present"`
	Missing  []string `json:"missing"`
	WorstLag *Lag     `json:"worst_lag"`
	// Arrivals are the articles of Expected that were checked, in the order of the checks.
	Arrivals []Arrival `json:"arrivals"`
	// NeverArrived are articles of earlier runs that left the list of the newest and had not come while they stood on it,
	// the one that left last first, at most 100. They are not asked for any more.
	NeverArrived []string `json:"never_arrived"`
}

// Words of Arrival.State.
const (
	ArrivalPresent   = "present"
	ArrivalMissing   = "missing"
	ArrivalNotJudged = "not_judged" // the mirror is down, blocked or void: it said nothing of the article
)

// Arrival is one of the newest articles on one mirror.
type Arrival struct {
	Article   string     `json:"article"`
	State     string     `json:"state"`
	Published *time.Time `json:"published"`  // as the feed says
	FirstSeen *time.Time `json:"first_seen"` // on this mirror; null: not yet
	Lag       *Lag       `json:"lag"`        // behind the primary
}

// Crawl says what a crawl of a whole site found on one of its mirrors. On the primary Equal, ByText and Differ are zero.
type Crawl struct {
	Site     string `json:"site"`
	Mirror   Host   `json:"mirror"`
	Vantage  string `json:"vantage"`
	Complete bool   `json:"complete"` // false: interrupted or over a bound; the next run goes on
	// At is when the crawl ended or was cut short; FirstSeen is when the first of the crawls in a row ended that found the
	// same.
	At        time.Time `json:"at"`
	FirstSeen time.Time `json:"first_seen"`
	URLs      int       `json:"urls"`
	Pages     int       `json:"pages"`
	// Equal answers are the primary's but for the mirror set's hosts, ByText ones say the same, Differ ones do not.
	Equal     int `json:"equal"`
	ByText    int `json:"by_text"`
	Differ    int `json:"differ"`
	Broken    int `json:"broken"`
	NotJudged int `json:"not_judged"`
	// Hygiene holds each kind and URL once, at most 100 of a kind.
	Hygiene []Hygiene `json:"hygiene"`
	// Traps are the endless rows of addresses that were left, numbers written as 0.
	Traps []string `json:"traps"`
}

// Summary counts mirrors by their worst vantage that is not void.
type Summary struct {
	Articles    int `json:"articles"`
	Mirrors     int `json:"mirrors"`
	Up          int `json:"up"`
	Degraded    int `json:"degraded"`
	Down        int `json:"down"`
	Unknown     int `json:"unknown"`
	LinksBroken int `json:"links_broken"`
}

// Summarise counts r's mirrors, each article's apart, and its broken links.
func Summarise(r Report) Summary {
	sum := Summary{Articles: len(r.Articles)}
	void := map[string]bool{}
	for _, v := range r.Run.VoidVantages {
		void[v] = true
	}
	for _, c := range r.Articles {
		worst := map[Host]State{}
		for _, f := range c.Mirrors {
			state := f.State
			if void[f.Vantage] {
				state = Unknown
			}
			old, seen := worst[f.Mirror]
			switch {
			case !seen, !void[f.Vantage] && state.Rank() > old.Rank():
				worst[f.Mirror] = state
			}
		}
		for _, s := range worst {
			sum.Mirrors++
			switch s {
			case Up:
				sum.Up++
			case Degraded:
				sum.Degraded++
			case Down:
				sum.Down++
			default:
				sum.Unknown++
			}
		}
	}
	for _, l := range r.Links {
		for _, res := range l.Results {
			if res.State == "broken" {
				sum.LinksBroken++
				break
			}
		}
	}
	return sum
}
