package reports

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mirrorwatch/crawler/survey"
)

// TestPercentByHand: a loss is never rounded away, and nothing judged is no percentage.
func TestPercentByHand(t *testing.T) {
	for _, c := range []struct {
		counts survey.Counts
		want   string
	}{
		{survey.Counts{Up: 5, Degraded: 1, Down: 3, Unknown: 7, Void: 9, Maintenance: 4}, "55.6%"},
		{survey.Counts{Up: 9999, Down: 1}, "99.9%"},
		{survey.Counts{Up: 1, Down: 9999}, "0.1%"},
		{survey.Counts{Up: 3, Unknown: 100}, "100%"},
		{survey.Counts{Degraded: 3}, "0%"},
		{survey.Counts{Unknown: 5, Void: 5, Maintenance: 5}, say["no-data"]},
		{survey.Counts{}, say["no-data"]},
	} {
		if got := percent(c.counts); got != c.want {
			t.Errorf("%+v: %s, want %s", c.counts, got, c.want)
		}
	}
}

// TestCardAndStripAgree: the card's 90 days, the bars below it and the list of days with trouble come from the same rows,
// counted by hand.
func TestCardAndStripAgree(t *testing.T) {
	v := sampleView(sampleReport(sampleFindings()[:1]))
	h := &v.Mirrors[0]
	h.Days = make([]survey.DayCount, 90)
	for i := range h.Days {
		h.Days[i].Day = t0.AddDate(0, 0, i-89)
	}
	h.Days[0].Counts = survey.Counts{Up: 24}
	h.Days[10].Counts = survey.Counts{Up: 18, Down: 6}
	h.Days[11].Counts = survey.Counts{Degraded: 12, Down: 12}
	h.Days[12].Counts = survey.Counts{Unknown: 24}
	h.Days[13].Counts = survey.Counts{Void: 24}
	h.Days[14].Counts = survey.Counts{Maintenance: 24}
	h.Days[89].Counts = survey.Counts{Up: 1, Void: 1}
	h.D90 = survey.Counts{}
	for _, d := range h.Days {
		h.D90 = h.D90.Plus(d.Counts)
	}
	card := cards(v, v.Now)[0]
	// Up 24+18+1 = 43 of 24+24+24+1 = 73 judged.
	if w := card.Windows[3]; w.Share != "58.9%" || w.Ratio != "43/73" {
		t.Errorf("90 days: %+v", w)
	}
	var drawn []string
	none := 0
	for i, b := range card.Strip {
		classes := ""
		for _, r := range b.Rects {
			classes += r.Class + "@" + r.Y + "+" + r.H + " "
		}
		if classes == "n@33+3 " {
			none++
			continue
		}
		drawn = append(drawn, fmt.Sprint(i, ": ", strings.TrimSpace(classes)))
	}
	// 36 high: a quarter of the day down is 9, the half 18; up stands below.
	want := []string{"0: u@0+36", "10: x@0+9 u@9+27", "11: x@0+18 d@18+18", "89: u@0+36"}
	if strings.Join(drawn, "|") != strings.Join(want, "|") || none != 86 {
		t.Errorf("drawn %q, %d empty", drawn, none)
	}
	if len(card.Trouble) != 2 || !strings.Contains(card.StripLabel, "2 without trouble, 2 with trouble, 86 without data") {
		t.Errorf("%q, %q", card.StripLabel, card.Trouble)
	}
}

// TestTitlesInTheirLanguage: titles of other languages say so, and take their direction from their own letters.
func TestTitlesInTheirLanguage(t *testing.T) {
	v := samples()["many"]
	elements, _ := parse(t, v)
	langs := map[string]int{}
	for _, n := range elements {
		if l := attr(n, "lang"); l != "" && n.Data != "html" {
			langs[l]++
			if n.Data == "span" && attr(n, "dir") != "auto" {
				t.Errorf("a title in %q without direction", l)
			}
		}
	}
	for _, l := range []string{"fa", "ar", "ru", "zh-Hans"} {
		if langs[l] == 0 {
			t.Errorf("no title in %q: %v", l, langs)
		}
	}
	if langs["en"] > 0 {
		t.Errorf("%d marks for the page's own language", langs["en"])
	}
	v.Report.Articles[1].Mirrors[0].Body.Lang = `fa" onclick="x`
	if got := langOf(&v.Report.Articles[1]); strings.ContainsAny(got, `" =`) {
		t.Errorf("language %q", got)
	}
}

// TestStaleBanner: a page written after the next run was due says so without a script; one written before holds the banner for
// the script, hidden.
func TestStaleBanner(t *testing.T) {
	v := samples()["eight"]
	for _, late := range []bool{false, true} {
		v.Now = v.Report.Run.NextDue.Add(-time.Minute)
		if late {
			v.Now = v.Report.Run.NextDue.Add(time.Minute)
		}
		elements, text := parse(t, v)
		for _, n := range elements {
			if attr(n, "id") == "stale" {
				hidden := false
				for _, a := range n.Attr {
					hidden = hidden || a.Key == "hidden"
				}
				if hidden == late {
					t.Errorf("late %v: hidden %v", late, hidden)
				}
			}
		}
		if !strings.Contains(text, "2026-11-20 04:17 UTC") {
			t.Error("the page does not say when the next run is due")
		}
	}
}
