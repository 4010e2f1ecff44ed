package crawler

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mirrorwatch/crawler/compare"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// worldEvidence reads back what the sink of a test world kept.
type worldEvidence struct {
	*testWorld
	gone survey.RecordID
}

func (e worldEvidence) Page(_ context.Context, c survey.Capture) (func(string) string, []byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.RecordID == e.gone {
		return nil, nil, fmt.Errorf("%w: record %s", ErrPruned, c.RecordID)
	}
	for _, x := range e.exchange {
		if x.ID != c.RecordID {
			continue
		}
		body := e.bodies[x.ID]
		res := message.Response{Payload: strings.NewReader(string(body))}
		res.Head.Fields = x.Header
		body, _ = io.ReadAll(res.Decoded(1 << 20))
		name, _ := message.Charset(x.Get("Content-Type"), body)
		if text, err := message.ToUTF8(name, body); err == nil {
			body = text
		}
		return x.Get, body, nil
	}
	return nil, nil, fmt.Errorf("%w: record %s", ErrPruned, c.RecordID)
}

// records returns the records of checks that the sink was given.
func (w *testWorld) records() []CheckRecord {
	var out []CheckRecord
	for _, n := range w.notes {
		if n.Kind != survey.NoteCheck {
			continue
		}
		var r CheckRecord
		if err := json.Unmarshal(n.Body, &r); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestRejudge is acceptance test 18: judged again from what was stored, every verdict equals the live one.
func TestRejudge(t *testing.T) {
	w := newWorld(t)
	html := func(status int, page string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, page)
		})
	}
	w.serve("www.harbour.example", newspaper{host: "www.harbour.example"})
	w.serve("same.example", newspaper{host: "same.example"})
	w.serve("altered.example", newspaper{host: "altered.example", article: func(p string) string { return strings.Replace(p, "6 percent", "9 percent", 1) }})
	w.serve("block.example", html(200, "<html><title>Blocked</title><p>Access to this website has been blocked by order of the court.</p></html>"))
	w.serve("soft.example", html(200, frame("The Harbour Post", "<p>The page you asked for is not here.</p>")))
	w.serve("challenge.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cf-Mitigated", "challenge")
		html(403, "<title>Just a moment...</title>").ServeHTTP(rw, r)
	}))
	w.serve("away.example", http.RedirectHandler("https://block.example/blocked", http.StatusFound))
	w.serve("loop.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) }))
	w.serve("gone.example", http.NotFoundHandler())
	w.serve("zipped.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != articlePath {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Header().Set("Content-Encoding", "gzip")
		_, _ = rw.Write(gzipped(articlePage("zipped.example")))
	}))
	w.raw("cut.example", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"+articlePage("cut.example")[:1400])
	w.serveWith("badcert.example", w.certificate("other.example", nil), newspaper{host: "badcert.example"})
	w.refuse("refused.example")
	// What only the whole visible text, or the layouts of two pages, can tell.
	w.serve("teaser.example", newspaper{host: "teaser.example", article: func(string) string {
		return frame("Harbour talks resume after ferry strike", "<h1>Harbour talks resume after ferry strike</h1><p>"+paragraphs[0]+"</p><p>Subscribe to continue reading this article.</p>")
	}})
	w.serve("layout.example", newspaper{host: "layout.example", article: func(string) string {
		return "<!doctype html><title>Harbour talks resume after ferry strike</title><h1>Harbour talks resume after ferry strike</h1><div><p>A view of the quay at dawn, with two cranes, a row of gulls and the old customs house behind them, taken by a reader who prefers to stay unnamed.</p></div><div class=story><p>" +
			strings.Join(paragraphs, "</p><p>") + "</p></div><div class=foot><p>The Evening Lamp lights up the valley with news, crosswords and the timetable of the night bus since the year of the great flood.</p></div>"
	}})
	hosts := []string{"www.harbour.example", "same.example", "altered.example", "block.example", "soft.example", "challenge.example", "away.example",
		"loop.example", "gone.example", "zipped.example", "cut.example", "badcert.example", "refused.example", "teaser.example", "layout.example"}
	report := w.run(w.plan(hosts...))
	recs := w.records()
	if len(recs) != 1 {
		t.Fatalf("%d records", len(recs))
	}
	j, missing, err := Rejudge(context.Background(), recs[0], worldEvidence{testWorld: w}, compare.DefaultRules())
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	seen := map[survey.VerdictWord]bool{}
	for i, f := range report.Articles[0].Mirrors {
		seen[f.Verdict.Verdict] = true
		if diff := cmp.Diff(f.Verdict, j.Verdicts[i]); diff != "" {
			t.Errorf("%s (-live +again):\n%s", f.Mirror, diff)
		}
	}
	if diff := cmp.Diff(report.Articles[0].Reference, j.Reference); diff != "" {
		t.Errorf("reference (-live +again):\n%s", diff)
	}
	if diff := cmp.Diff(report.Articles[0].Conclusions, j.Conclusions); diff != "" {
		t.Errorf("conclusions (-live +again):\n%s", diff)
	}
	for host, want := range map[string]survey.VerdictWord{"teaser.example": survey.Truncated, "layout.example": survey.SameArticle} {
		if f := finding(t, report, host); f.Verdict.Verdict != want {
			t.Errorf("%s: %s %q %+v", host, f.Verdict.Verdict, f.Reasons, f.Changes)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d kinds of verdict took part: %v", len(seen), seen)
	}

	// A page that is gone makes no verdict.
	j, missing, err = Rejudge(context.Background(), recs[0], worldEvidence{w, recs[0].Inputs.Pages[1].RecordID}, compare.DefaultRules())
	if err != nil || len(missing) != 1 || j.Verdicts[1].Verdict != survey.Undetermined || j.Verdicts[1].Reasons[0] != survey.ReasonPruned {
		t.Errorf("with a page gone: %v, %v, %+v", err, missing, j.Verdicts)
	}
}

// TestCloseDelimitedCut is acceptance test 4: a body that ends with the connection, in the middle of the article, is truncated
// although no length was missed.
func TestCloseDelimitedCut(t *testing.T) {
	w := newWorld(t)
	w.serve("www.harbour.example", newspaper{host: "www.harbour.example"})
	page := articlePage("cut.example")
	w.raw("cut.example", "HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"+page[:strings.Index(page, "He also called on")+30])
	f := finding(t, w.run(w.plan("www.harbour.example", "cut.example")), "cut.example")
	if f.Verdict.Verdict != survey.Truncated || f.Kind == nil || *f.Kind != "transport" || f.State != survey.Degraded {
		t.Errorf("%s %v (%s) %q", f.Verdict.Verdict, f.Kind, f.State, f.Reasons)
	}
}
