package survey

// VerdictWord is what an observation means beside the reference: a closed list.
type VerdictWord string

const (
	Identical     VerdictWord = "identical"
	SameArticle   VerdictWord = "same_article"
	Altered       VerdictWord = "altered"
	Truncated     VerdictWord = "truncated"
	Translation   VerdictWord = "translation"
	Related       VerdictWord = "related"
	DifferentPage VerdictWord = "different_page"
	Interstitial  VerdictWord = "interstitial"
	FetchFailed   VerdictWord = "fetch_failed"
	Undetermined  VerdictWord = "undetermined"
)

// By says how Identical was found.
type By string

const (
	ByBytes     By = "bytes"
	ByText      By = "text"
	ByReference By = "reference" // it is the reference, and no older version was there to hold it against
)

// PageClass is what kind of page answered: a closed list.
type PageClass string

const (
	ClassArticle       PageClass = "article"
	ClassLegal451      PageClass = "legal_451"
	ClassChallenge     PageClass = "challenge"
	ClassSeizureBanner PageClass = "seizure_banner"
	ClassBlockPage     PageClass = "block_page"
	ClassAccessDenied  PageClass = "access_denied"
	ClassParked        PageClass = "parked"
	ClassLogin         PageClass = "login"
	ClassConsent       PageClass = "consent"
	ClassSoft404       PageClass = "soft_404"
	ClassHomePage      PageClass = "home_page"
	ClassErrorPage     PageClass = "error_page"
	ClassUnknown       PageClass = "unknown"
)

// State is what a reader of a status page wants to know.
type State string

const (
	Up       State = "up"
	Degraded State = "degraded"
	Down     State = "down"
	Unknown  State = "unknown"
)

// Rank orders states from best to worst; Unknown is worse than nothing and better than Degraded, so that a mirror's
// worst vantage is never hidden by one that could not tell.
func (s State) Rank() int {
	switch s {
	case Up:
		return 0
	case Unknown:
		return 1
	case Degraded:
		return 2
	case Down:
		return 3
	}
	return 1
}

// Confidence is how sure a verdict is; its Reasons say why.
type Confidence string

const (
	High   Confidence = "high"
	Medium Confidence = "medium"
	Low    Confidence = "low"
)

// Reasons of Undetermined: the first of Verdict.Reasons is one of these.
const (
	ReasonNoReference = "no_reference"
	ReasonInterrupted = "interrupted"
	ReasonBudget      = "budget"
	ReasonOwnNetwork  = "own_network"
	ReasonRateLimited = "rate_limited"
	ReasonChallenge   = "challenge"
	ReasonVoid        = "void_vantage"
	ReasonScriptShell = "js_shell"
	ReasonPruned      = "evidence pruned"
)

// Verdict is what one observation means beside the reference.
type Verdict struct {
	State   State       `json:"state"`
	Verdict VerdictWord `json:"verdict"`
	By      *By         `json:"by"`
	Kind    *string     `json:"kind"` // of altered: updated, edge_insertion, ...; of truncated: transport, teaser, ...
	// Version is the RFC 3339 time of the older archived version that the page equals, null when it is the reference's.
	Version    *string    `json:"version"`
	PageClass  PageClass  `json:"page_class"`
	Confidence Confidence `json:"confidence"`
	Reasons    []string   `json:"reasons"`
	Matched    []Match    `json:"matched"`
	Scores     Scores     `json:"scores"`
	Changes    []Change   `json:"changes"`
}

// Match is one rule of a list that fitted, kept whether or not it decided.
type Match struct {
	Rule   string `json:"rule"`
	List   string `json:"list"`   // list name and version
	Offset int    `json:"offset"` // octets into the matched text; -1 for header and status rules
}

// Scores are the containments of 5-word shingles: CRef the share of the reference's found in the candidate, CCand the
// reverse. Null when there was no text to compare.
type Scores struct {
	CRef  *float64 `json:"c_ref"`
	CCand *float64 `json:"c_cand"`
}

// Change is one difference in text or metadata.
type Change struct {
	// Kind: title, number, name, negation, quotation, sentence_edited, sentence_inserted, sentence_deleted,
	// paragraph_removed, paragraph_inserted, moved, date, author, image, link.
	Kind      string `json:"kind"`
	Reference string `json:"reference"`
	Candidate string `json:"candidate"`
	// At holds the octet ranges in the reference's and in the candidate's text, [[start,end],[start,end]].
	At [2][2]int `json:"at"`
}

// Ptr returns a pointer to v: for the fields that are null when unknown.
func Ptr[T any](v T) *T { return &v }
