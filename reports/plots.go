package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// piece is a part of a sentence; Only is set when the other side lacks it.
type piece struct {
	Text string
	Only bool
}

// maxWords bounds the table of byWord; longer sides are marked as a whole.
const maxWords = 150

// byWord splits two texts into what both have, in order, and what only one has. A side that is empty gives none.
func byWord(was, is string) (a, b []piece) {
	split := func(s string) []string { return strings.SplitAfter(s, " ") }
	x, y := split(was), split(is)
	if was == "" || is == "" || len(x) > maxWords || len(y) > maxWords {
		whole := func(s string) []piece {
			if s == "" {
				return nil
			}
			return []piece{{s, false}}
		}
		return whole(was), whole(is)
	}
	// longest common subsequence of words
	same := func(i, j int) bool { return strings.TrimSuffix(x[i], " ") == strings.TrimSuffix(y[j], " ") }
	table := make([][]int, len(x)+1)
	for i := range table {
		table[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if same(i, j) {
				table[i][j] = table[i+1][j+1] + 1
			} else {
				table[i][j] = max(table[i+1][j], table[i][j+1])
			}
		}
	}
	add := func(list []piece, text string, only bool) []piece {
		if n := len(list); n > 0 && list[n-1].Only == only {
			list[n-1].Text += text
			return list
		}
		return append(list, piece{text, only})
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && same(i, j):
			a, b = add(a, x[i], false), add(b, y[j], false)
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && table[i+1][j] >= table[i][j+1]:
			a = add(a, x[i], true)
			i++
		default:
			b = add(b, y[j], true)
			j++
		}
	}
	return tidy(a), tidy(b)
}

// tidy moves the space behind a marked word out of the mark.
func tidy(list []piece) []piece {
	var out []piece
	for i, p := range list {
		if p.Only && i+1 < len(list) && !list[i+1].Only && len(p.Text) > 1 && strings.HasSuffix(p.Text, " ") {
			p.Text = strings.TrimSuffix(p.Text, " ")
			list[i+1].Text = " " + list[i+1].Text
		}
		out = append(out, p)
	}
	return out
}

// spark draws the daily means of the time to the first byte, a line for each stretch of days with answers.
func spark(h *survey.MirrorHistory) (lines []string, label string) {
	low, high, last, n := 0.0, 0.0, 0.0, 0
	for _, d := range h.Days {
		if d.FirstByteMS == nil {
			continue
		}
		ms := *d.FirstByteMS
		if n++; n == 1 {
			low, high = ms, ms
		}
		low, high, last = min(low, ms), max(high, ms), ms
	}
	if n < 2 {
		return nil, "" // a point is no line
	}
	var points []string
	end := func() {
		switch len(points) {
		case 0:
			return
		case 1: // a lone day is a short line
			x, y, _ := strings.Cut(points[0], ",")
			var at float64
			fmt.Sscan(x, &at)
			points = append(points, decimal(at+4)+","+y)
		}
		lines = append(lines, strings.Join(points, " "))
		points = nil
	}
	for i, d := range h.Days {
		if d.FirstByteMS == nil {
			end()
			continue
		}
		y := 12.0
		if high > low {
			y = 22 - 20*(*d.FirstByteMS-low)/(high-low)
		}
		points = append(points, decimal(float64(i)*6)+","+decimal(y))
	}
	end()
	return lines, fmt.Sprintf(say["answer"], decimal(low), decimal(high), decimal(last))
}

func decimal(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }

// lagWords says how late articles come to a mirror.
func lagWords(l *survey.LagStat) string {
	if l == nil {
		return ""
	}
	out := say["lag-none"]
	switch {
	case l.Articles == 0:
	case l.P90 <= 0:
		out = fmt.Sprintf(say["lag-same"], plural(l.Articles, say["one-article"], say["many-articles"]))
	default:
		out = fmt.Sprintf(say["lag"], plural(l.Articles, say["one-article"], say["many-articles"]), duration(seconds(l.P90)), duration(seconds(l.Bound)))
	}
	if l.Missing > 0 {
		out += "; " + fmt.Sprintf(say["lag-missing"], plural(l.Missing, say["one-article"], say["many-articles"]))
	}
	return out
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

type (
	month struct {
		Caption  string
		Weekdays []weekday
		Weeks    [][]monthDay
	}
	weekday  struct{ Short, Long string }
	monthDay struct {
		Day              string
		State            survey.State
		Mark, Ref, Label string
	}
)

// maxMonths is how many months with snapshots the calendar shows, the newest ones.
const maxMonths = 6

// calendar draws the months in which snapshots were taken. A day leads to its first row among those that are shown.
func calendar(rows []survey.SnapshotRow, shown map[string]string) (months []month) {
	type dayCount struct {
		n     int
		worst survey.State
	}
	days := map[string]*dayCount{}
	var names []string
	for _, s := range rows {
		key := s.Time.UTC().Format("2006-01-02")
		d := days[key]
		if d == nil {
			d = &dayCount{worst: survey.Up}
			days[key] = d
		}
		if d.n++; s.State.Rank() > d.worst.Rank() {
			d.worst = s.State
		}
		if m := key[:7]; !slices.Contains(names, m) {
			names = append(names, m)
		}
	}
	slices.Sort(names)
	if len(names) > maxMonths {
		names = names[len(names)-maxMonths:]
	}
	for _, name := range names {
		first, err := time.Parse("2006-01", name)
		if err != nil {
			continue // a year of five digits
		}
		m := month{Caption: fmt.Sprintf(say["calendar-cap"], name), Weekdays: weekdays}
		lead := (int(first.Weekday()) + 6) % 7
		week := make([]monthDay, lead, 7)
		for at := first; at.Month() == first.Month(); at = at.AddDate(0, 0, 1) {
			cell := monthDay{Day: fmt.Sprint(at.Day())}
			key := at.Format("2006-01-02")
			if d := days[key]; d != nil {
				c := chip(d.worst)
				cell.State, cell.Mark, cell.Ref = c.State, c.Mark, shown[key]
				cell.Label = fmt.Sprintf(say["calendar-day"], key, plural(d.n, say["one-snapshot"], say["many-snapshots"]), c.StateWord)
			}
			if week = append(week, cell); len(week) == 7 {
				m.Weeks = append(m.Weeks, week)
				week = nil
			}
		}
		if len(week) > 0 {
			m.Weeks = append(m.Weeks, append(week, make([]monthDay, 7-len(week))...))
		}
		months = append(months, m)
	}
	return months
}
