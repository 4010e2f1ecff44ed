package reports

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// mark is a state's sign where colour is not enough.
func mark(s survey.State) string {
	switch s {
	case survey.Up:
		return "✓"
	case survey.Degraded:
		return "▲"
	case survey.Down:
		return "✕"
	}
	return "?"
}

// spaced turns a code of ours into words.
func spaced(code string) string { return strings.ReplaceAll(code, "_", " ") }

func outcomeWords(o survey.Outcome) string {
	if t := outcomeText[o]; t != "" {
		return t
	}
	if n := o.StatusCode(); n != 0 {
		return fmt.Sprintf(say["status-n"], n)
	}
	return spaced(string(o))
}

// verdictWords says the verdict in words: "altered (number)", "block page", "not reachable".
func verdictWords(f *survey.Finding) string {
	if f.Verdict.Verdict == survey.Interstitial || f.Verdict.Verdict == survey.DifferentPage {
		if t := classText[f.PageClass]; t != "" {
			return t
		}
	}
	t := verdictText[f.Verdict.Verdict]
	if t == "" {
		t = spaced(string(f.Verdict.Verdict))
	}
	switch {
	case f.Kind != nil && *f.Kind != "" && *f.Kind != "cut": // "cut short (cut)"
		t += " (" + spaced(*f.Kind) + ")"
	case f.By != nil && *f.By == survey.ByReference:
		t += " (" + say["is-reference"] + ")"
	case f.By != nil && f.Verdict.Verdict == survey.Identical:
		t += " (" + fmt.Sprintf(say["by"], string(*f.By)) + ")"
	}
	return t
}

// reasonWords is the one short reason that stands beside a verdict; empty when the verdict says it all.
func reasonWords(f *survey.Finding) string {
	if f.Verdict.Verdict == survey.FetchFailed || f.Outcome != "" && f.Outcome != survey.OK && len(f.Reasons) == 0 {
		t := outcomeWords(f.Outcome)
		if f.Stage != "" && f.Outcome.StatusCode() == 0 {
			t = string(f.Stage) + ": " + t
		}
		return t
	}
	if len(f.Reasons) == 0 {
		if len(f.Changes) > 0 {
			return plural(len(f.Changes), say["one-change"], say["many-changes"])
		}
		return ""
	}
	r := f.Reasons[0]
	if t := reasonText[r]; t != "" {
		return t
	}
	if !strings.Contains(r, " ") {
		return spaced(r)
	}
	return r
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Sentence says a whole run in one sentence, and which state it is to be painted in.
func Sentence(r survey.Report) (survey.State, string) {
	switch {
	case r.Run.Void:
		why := say["own-network"]
		if r.Run.VoidReason != nil && *r.Run.VoidReason != "" {
			why = reasonOr(*r.Run.VoidReason)
		}
		return survey.Unknown, fmt.Sprintf(say["v-void"], why)
	case len(r.Articles) == 0:
		return survey.Unknown, say["nothing-checked"]
	}
	hosts, order := tally(r)
	if len(order) == 0 {
		return survey.Unknown, say["none-visited"]
	}
	var bad, unsure []string
	worst := survey.Up
	for _, h := range order {
		t := hosts[h]
		switch t.state {
		case survey.Degraded, survey.Down:
			bad = append(bad, string(h)+" ("+t.words+")")
		case survey.Unknown:
			unsure = append(unsure, string(h)+" ("+t.words+")")
		}
		if t.state.Rank() > worst.Rank() {
			worst = t.state
		}
	}
	article := say["v-article"]
	if len(r.Articles) > 1 {
		article = fmt.Sprintf(say["v-articles"], len(r.Articles))
	}
	var b strings.Builder
	switch {
	case len(bad) == 0 && len(unsure) == 0 && len(order) == 1:
		fmt.Fprintf(&b, say["v-only"], order[0], article)
	case len(bad) == 1 && len(order) == 1:
		fmt.Fprintf(&b, say["v-only-bad"], article, bad[0])
	case len(bad) == 0 && len(unsure) == 0:
		fmt.Fprintf(&b, say["v-all"], len(order), article)
	case len(bad) == 0 && len(unsure) == len(order):
		fmt.Fprintf(&b, say["v-unsure"], article, head(unsure))
	case len(bad) == 0:
		fmt.Fprintf(&b, say["v-some"], len(order)-len(unsure), plural(len(order), say["one-address"], say["many-addresses"]), article, head(unsure))
	default:
		text := say["v-bad"]
		if len(bad) == 1 {
			text = say["v-one-bad"]
		}
		fmt.Fprintf(&b, text, len(bad), plural(len(order), say["one-address"], say["many-addresses"]), article, head(bad))
		if len(unsure) > 0 {
			b.WriteString(" " + fmt.Sprintf(say["v-also-unsure"], head(unsure)))
		}
	}
	if !r.Run.Complete {
		b.WriteString(" " + say["v-cut"])
	}
	return worst, b.String()
}

func reasonOr(r string) string {
	if t := reasonText[r]; t != "" {
		return t
	}
	if !strings.Contains(r, " ") {
		return spaced(r)
	}
	return r
}

func head(list []string) string {
	const most = 4
	if len(list) > most {
		return strings.Join(list[:most], ", ") + " " + fmt.Sprintf(say["more"], len(list)-most)
	}
	return strings.Join(list, ", ")
}

// hostTally is one host over all articles, by its worst vantage that is not void.
type hostTally struct {
	state survey.State
	words string
	role  survey.Role
}

func tally(r survey.Report) (map[survey.Host]hostTally, []survey.Host) {
	void := voidVantages(r.Run)
	type count struct {
		worst  survey.State
		at     map[survey.State]int
		sample map[survey.State]map[string]int
		role   survey.Role
		judged bool
	}
	all := map[survey.Host]*count{}
	var order []survey.Host
	for ci := range r.Articles {
		worst := map[survey.Host]*survey.Finding{}
		for i := range r.Articles[ci].Mirrors {
			f := &r.Articles[ci].Mirrors[i]
			if all[f.Mirror] == nil {
				all[f.Mirror] = &count{at: map[survey.State]int{}, sample: map[survey.State]map[string]int{}, role: f.Role}
				order = append(order, f.Mirror)
			}
			old := worst[f.Mirror]
			if old == nil || void[old.Vantage] && !void[f.Vantage] || !void[f.Vantage] && f.State.Rank() > old.State.Rank() {
				worst[f.Mirror] = f
			}
		}
		for h, f := range worst {
			state, words := f.State, verdictWords(f)
			if f.Verdict.Verdict == survey.FetchFailed {
				words = outcomeWords(f.Outcome)
			}
			if state == survey.Unknown {
				words = reasonWords(f)
			}
			if void[f.Vantage] {
				state, words = survey.Unknown, reasonText[survey.ReasonVoid]
			}
			c := all[h]
			if !c.judged || state.Rank() > c.worst.Rank() {
				c.worst, c.judged = state, true
			}
			c.at[state]++
			if c.sample[state] == nil {
				c.sample[state] = map[string]int{}
			}
			c.sample[state][words]++
		}
	}
	out := map[survey.Host]hostTally{}
	for h, c := range all {
		words := most(c.sample[c.worst])
		if len(r.Articles) > 1 && c.worst != survey.Up {
			words = fmt.Sprintf(say["words-of"], words, c.at[c.worst], len(r.Articles))
		}
		out[h] = hostTally{c.worst, words, c.role}
	}
	return out, order
}

// most returns the commonest word, the first in the alphabet among equals.
func most(counts map[string]int) string {
	words := make([]string, 0, len(counts))
	for w := range counts {
		words = append(words, w)
	}
	sort.Slice(words, func(i, j int) bool {
		if counts[words[i]] != counts[words[j]] {
			return counts[words[i]] > counts[words[j]]
		}
		return words[i] < words[j]
	})
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

func voidVantages(run survey.Run) map[string]bool {
	void := map[string]bool{}
	for _, v := range run.VoidVantages {
		void[v] = true
	}
	return void
}

// utc writes a time for people: to the minute, with its zone.
func utc(t time.Time) string {
	if t.IsZero() {
		return say["not-known"]
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf(say["u-ms"], d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf(say["u-s"], d.Seconds())
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), say["u-min"], int(d.Seconds())%60, say["u-sec"])
	case d < 48*time.Hour:
		return twoUnits(int(d.Hours()), say["u-h"], int(d.Minutes())%60, say["u-min"])
	}
	return fmt.Sprintf(say["u-days"], int(d.Hours())/24)
}

func twoUnits(n int, big string, rest int, small string) string {
	if rest == 0 {
		return fmt.Sprintf("%d %s", n, big)
	}
	return fmt.Sprintf("%d %s %d %s", n, big, rest, small)
}

// stateOf is the state a finding is shown with: what a void vantage saw is not known.
func stateOf(f *survey.Finding, void map[string]bool) survey.State {
	if void[f.Vantage] || f.State == "" {
		return survey.Unknown
	}
	return f.State
}

// restoreCommand gives the snapshot of that name back, as a line for a shell.
func restoreCommand(command, data string, f *survey.Finding, article string) string {
	if f.Snapshot == nil {
		return ""
	}
	at, _, ok := strings.Cut(*f.Snapshot, "/")
	if !ok {
		return ""
	}
	return restoreLine(command, data, article, string(f.Mirror), f.Vantage, at)
}

func restoreLine(command, data, article, mirror, vantage, at string) string {
	if command == "" {
		command = "mirrorwatch"
	}
	words := []string{command, "restore", article, "--to", "restored", "--mirror", mirror, "--at", at}
	if vantage != "" && vantage != "direct" {
		words = append(words, "--vantage", vantage)
	}
	if data != "" {
		words = append(words, "--data", data)
	}
	for i, w := range words {
		if i > 0 {
			words[i] = shellWord(Visible(w, 0))
		}
	}
	return strings.Join(words, " ")
}
