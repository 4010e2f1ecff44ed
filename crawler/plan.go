package crawler

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/survey"
)

// Sink takes what was seen. An error from it is our own trouble: it stops the run and never passes for a mirror that is
// down.
type Sink interface {
	// Put keeps one sealed exchange. It is called before the body is handed up.
	Put(ctx context.Context, e *survey.Exchange) (survey.Capture, error)
	// Note keeps a record of ours.
	Note(ctx context.Context, n survey.Note) (survey.Capture, error)
	// Commit makes all that was put so far durable; only then a Capture may be believed.
	Commit(ctx context.Context) error
}

// Memory is what earlier runs left: versions to hold pages against, requisites that need no second fetch.
type Memory interface {
	// Versions returns archived versions of the article, newest first, each with another text than the one before it, at most
	// limit.
	Versions(ctx context.Context, a survey.Article, limit int) ([]Version, error)
	// Body returns the decoded UTF-8 body of an archived page and its content type.
	Body(ctx context.Context, c survey.Capture) (contentType string, body []byte, err error)
	// Latest returns the newest snapshot of the article on the mirror as the vantage saw it; ok is false when there is none.
	Latest(ctx context.Context, a survey.Article, m survey.Host, vantage string) (s survey.Snapshot, ok bool, err error)
	// Since says since when the mirror has been in the state without a break, as far as history knows.
	Since(ctx context.Context, a survey.Article, m survey.Host, vantage string, s survey.State) (time.Time, bool, error)
	// Failures returns the times of the earlier checks, newest first, without a break, that failed at the same stage.
	Failures(ctx context.Context, a survey.Article, m survey.Host, vantage string) ([]time.Time, error)
	// Arrival says when the article was first seen on the mirror, zero when never, and when the mirror last said before that
	// that it has no such article, zero when it did not.
	Arrival(ctx context.Context, a survey.Article, m survey.Host, vantage string) (first, before time.Time, err error)
	// Links calls f for the newest answer of every known link of the site, until f returns false.
	Links(ctx context.Context, site string, f func(KnownLink) bool) error
	// Crawled says when the newest whole crawl of the site ended, zero when there was none.
	Crawled(ctx context.Context, site string) (time.Time, error)
}

// Version is an archived version of an article.
type Version struct {
	Snapshot survey.Snapshot
	// Admissible versions may serve as the reference: judged identical or the same article, over verified TLS, our own
	// capture.
	Admissible bool
}

// Plan is what a run is asked to do.
type Plan struct {
	Sites []SitePlan
}

// SitePlan is one site's part of a Plan, with its settings resolved.
type SitePlan struct {
	Site     survey.Site
	Articles []survey.Article
	Vantages []survey.Vantage
	Paths    []PathRule
	// Canaries are URLs that must always work; none: failures count without them.
	Canaries []string
	Settings Settings
	// Feeds and Sitemaps are read on the primary; the Newest articles that they name are checked too (0: 20).
	Feeds    []string
	Sitemaps []string
	Newest   int
	// LinkRules say how a status of matching links is taken; the first that fits holds.
	LinkRules []LinkRule
	// State is a folder of the site's own in which a crawl keeps its state, to go on after an interruption; it is removed
	// when the crawl is complete. Empty: a folder for temporary files, and no going on.
	State string
	// Baseline holds the broken links that are known; nil: none.
	Baseline *Baseline
	// Transport gives the transport of a vantage; it is asked once per vantage and run.
	Transport func(v survey.Vantage) (http.RoundTripper, error)

	published arrivals // by article, from feeds
	expected  []string // articles that feeds and sitemaps name
}

// PathRule maps an article's path on the primary to its path on one mirror (on all when Mirror is empty).
type PathRule struct {
	From   *regexp.Regexp
	To     string
	Mirror survey.Host
}

// Settings are the knobs of visits. The zero value of each field means its default.
type Settings struct {
	Timeout         time.Duration // from the request to the answer's first octet; 20 s. Steady bodies get bodyTime more
	Retries         int           // further attempts after a failure; negative: none; 0: 2
	RetryWait       time.Duration // before the first retry, doubling; 1 s
	MaxHops         int           // 10
	MaxRequisites   int           // per snapshot; 500
	MaxRequisiteSum int64         // octets per snapshot; 200 MB
	RequisiteTime   time.Duration // per snapshot; 2 min
	RequisitesEvery time.Duration // an unchanged page's requisites are fetched again after this; 24 h; negative: every run
	Media           string        // none, head, all; head
	IgnoreRobots    bool
	Links           string        // none: requisites only; page: the links of each article too; site: the whole site; page
	LinksEvery      time.Duration // a link that was found to work is asked for again, and a site crawled, after this; 24 h; negative: every run
	External        bool          // links to hosts outside the mirror set too
	Fragments       bool          // whether the part that a link names is on its page
}

// LinkRule says how a status of links whose address matches is taken: one of LinkOK, LinkWarn, LinkBroken, LinkNotJudged.
type LinkRule struct {
	Match  *regexp.Regexp
	Status map[int]string
}

// bodyTime is how long a body may take that comes steadily: a slow mirror is no mirror that is down. One that stalls is cut
// by the transport, one that drips by this.
const bodyTime = 2 * time.Minute

// whole bounds one request, DNS to last octet. The transport has its own bounds for each phase before the body.
func (s Settings) whole() time.Duration { return s.Timeout + bodyTime }

func (s Settings) filled() Settings {
	def(&s.Timeout, 20*time.Second)
	def(&s.RetryWait, time.Second)
	def(&s.MaxHops, 10)
	def(&s.MaxRequisites, 500)
	def(&s.MaxRequisiteSum, 200_000_000)
	def(&s.RequisiteTime, 2*time.Minute)
	def(&s.RequisitesEvery, 24*time.Hour)
	def(&s.Media, "head")
	def(&s.Links, "page")
	def(&s.LinksEvery, 24*time.Hour)
	switch {
	case s.Retries < 0:
		s.Retries = 0
	case s.Retries == 0:
		s.Retries = 2
	}
	return s
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Config is what a Crawler works with.
type Config struct {
	Sink   Sink
	Memory Memory
	Rules  *compare.Rules
	Run    survey.Run // ID, Started, Tool, NextDue
	Now    func() time.Time
	Log    *slog.Logger

	PerHost     int           // requests at once per host; 4
	Delay       time.Duration // between starts of requests to one host; negative: none; 0: 250 ms
	Concurrency int           // requests at once in all; 32

	// ConfirmCandidates has announced mirrors visited: they are confirmed when two articles of the run are there and what cannot
	// exist is not.
	ConfirmCandidates bool

	// Done is called once per finished Check, after its records are durable, by one goroutine at a time. Its error stops the
	// run.
	Done func(ctx context.Context, d Done) error
	// Crawled is called once per crawl of a site, after its records are durable. Its error stops the run; what the crawl needs to
	// go on is kept until it has returned.
	Crawled func(ctx context.Context, c Crawled) error
	// Progress is told what happens, for people; it must not block.
	Progress func(Event)
}

// Done is one finished Check with what history keeps of it.
type Done struct {
	At         time.Time
	Check      survey.Check
	Snapshots  []survey.Snapshot
	Candidates []survey.CandidateMirror
	// Links are the answers to links of this article that this run asked for.
	Links []survey.Link
}

// Crawled is what a crawl of one site found: the links that are not as they should be, or are so again, and a summary for
// each mirror (none when only what was known to be broken was asked for again).
type Crawled struct {
	At     time.Time
	Site   string
	Links  []survey.Link
	Crawls []survey.Crawl
}
