package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// Atom writes the view's incidents as an Atom feed (RFC 4287). An entry's id depends on its incident alone and never
// changes; updated moves when the incident opens, closes or is acknowledged.
func Atom(w io.Writer, v View) error {
	type person struct {
		Name string `xml:"name"`
	}
	type link struct {
		Href string `xml:"href,attr"`
	}
	type content struct {
		Type string `xml:"type,attr"`
		Text string `xml:",chardata"`
	}
	type entry struct {
		ID        string  `xml:"id"`
		Title     string  `xml:"title"`
		Published string  `xml:"published"`
		Updated   string  `xml:"updated"`
		Link      *link   `xml:"link"`
		Content   content `xml:"content"`
	}
	feed := struct {
		XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string   `xml:"id"`
		Title   string   `xml:"title"`
		Updated string   `xml:"updated"`
		Author  person   `xml:"author"`
		Entries []entry  `xml:"entry"`
	}{ID: "urn:mirrorwatch:incidents", Title: say["feed-title"], Author: person{"mirrorwatch"}}
	updated := v.Report.Run.Started
	for i, in := range v.Incidents {
		at := in.Started
		for _, t := range []*time.Time{in.Opened, in.Closed, in.Acked} {
			if t != nil && t.After(at) {
				at = *t
			}
		}
		if at.After(updated) {
			updated = at
		}
		state := say["feed-"+in.State]
		if state == "" {
			state = in.State
		}
		where := in.Article
		if where == "" {
			where = say["all-articles"]
		}
		text := fmt.Sprintf("%s: %s, %s, %s %s", in.Mirror, where, spaced(in.Cause), say["since"], utc(in.Started))
		if in.Closed != nil {
			text += fmt.Sprintf(", %s %s (%s)", say["feed-closed"], utc(*in.Closed), duration(in.Closed.Sub(in.Started)))
		}
		href := "index.html"
		if i < maxIncidents { // those that the page shows
			href += "#incident-" + anchor(in.ID)
		}
		feed.Entries = append(feed.Entries, entry{
			ID: "urn:mirrorwatch:incident:" + anchor(in.ID), Title: Visible(fmt.Sprintf("%s: %s (%s)", in.Mirror, spaced(in.Cause), state), 300),
			Published: iso(in.Started), Updated: iso(at), Link: &link{href}, Content: content{"text", Visible(text, 2000)},
		})
	}
	feed.Updated = updated.UTC().Format(time.RFC3339)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("writing the feed: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(feed); err != nil {
		return fmt.Errorf("writing the feed: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
