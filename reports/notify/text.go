// Package notify tells people of incidents: it writes the messages, sends them through shoutrrr's services or to a program,
// and fetches the heartbeat address. What came from fetched pages is hostile (DESIGN section 6): it is cut, freed of
// control characters and escaped for the service it goes to. No error of this package holds a secret.
package notify

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Message is what is sent. Subject is one line.
type Message struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

const (
	maxShown   = 10  // incidents named one by one in a message
	maxField   = 300 // runes of a foreign text
	maxSubject = 150
)

// Compose writes one message about the events, which are told together: it begins with the counts and names the ten
// worst. style is that of the service it goes to.
func Compose(events []survey.IncidentEvent, style Style) Message {
	events = append([]survey.IncidentEvent(nil), events...)
	sort.SliceStable(events, func(i, j int) bool { return rank(events[i]) < rank(events[j]) })
	var m Message
	if len(events) == 1 {
		m.Subject = headline(events[0], Plain)
		m.Body = headline(events[0], style) + "\n" + details(events[0], style)
	} else {
		counts := map[string]int{}
		var order []string
		for _, e := range events {
			w := word(e)
			if counts[w] == 0 {
				order = append(order, w)
			}
			counts[w]++
		}
		var parts []string
		for _, w := range order {
			parts = append(parts, fmt.Sprintf("%d %s", counts[w], w))
		}
		m.Subject = strings.Join(parts, ", ")
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n", m.Subject)
		for i, e := range events {
			if i == maxShown {
				fmt.Fprintf(&b, "\nand %d more: mirrorwatch incidents\n", len(events)-maxShown)
				break
			}
			fmt.Fprintf(&b, "\n%s\n%s", headline(e, style), details(e, style))
		}
		m.Body = b.String()
	}
	m.Subject = oneLine("mirrorwatch: "+m.Subject, maxSubject)
	m.Body = strings.TrimRight(m.Body, "\n") + "\n"
	return m
}

// Joined makes of the events that are told together what a reader needs of them: of each incident one, as it is at the
// end. What ended while it waited is told as ended; what began and got worse, or was to be reminded of, as begun.
func Joined(events []survey.IncidentEvent) []survey.IncidentEvent {
	var all []survey.IncidentEvent
	index := map[string]int{}
	for _, e := range events {
		at, ok := index[e.Incident.ID]
		if !ok {
			index[e.Incident.ID] = len(all)
			all = append(all, e)
			continue
		}
		was := all[at]
		switch {
		case was.Kind == survey.Closed:
			continue // an incident ends once
		case was.Kind == survey.Opened && e.Kind != survey.Closed:
			e.ID, e.Kind = was.ID, was.Kind
		}
		all[at] = e
	}
	return all
}

// rank orders by what a reader must know first.
func rank(e survey.IncidentEvent) int {
	n := map[survey.EventKind]int{survey.Opened: 0, survey.Worsened: 0, survey.Reminded: 2, survey.Closed: 4}[e.Kind]
	if e.Incident.Severity != survey.Down {
		n++
	}
	if e.Incident.Article != "" {
		return 2*n + 1
	}
	return 2 * n
}

func word(e survey.IncidentEvent) string {
	in := e.Incident
	switch {
	case e.Kind == survey.Closed:
		return "UP again"
	case e.Kind == survey.Reminded:
		return "STILL " + strings.ToUpper(string(in.Severity))
	case in.State == survey.Flapping:
		return "FLAPPING"
	}
	return strings.ToUpper(string(in.Severity))
}

func headline(e survey.IncidentEvent, style Style) string {
	in := e.Incident
	s := word(e) + ": " + style.text(string(in.Mirror))
	if in.Article != "" {
		s += ", one article"
	}
	s += " (" + style.text(in.Site) + ")"
	if e.Kind == survey.Closed {
		return s + " after " + Span(in.Duration(e.At))
	}
	return s + ": " + style.text(Cause(in.Cause))
}

// Cause is an incident's cause in words.
func Cause(c string) string {
	if class, ok := strings.CutPrefix(c, "page:"); ok {
		return map[string]string{"seizure_banner": "a seizure banner instead of the article", "block_page": "a block page instead of the article",
			"legal_451": "withheld for legal reasons", "parked": "the domain is parked", "access_denied": "access denied", "login": "a login wall",
			"consent": "a consent wall", "challenge": "a challenge", "soft_404": "a not-found page", "home_page": "the home page instead of the article",
			"error_page": "an error page"}[class] + map[bool]string{true: class}[!known[class]]
	}
	if code, ok := strings.CutPrefix(c, "status_"); ok {
		return "it answers with status " + code
	}
	if w, ok := causes[c]; ok {
		return w
	}
	return strings.ReplaceAll(c, "_", " ")
}

var known = map[string]bool{"seizure_banner": true, "block_page": true, "legal_451": true, "parked": true, "access_denied": true, "login": true,
	"consent": true, "challenge": true, "soft_404": true, "home_page": true, "error_page": true}

var causes = map[string]string{
	"unreachable": "it cannot be reached", "certificate": "its certificate is not valid for it", "server_error": "its server answers with an error",
	"broken_body": "its answers break off", "altered": "the text differs from the reference", "truncated": "the text is cut",
	"translation": "a translation instead of the article", "related": "a related article instead of this one", "different_page": "another page instead of the article",
}

func details(e survey.IncidentEvent, style Style) string {
	in := e.Incident
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %s: %s\n", name, value)
		}
	}
	if in.Article != "" {
		line("article", style.url(in.Article))
	} else if in.Of > 1 {
		line("articles", fmt.Sprintf("%d of %d", in.Affected, in.Of))
	}
	if e.Kind == survey.Closed {
		line("from", stamp(in.Started))
		line("to", stamp(*in.Closed))
		line("was", style.text(Cause(in.Cause)))
	} else {
		line("since", stamp(in.Started)+", for "+Span(in.Duration(e.At)))
		if n := len(in.Evidence); n > 0 {
			v := in.Evidence[n-1]
			line("seen", strings.TrimSpace(strings.Join([]string{style.text(string(v.Stage)), style.text(string(v.Outcome))}, " "))+reason(v, style))
			line("evidence", style.url(v.Snapshot))
		}
		if in.VantagesOf > 1 {
			line("fails from", fmt.Sprintf("%d of %d vantages: %s", len(in.Vantages), in.VantagesOf, style.text(strings.Join(in.Vantages, ", "))))
		}
		line("last good", style.url(in.LastGood))
		if in.Acked == nil {
			line("acknowledge", "mirrorwatch incidents ack "+in.ID)
		}
	}
	line("incident", in.ID)
	return b.String()
}

func reason(v survey.Evidence, style Style) string {
	if v.Reason == "" {
		return ""
	}
	return " (" + style.text(v.Reason) + ")"
}

// Forward writes the message for the operator of the mirror: it explains itself to somebody who does not know mirrorwatch
// and can be sent on as it is. from is the contact of the sites file, may be empty.
func Forward(e survey.IncidentEvent, from string, style Style) Message {
	in := e.Incident
	var b strings.Builder
	host := style.text(string(in.Mirror))
	what := host
	if in.Article != "" {
		what = "one article on " + host
	}
	b.WriteString("Hello,\n\n")
	if e.Kind == survey.Closed {
		fmt.Fprintf(&b, "%s is all right again since %s. The trouble lasted %s; it was: %s.\n", what, stamp(*in.Closed), Span(in.Duration(e.At)), style.text(Cause(in.Cause)))
	} else {
		fmt.Fprintf(&b, "we check by program whether the mirrors of %s serve its articles. Since %s (%s) %s does not: %s.\n", style.text(in.Site), stamp(in.Started), Span(in.Duration(e.At)), what, style.text(Cause(in.Cause)))
		if in.Article != "" {
			fmt.Fprintf(&b, "\nThe article: %s\n", style.url(in.Article))
		} else if in.Of > 1 {
			fmt.Fprintf(&b, "\n%d of the %d articles that were checked fail.\n", in.Affected, in.Of)
		}
		if in.VantagesOf > 1 && len(in.Vantages) < in.VantagesOf {
			fmt.Fprintf(&b, "It fails from %d of the %d networks we look from, so it may be blocked on the way and not broken.\n", len(in.Vantages), in.VantagesOf)
		}
		b.WriteString("\nWhat was seen:\n")
		list := in.Evidence
		for i := max(0, len(list)-3); i < len(list); i++ {
			v := list[i]
			fmt.Fprintf(&b, "- %s, %s: %s %s%s\n", stamp(v.At), style.url(v.Article), style.text(string(v.Stage)), style.text(string(v.Outcome)), reason(v, style))
		}
		b.WriteString("\nThe exact answers are archived and can be had on request.\n")
	}
	if from != "" {
		fmt.Fprintf(&b, "\nReplies to: %s\n", style.text(from))
	}
	fmt.Fprintf(&b, "(incident %s)\n", in.ID)
	subject := string(in.Mirror) + ": " + Cause(in.Cause)
	if e.Kind == survey.Closed {
		subject = string(in.Mirror) + ": all right again"
	}
	return Message{Subject: oneLine(subject, maxSubject), Body: b.String()}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// Span writes a duration in its two largest units: "3d 4h", "2h 5m", "40s".
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	for i, u := range []struct {
		name string
		d    time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if d < u.d {
			continue
		}
		next := []struct {
			name string
			d    time.Duration
		}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}[i]
		s := fmt.Sprintf("%d%s", d/u.d, u.name)
		if rest := d % u.d / next.d; rest > 0 && u.name != "m" {
			s += fmt.Sprintf(" %d%s", rest, next.name)
		}
		return s
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
