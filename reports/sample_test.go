package reports

import (
	"fmt"
	"strings"
	"time"

	"mirrorwatch/crawler/survey"
)

var t0 = time.Date(2026, 11, 20, 3, 17, 0, 0, time.UTC)

const aleppo = "https://www.presstv.com/Detail/2016/08/10/479262/Syria-talks-Aleppo"

func sampleFinding(host string, role survey.Role, state survey.State, word survey.VerdictWord) survey.Finding {
	f := survey.Finding{
		Observation: survey.Observation{Mirror: survey.Host(host), Role: role, Vantage: "direct", ObservedAt: t0, URL: "https://" + host + "/Detail/479262",
			FinalURL: "https://" + host + "/Detail/479262", Stage: survey.StageContent, Outcome: survey.OK, Attempts: 1, Status: survey.Ptr(200),
			Peer: survey.Ptr("192.0.2.7:443"), Text: &survey.Text{Words: 612, SHA256: strings.Repeat("ab", 32)},
			Body:     &survey.Body{Bytes: 31234, Type: "text/html", Charset: "utf-8", Lang: "en", SHA256: strings.Repeat("cd", 32)},
			TLS:      &survey.TLS{Version: "TLS 1.3", Verified: true, NotAfter: t0.Add(41 * 24 * time.Hour), Issuer: "Test CA", SHA256: strings.Repeat("ef", 32)},
			Snapshot: survey.Ptr(survey.Timestamp17(t0) + "/https://" + host + "/Detail/479262")},
		Verdict: survey.Verdict{State: state, Verdict: word, PageClass: survey.ClassArticle, Confidence: survey.High},
		Since:   survey.Ptr(t0.Add(-75 * time.Hour)),
	}
	f.Family = survey.Family{V4: survey.Ptr(survey.OK), V6: survey.Ptr(survey.NoRoute)}
	f.Timing = survey.Timing{FirstByte: survey.Ptr(83.2), Total: survey.Ptr(146.5)}
	return f
}

// sampleFindings are eight mirrors that misbehave in different ways, the healthy ones first.
func sampleFindings() []survey.Finding {
	primary := sampleFinding("www.presstv.com", survey.Primary, survey.Up, survey.Identical)
	primary.By, primary.Confidence = survey.Ptr(survey.ByReference), survey.Low
	same := sampleFinding("www.presstv.co.uk", survey.Alternate, survey.Up, survey.SameArticle)
	same.Redirects = []survey.Redirect{{URL: "https://presstv.co.uk/Detail/479262", Status: 301}}
	altered := sampleFinding("www.presstv.ir", survey.Alternate, survey.Degraded, survey.Altered)
	altered.Kind, altered.Reasons = survey.Ptr("name_or_number"), []string{"one name and one number differ from the reference"}
	altered.Changes = []survey.Change{
		{Kind: "name", Reference: "Russian UN Ambassador Vitaly Churkin gave the warning on Tuesday", Candidate: "Russian UN Ambassador Viktor Petrov gave the warning on Tuesday"},
		{Kind: "number", Reference: "over 400,000 people have been killed", Candidate: "over 40,000 people have been killed"},
		{Kind: "paragraph_removed", Reference: "The northern Syrian city has been divided since 2012."},
	}
	gone := sampleFinding("presstv.example", survey.Alternate, survey.Down, survey.FetchFailed)
	gone.Stage, gone.Outcome, gone.Failure = survey.StageDNS, survey.NXDomain, survey.Ptr("dns_nxdomain_error")
	gone.Status, gone.Text, gone.Body, gone.TLS, gone.Snapshot, gone.PageClass = nil, nil, nil, nil, nil, survey.ClassUnknown
	gone.Family = survey.Family{}
	seized := sampleFinding("seized.example", survey.Alternate, survey.Down, survey.Interstitial)
	seized.PageClass, seized.Reasons = survey.ClassSeizureBanner, []string{"banner text and image of a seizure notice", "name servers changed"}
	seized.Matched = []survey.Match{{Rule: "seizure-text", List: "classes 1", Offset: 120}}
	cut := sampleFinding("short.example", survey.Alternate, survey.Degraded, survey.Truncated)
	cut.FinalURL, cut.Redirects = "https://reader.example/Detail/479262?amp", []survey.Redirect{{URL: "https://short.example/Detail/479262", Status: 302}, {URL: "https://l.example/479262", Status: 307}}
	cut.Timing = survey.Timing{DNS: survey.Ptr(12.0), Connect: survey.Ptr(231.0), TLS: survey.Ptr(460.0), FirstByte: survey.Ptr(3810.4), Total: survey.Ptr(4200.0)}
	cut.TLS = &survey.TLS{Version: "TLS 1.2", Verified: true, NotAfter: t0.Add(9 * 24 * time.Hour), Issuer: "Test CA", SHA256: strings.Repeat("0a", 32)}
	cut.Kind, cut.Reasons = survey.Ptr("teaser"), []string{"48% of the reference's text, ends early"}
	wall := sampleFinding("wall.example", survey.Alternate, survey.Unknown, survey.Undetermined)
	wall.PageClass, wall.Reasons = survey.ClassChallenge, []string{survey.ReasonChallenge}
	cert := sampleFinding("cert.example", survey.Candidate, survey.Down, survey.FetchFailed)
	cert.Stage, cert.Outcome, cert.TLS.Verified = survey.StageTLS, survey.HostnameMismatch, false
	return []survey.Finding{primary, same, altered, gone, seized, cut, wall, cert}
}

func sampleReport(findings []survey.Finding) survey.Report {
	r := survey.Report{Schema: survey.Schema,
		Run: survey.Run{ID: "20261120T031700Z-5f2c9a", Started: t0, Finished: t0.Add(8400 * time.Millisecond), Complete: true,
			Tool: survey.Tool{Name: "mirrorwatch", Version: "1.0.0"}, RulesVersion: "1", NextDue: survey.Ptr(t0.Add(time.Hour))},
		Articles: []survey.Check{{Site: "presstv", URL: aleppo, Title: "Syria peace talks should not hinge on Aleppo: Russia UN envoy",
			Reference: &survey.Reference{Mirror: "www.presstv.com", Snapshot: survey.Timestamp17(t0) + "/" + aleppo, ObservedAt: t0, Why: "primary"}, Mirrors: findings}},
		Candidates: []survey.CandidateMirror{{Host: "www.presstv.tv", Site: "presstv", Article: aleppo, Rule: "sentence",
			Evidence: "Press TV’s website can also be accessed at the following alternate addresses: www.presstv.tv"}},
	}
	for _, f := range findings {
		if f.Role != survey.Alternate || f.State == survey.Down {
			continue
		}
		r.Links = append(r.Links, survey.Link{Target: "https://www.presstv.com/photo/" + string(f.Mirror) + "/aleppo.jpg", Kind: "image", Parents: []string{aleppo}, Results: []survey.LinkResult{
			{Mirror: f.Mirror, Vantage: "direct", URL: "https://" + string(f.Mirror) + "/photo/aleppo.jpg", Status: survey.Ptr(404), Outcome: survey.Status(404), State: "broken", FirstSeen: t0.Add(-time.Duration(len(r.Links)) * 24 * time.Hour)},
			{Mirror: "www.presstv.com", Vantage: "direct", Outcome: survey.RobotsRefused, State: "not_judged"}}})
	}
	r.Summary = survey.Summarise(r)
	return r
}

// sampleView adds a history to the report: an outage, a degraded day, gaps.
func sampleView(r survey.Report) View {
	v := View{Report: r, Now: t0.Add(10 * time.Minute), DataDir: "mirrorwatch-data"}
	seen := map[place]bool{}
	for _, c := range r.Articles {
		for i, f := range c.Mirrors {
			k := place{c.Site, string(f.Mirror), f.Vantage}
			if seen[k] {
				continue
			}
			seen[k] = true
			h := survey.MirrorHistory{Site: c.Site, Mirror: f.Mirror, Role: f.Role, Vantage: f.Vantage, State: f.State, Since: f.Since}
			for d := range 90 {
				day := survey.DayCount{Day: t0.Truncate(24*time.Hour).AddDate(0, 0, d-89)}
				switch {
				case d < 12+i || d == 40 || d == 41: // not observed
				case d == 55:
					day.Void = 24
				case i > 1 && d > 85:
					switch f.State {
					case survey.Down:
						day.Down = 24
					case survey.Degraded:
						day.Degraded = 24
					case survey.Up:
						day.Up = 24
					default:
						day.Unknown = 24
					}
				case (d+i*7)%29 == 0:
					day.Up, day.Down, day.Degraded = 17, 6, 1
				default:
					day.Up = 24
				}
				if day.Total() > 0 && day.Void == 0 {
					day.FirstByteMS = survey.Ptr(80 + float64((d*37+i*11)%60))
				}
				h.Days = append(h.Days, day)
				h.D90 = h.D90.Plus(day.Counts)
				if d >= 60 {
					h.D30 = h.D30.Plus(day.Counts)
				}
				if d >= 83 {
					h.D7 = h.D7.Plus(day.Counts)
				}
				if d == 89 {
					h.H24 = day.Counts
				}
			}
			v.Mirrors = append(v.Mirrors, h)
			if f.Role != survey.Primary {
				v.Lags = append(v.Lags, survey.LagStat{Site: c.Site, Mirror: f.Mirror, Vantage: f.Vantage, Articles: 12, Missing: i % 3, P50: 0, P90: float64(i-1) * 3600, Max: 86400, Bound: 3600})
			}
			if f.State == survey.Down {
				v.Incidents = append(v.Incidents, survey.IncidentRow{ID: fmt.Sprintf("20261117-%d", i), Site: c.Site, Mirror: f.Mirror, Vantage: f.Vantage, Cause: string(f.Outcome), State: "open",
					Started: t0.Add(-75 * time.Hour), Opened: survey.Ptr(t0.Add(-73 * time.Hour)), Acked: survey.Ptr(t0.Add(-70 * time.Hour))},
					survey.IncidentRow{ID: fmt.Sprintf("20261001-%d", i), Site: c.Site, Mirror: f.Mirror, Article: c.URL, Cause: "other_page", State: "closed", Started: t0.AddDate(0, -1, 0), Closed: survey.Ptr(t0.AddDate(0, -1, 2))})
			}
			if f.Snapshot != nil {
				v.Snapshots = append(v.Snapshots, survey.SnapshotRow{ID: "urn:uuid:1", Name: *f.Snapshot, Site: c.Site, Article: c.URL, Mirror: f.Mirror, Vantage: f.Vantage,
					URL: f.URL, Time: t0, Last: t0.Add(time.Hour), Count: 1 + i, State: f.State, Verdict: f.Verdict.Verdict,
					Payload: survey.Digest("sha256:" + strings.Repeat("cd", 32)), File: "2026-11-20261120T031700Z-5f2c9a-00001.warc.gz", Offset: int64(4096 * i), Length: 31234})
			}
			if f.State != survey.Up {
				v.States = append(v.States, survey.StateInterval{Site: c.Site, Article: c.URL, Mirror: f.Mirror, Vantage: f.Vantage, State: f.State, Verdict: f.Verdict.Verdict,
					First: t0.Add(-75 * time.Hour), Last: t0, Before: survey.Up})
			}
		}
	}
	for i, f := range r.Articles[:min(1, len(r.Articles))] {
		for n, m := range f.Mirrors[:min(3, len(f.Mirrors))] {
			s := survey.Sync{Site: f.Site, Mirror: m.Mirror, Vantage: m.Vantage, Expected: 20, Present: 20 - 3*n}
			if n > 0 {
				s.Missing, s.WorstLag = []string{aleppo, "https://www.presstv.com/Detail/2016/08/11/479300/Floods"}, &survey.Lag{Seconds: 5400, Bound: 3600}
			}
			v.Report.Sync = append(v.Report.Sync, s)
			crawl := survey.Crawl{Site: f.Site, Mirror: m.Mirror, Vantage: m.Vantage, Complete: n != 2, URLs: 812 - n, Pages: 640 - n - i, Equal: 500 * min(n, 1), ByText: 100 * min(n, 1), Differ: 12 * n, Broken: n, NotJudged: 3}
			for k, kind := range []string{"link_to_primary", "redirect_to_primary", "mixed_content"}[:n] {
				for page := range 2 {
					crawl.Hygiene = append(crawl.Hygiene, survey.Hygiene{Kind: kind, URL: fmt.Sprintf("https://www.presstv.com/%d", k), Parent: fmt.Sprintf("https://%s/page/%d", m.Mirror, page)})
				}
			}
			v.Report.Crawls = append(v.Report.Crawls, crawl)
		}
	}
	for n := range 6 {
		row := survey.RunRow{Run: r.Run, Summary: r.Summary}
		row.Run.Started, row.Run.Finished = t0.Add(time.Duration(-n)*time.Hour), t0.Add(time.Duration(-n)*time.Hour+9*time.Second)
		row.Run.Void = row.Run.Void || n == 3
		v.Runs = append(v.Runs, row)
	}
	return v
}

const hostileText = "<script>alert(1)</script>\"'>=cmd|' /C calc'!A0\x1b[31mred\x07\u202Egnp.exe\u2066 @everyone [x](javascript:alert(1)) `a|b`\r\n\xff\u200b]]>\ufffe\x00\u009b2J"

// sampleDiffs are differences as `diff --format html` shows them.
func sampleDiffs() map[string]Diff {
	side := func(host string) DiffSide {
		return DiffSide{Mirror: survey.Host(host), Vantage: "direct", Time: t0, Verdict: survey.Altered, Snapshot: survey.Timestamp17(t0) + "/" + aleppo, Words: 612}
	}
	d := Diff{Article: aleppo, A: side("www.presstv.com"), B: side("www.presstv.ir"), Changes: 2, Paragraphs: [][]DiffPiece{
		{{Text: "Syria peace talks should not hinge on Aleppo: Russia UN envoy"}},
		{{Text: "Russian UN Ambassador "}, {Text: "Vitaly Churkin", OnlyA: true}, {Text: "Viktor Petrov", OnlyB: true}, {Text: " gave the warning on Tuesday, and over "}, {Text: "400,000", OnlyA: true}, {Text: "40,000", OnlyB: true}, {Text: " people have been killed."}},
		{{Text: "گفتگوهای صلح سوریه "}, {Text: "نباید", OnlyA: true}, {Text: " به حلب گره بخورد"}},
	}}
	bad := d
	bad.Article = hostileText
	bad.A.Mirror, bad.A.Verdict, bad.A.Snapshot = hostileText, hostileText, hostileText
	bad.Paragraphs = [][]DiffPiece{{{Text: hostileText}, {Text: hostileText, OnlyA: true}, {Text: strings.Repeat("x", 100_000), OnlyB: true}}}
	same := Diff{Article: aleppo, A: side("www.presstv.com"), B: side("www.presstv.co.uk"), Paragraphs: d.Paragraphs[:1]}
	return map[string]Diff{"diff": d, "diff-hostile": bad, "diff-same": same}
}

// hundreds is 500 articles on three mirrors, a ninth of them with trouble.
func hundreds() View {
	r := samples()["many"].Report
	some := r.Articles
	r.Articles = nil
	for n := range 500 {
		c := some[n%len(some)]
		c.URL = fmt.Sprintf("https://www.presstv.com/Detail/2016/08/10/%d/x", 490000+n)
		r.Articles = append(r.Articles, c)
	}
	r.Summary = survey.Summarise(r)
	return sampleView(r)
}

// samples are the views that goldens, tests and eyes look at.
func samples() map[string]View {
	all := map[string]View{}
	all["eight"] = sampleView(sampleReport(sampleFindings()))
	all["one"] = sampleView(sampleReport(sampleFindings()[:1]))
	var green, red []survey.Finding
	for _, h := range []string{"www.presstv.com", "www.presstv.co.uk", "www.presstv.ir"} {
		green = append(green, sampleFinding(h, survey.Alternate, survey.Up, survey.SameArticle))
		f := sampleFinding(h, survey.Alternate, survey.Down, survey.Interstitial)
		f.PageClass, f.Reasons = survey.ClassBlockPage, []string{"title and text of a known block page"}
		red = append(red, f)
	}
	all["green"], all["red"] = sampleView(sampleReport(green)), sampleView(sampleReport(red))
	void := sampleReport(sampleFindings()[:3])
	void.Run.Void, void.Run.VoidReason, void.Run.VoidVantages = true, survey.Ptr("all canaries failed"), []string{"direct"}
	all["void"] = sampleView(void)
	all["empty"] = View{Report: survey.Report{Run: survey.Run{ID: "20261120T031700Z-000000", Started: t0, Tool: survey.Tool{Name: "mirrorwatch", Version: "1.0.0"}}}}
	many := sampleReport(sampleFindings()[:3])
	titles := []string{"گفتگوهای صلح سوریه نباید به حلب گره بخورد", "محادثات السلام السورية", "Мирные переговоры по Сирии", "叙利亚和平谈判不应取决于阿勒颇", "Syria peace talks"}
	for n := range 60 {
		c := many.Articles[0]
		c.URL, c.Title = fmt.Sprintf("https://www.presstv.com/Detail/2016/08/10/%d/x", 480000+n), titles[n%len(titles)]
		langs := []string{"fa", "ar", "ru", "zh-Hans", "en"}
		if n%9 != 0 {
			c.Mirrors = append([]survey.Finding(nil), green...)
			body := *c.Mirrors[0].Body
			body.Lang = langs[n%len(langs)]
			c.Mirrors[0].Body = &body
		}
		many.Articles = append(many.Articles, c)
	}
	many.Summary = survey.Summarise(many)
	all["many"] = sampleView(many)
	bad := sampleReport(sampleFindings()[:3])
	a := &bad.Articles[0]
	a.Title, a.URL, a.Site = hostileText, "https://www.presstv.com/"+hostileText, hostileText
	for i := range a.Mirrors {
		f := &a.Mirrors[i]
		f.Mirror, f.Reasons, f.Vantage, f.FinalURL = survey.Host(hostileText), []string{hostileText}, hostileText, hostileText
		f.Kind, f.Snapshot, f.Peer = survey.Ptr(hostileText), survey.Ptr("20261120031700000/"+hostileText), survey.Ptr(hostileText)
		f.Changes = []survey.Change{{Kind: hostileText, Reference: strings.Repeat("x", 100_000), Candidate: hostileText}}
	}
	bad.Candidates[0].Host, bad.Candidates[0].Evidence, bad.Candidates[0].Rule = hostileText, hostileText, hostileText
	bad.Links = []survey.Link{{Target: hostileText, Kind: hostileText, Parents: []string{hostileText}, Results: []survey.LinkResult{{Mirror: hostileText, State: "broken", Outcome: survey.Status(404)}}}}
	bad.Articles[0].Conclusions = []survey.Conclusion{{Mirror: hostileText, Vantage: hostileText, Say: hostileText, Confidence: survey.Low, Why: hostileText}}
	bad.Run.ID, bad.Run.RulesVersion, bad.Run.Tool.Version = survey.RunID(hostileText), hostileText, hostileText
	bad.Summary = survey.Summarise(bad)
	all["hostile"] = sampleView(bad)
	return all
}
