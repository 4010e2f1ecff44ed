package reports

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

// Metrics writes the view for Prometheus in its text format, as the textfile collector and /metrics want it. What is not
// known has no sample. Times are seconds since 1970.
func Metrics(w io.Writer, v View) error {
	m := &metrics{out: bufio.NewWriter(w)}
	r := v.Report
	m.family("mirrorwatch_build_info", "Program and rules that made the run.")
	m.sample(1, "version", r.Run.Tool.Version, "rules", r.Run.RulesVersion)
	m.family("mirrorwatch_run_started_timestamp_seconds", "When the newest run began.")
	m.time(r.Run.Started)
	m.family("mirrorwatch_run_finished_timestamp_seconds", "When the newest run ended; missing while it runs or when it was killed.")
	m.time(r.Run.Finished)
	if r.Run.NextDue != nil {
		m.family("mirrorwatch_run_next_due_timestamp_seconds", "When the next run is due.")
		m.time(*r.Run.NextDue)
	}
	m.family("mirrorwatch_run_void", "1 when the run says nothing because its own network was down.")
	m.flag(r.Run.Void)
	m.family("mirrorwatch_run_complete", "1 when everything planned was visited.")
	m.flag(r.Run.Complete)

	void := voidVantages(r.Run)
	type seen struct {
		k      place
		count  map[survey.State]int
		expiry time.Time
		first  float64
		n      int
	}
	var all []*seen
	index := map[place]*seen{}
	for ci := range r.Articles {
		c := &r.Articles[ci]
		for i := range c.Mirrors {
			f := &c.Mirrors[i]
			k := place{c.Site, string(f.Mirror), f.Vantage}
			s := index[k]
			if s == nil {
				s = &seen{k: k, count: map[survey.State]int{}}
				index[k], all = s, append(all, s)
			}
			state := stateOf(f, void)
			if r.Run.Void {
				state = survey.Unknown
			}
			s.count[state]++
			if f.TLS != nil && !f.TLS.NotAfter.IsZero() {
				s.expiry = f.TLS.NotAfter
			}
			if f.Timing.FirstByte != nil {
				s.first += *f.Timing.FirstByte
				s.n++
			}
		}
	}
	m.family("mirrorwatch_articles", "Articles of the newest run by the mirror's state for them.")
	for _, s := range all {
		for _, state := range []survey.State{survey.Up, survey.Degraded, survey.Down, survey.Unknown} {
			m.sample(float64(s.count[state]), "site", s.k.site, "mirror", s.k.mirror, "vantage", s.k.vantage, "state", string(state))
		}
	}
	m.family("mirrorwatch_first_byte_seconds", "Mean time to the first byte in the newest run.")
	for _, s := range all {
		if s.n > 0 {
			m.sample(s.first/float64(s.n)/1000, "site", s.k.site, "mirror", s.k.mirror, "vantage", s.k.vantage)
		}
	}
	m.family("mirrorwatch_certificate_not_after_timestamp_seconds", "End of the certificate seen.")
	for _, s := range all {
		if !s.expiry.IsZero() {
			m.sample(float64(s.expiry.Unix()), "site", s.k.site, "mirror", s.k.mirror, "vantage", s.k.vantage)
		}
	}
	m.family("mirrorwatch_availability_ratio", "Share of observations in the window that found the article: up / (up + degraded + down).")
	for i := range v.Mirrors {
		h := &v.Mirrors[i]
		for _, win := range []struct {
			name string
			c    survey.Counts
		}{{"24h", h.H24}, {"7d", h.D7}, {"30d", h.D30}, {"90d", h.D90}} {
			if share, ok := win.c.Availability(); ok {
				m.sample(share, "site", h.Site, "mirror", string(h.Mirror), "vantage", h.Vantage, "window", win.name)
			}
		}
	}
	m.family("mirrorwatch_lag_seconds", "How much later than on the primary articles came, over 30 days.")
	for i := range v.Lags {
		l := &v.Lags[i]
		if l.Articles > 0 {
			for _, q := range []struct {
				name  string
				value float64
			}{{"0.5", l.P50}, {"0.9", l.P90}, {"1", l.Max}} {
				m.sample(q.value, "site", l.Site, "mirror", string(l.Mirror), "vantage", l.Vantage, "quantile", q.name)
			}
		}
	}
	m.family("mirrorwatch_links_broken", "Broken link targets of the newest run.")
	m.sample(float64(r.Summary.LinksBroken))
	open := 0
	for _, in := range v.Incidents {
		if in.Closed == nil && in.State != "suspect" {
			open++
		}
	}
	m.family("mirrorwatch_incidents_open", "Incidents that are open.")
	m.sample(float64(open))
	if err := m.out.Flush(); err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	return nil
}

type metrics struct {
	out  *bufio.Writer
	name string
}

func (m *metrics) family(name, help string) {
	m.name = name
	fmt.Fprintf(m.out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
}

func (m *metrics) time(t time.Time) {
	if !t.IsZero() {
		m.sample(float64(t.Unix()))
	}
}

func (m *metrics) flag(b bool) {
	if b {
		m.sample(1)
	} else {
		m.sample(0)
	}
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (m *metrics) sample(value float64, labels ...string) {
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(labels[i] + `="` + labelEscapes.Replace(Visible(labels[i+1], 300)) + `"`)
	}
	name := m.name
	if b.Len() > 0 {
		name += "{" + b.String() + "}"
	}
	fmt.Fprintf(m.out, "%s %s\n", name, strconv.FormatFloat(value, 'f', -1, 64))
}
