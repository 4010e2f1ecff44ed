package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mirrorwatch/crawler/survey"
)

// badgeColours have 4.5:1 and more beside white letters.
var badgeColours = map[survey.State]string{survey.Up: "#1a7f43", survey.Degraded: "#9a5b00", survey.Down: "#b42318", survey.Unknown: "#57606a"}

// Badge writes a small SVG picture of a mirror's state in the run, its worst article and vantage; an empty host is the
// whole run. A host that the run did not visit has "no data", never a colour of success.
func Badge(w io.Writer, r survey.Report, host survey.Host) error {
	label, state, word := string(host), survey.Unknown, say["badge-none"]
	if host == "" {
		label = "mirrorwatch"
		if !r.Run.Void && len(r.Articles) > 0 {
			state, _ = Sentence(r)
			word = stateText[state]
		}
	} else if all, _ := tally(r); all[host].words != "" && !r.Run.Void {
		state = all[host].state
		word = stateText[state]
	}
	label, right := Visible(label, 80), mark(state)+" "+word
	width := func(s string) int { return 7*utf8.RuneCountInString(s) + 12 }
	a, b := width(label), width(right)
	title := escapeXML(label + ": " + word)
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="20" viewBox="0 0 %[1]d 20" role="img" aria-label="%[2]s"><title>%[2]s</title>`+
		`<rect width="%[1]d" height="20" rx="3" fill="#333b44"/><path d="M%[3]d 0h%[4]da3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-%[4]dz" fill="%[5]s"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle"><text x="%[6]d" y="14" textLength="%[7]d">%[8]s</text><text x="%[9]d" y="14">%[10]s</text></g></svg>`+"\n",
		a+b, title, a, b-3, badgeColours[state], a/2, a-12, escapeXML(label), a+b/2, escapeXML(right))
	if err != nil {
		return fmt.Errorf("writing the badge: %w", err)
	}
	return nil
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
