package replay

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/survey"
)

// Our own pages go through html/template: every URL, host and time in them may be hostile. They hold no script.
var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"utc": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"day": func(t time.Time) string { return t.UTC().Format("15:04:05") },
}).Parse(`{{define "top"}}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.}}</title>
<style>
:root{color-scheme:light dark;--line:#8885;--quiet:#505b66;--bg:#fff;--ink:#1a2027;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--quiet:#a9b4bf;--bg:#12161a;--ink:#e8ecf0;--link:#8cc4ff}}
*{box-sizing:border-box}a{color:var(--link)}
body{background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}h2{font-size:1rem;margin:1.5rem 0 .3rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
caption{text-align:left;padding:.25rem 0;color:var(--quiet)}td,th{overflow-wrap:break-word}.any,code,tbody th{overflow-wrap:anywhere}tbody th{font-weight:400}a:focus-visible,summary:focus-visible,input:focus-visible,button:focus-visible{outline:3px solid;outline-offset:2px}
.quiet{color:var(--quiet)}input{font:inherit;padding:.4rem;width:min(100%,40rem)}button{font:inherit;padding:.4rem 1rem}
.side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));gap:1rem}
.side figure{margin:0}.side iframe{width:100%;height:70vh;border:1px solid var(--line);background:#fff}
</style></head><body><main>
{{end}}
{{define "index"}}{{template "top" "Archive"}}<h1>Archive</h1>
<form action="/web/" method="get"><label>Address of a page <input name="url" type="text" inputmode="url" required></label> <button>Show captures</button></form>
</main></body></html>
{{end}}
{{define "problem"}}{{template "top" .Title}}<h1>{{.Title}}</h1>
{{if .URL}}<p class="quiet">{{.URL}}</p><p><a href="{{.List}}">Captures of this address</a></p>{{end}}
<p><a href="/">Look for another page</a></p></main></body></html>
{{end}}
{{define "frame"}}<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Not in the archive</title><style>body{font:13px/1.4 system-ui,sans-serif;color:#666;background:#f4f4f4;margin:8px;overflow-wrap:anywhere}</style></head>
<body>This part of the page is not in the archive: {{.}}</body></html>
{{end}}
{{define "save"}}{{template "top" .Title}}<h1>{{.URL}}</h1>
<p>The snapshot of {{utc .Time}}: the page and {{.Parts}} parts of it{{if .Missing}}; {{.Missing}} were not captured{{end}}. <a href="{{.Snapshot}}">Look at it</a></p>
<p><a href="{{.Path}}" download="{{.File}}">Download {{.File}}</a></p>
<p>A WACZ holds the records as they came, scripts too. Open it in a replay program that runs them, such as ReplayWeb.page: it keeps them to itself, but read it as you would read the site itself.</p>
<p class="quiet">On the command line: <code>mirrorwatch restore {{.Name}} --as wacz --to {{.File}}</code></p>
</main></body></html>
{{end}}
{{define "list"}}{{template "top" .Title}}<h1>{{.URL}}</h1>
<p>{{if eq .Count 1}}1 capture.{{else}}{{.Count}} captures.{{end}} {{if .More}}The newest {{.Shown}} are shown.{{end}} <a href="{{.Newest}}">Newest</a>{{if .Beside}} · <a href="{{.Beside}}">Mirrors side by side</a>{{end}} · <a href="{{.TimeMap}}">TimeMap</a></p>
{{if .Snapshots}}<h2>As the mirrors served the article</h2><table><caption>Snapshots of all mirrors, newest first</caption><thead><tr><th scope="col">Seen</th><th scope="col">Domain</th><th scope="col">Verdict</th><th scope="col">From</th></tr></thead><tbody>
{{range .Snapshots}}<tr><th scope="row"><a href="{{.Path}}">{{utc .Time}}</a>{{if gt .Count 1}} <span class="quiet">and {{.Count}} times until {{utc .Last}}</span>{{end}}</th><td class="any">{{.Mirror}}</td><td>{{.Verdict}}</td><td>{{.Vantage}}</td></tr>
{{end}}</tbody></table>{{end}}
{{range .Days}}<h2>{{.Day}}</h2><table><thead><tr><th scope="col">Time, UTC</th><th scope="col">Status</th><th scope="col">Type</th><th scope="col">Remarks</th></tr></thead><tbody>
{{range .Captures}}<tr><th scope="row"><a href="{{.Path}}">{{day .Date}}</a></th><td>{{if .Status}}{{.Status}}{{end}}</td><td class="any">{{.Type}}</td><td class="quiet">{{.Marks}}</td></tr>
{{end}}</tbody></table>{{end}}</main></body></html>
{{end}}
{{define "beside"}}{{template "top" .Title}}<h1>{{.URL}}</h1><p class="quiet">The article as its mirrors served it, nearest to {{utc .At}}.</p>
<div class="side">{{range .Sides}}<figure><figcaption><strong>{{.Mirror}}</strong> · {{.Verdict}} · <a href="{{.Page}}">{{utc .Time}}</a></figcaption><iframe sandbox="" title="{{.Mirror}}" src="{{.Frame}}" referrerpolicy="no-referrer"></iframe></figure>
{{end}}</div></main></body></html>
{{end}}
{{define "banner"}}<style>html{padding-bottom:9rem!important}@media print{html{padding-bottom:0!important}}</style><mirrorwatch-banner role="complementary" aria-label="About this archived page"><template shadowrootmode="open"><style>
:host{all:initial!important;display:block!important;position:fixed!important;z-index:2147483647!important;left:0!important;right:0!important;bottom:0!important}
div{font:14px/1.4 system-ui,sans-serif;background:#1d2733;color:#fff;padding:6px 12px;max-height:45vh;overflow:auto;overflow-wrap:anywhere}
a{color:#9cd0ff}summary{cursor:pointer}ul{margin:4px 0;padding-left:20px}.bad{color:#ffc27a}
@media print{:host{display:none!important}}
</style><div><details open><summary>Archived {{utc .Time}} from <strong>{{.Domain}}</strong>{{if .Verdict}} · {{.Verdict}}{{end}}{{if .Missing}} · <span class="bad">{{.Missing}} missing</span>{{end}}</summary>
{{.URL}} · <a href="{{.List}}">{{if eq .Count 1}}the only capture{{else if .Count}}{{.Count}} captures{{else}}captures{{end}}</a>{{if .Prev}} · <a href="{{.Prev}}">earlier</a>{{end}}{{if .Next}} · <a href="{{.Next}}">later</a>{{end}}{{if .Beside}} · <a href="{{.Beside}}">mirrors side by side</a>{{end}}{{if .Snapshot}} · <a href="{{.Snapshot}}">exactly this snapshot</a>{{end}} · <a href="{{.Plain}}">without this bar</a>
{{range .Notes}}<br><span class="bad">{{.}}</span>{{end}}
{{if .Refresh}}<br>The page leads on to <a href="{{.Refresh}}">{{.RefreshURL}}</a>{{end}}
{{if .Holes}}<details><summary>What this snapshot lacks</summary><ul>{{range .Holes}}<li>{{.URL}} ({{.Why}}){{if .Filled}}: {{.Filled}}{{end}}</li>{{end}}{{if .MoreHoles}}<li>and {{.MoreHoles}} more</li>{{end}}</ul></details>{{end}}
{{if .Scripts}}<br>Scripts do not run here: players, comments, frames of other sites and what loads later may be missing. {{if .Save}}<a href="{{.Save}}">Save this snapshot</a> as WACZ for a replay program that runs scripts.{{else}}For those, <code>mirrorwatch restore {{.Name}} --as {{.As}} --to FILE</code> and open FILE in a replay program that runs scripts.{{end}}{{end}}
</details></div></template></mirrorwatch-banner>{{end}}`))

func (h *Handler) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		h.cfg.Log.Error("replay: own page", "page", name, "err", err)
		http.Error(w, "This page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (h *Handler) index(w http.ResponseWriter) { h.render(w, http.StatusOK, "index", nil) }

// problem is every page of ours that is no archived one; it carries no Memento fields.
func (h *Handler) problem(w http.ResponseWriter, _ *http.Request, status int, title, u string) {
	for _, f := range []string{"Memento-Datetime", "Link", "Location", "Vary"} {
		w.Header().Del(f)
	}
	data := struct{ Title, URL, List string }{Title: title, URL: u}
	if u != "" {
		data.List = "/web/*/" + quoteURL(u)
	}
	h.render(w, status, "problem", data)
}

// framePolicy is that of the page which stands for a frame that was not captured. It may be framed: the page around it is
// sandboxed, so that its origin is none that could be named.
const framePolicy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"

// emptyFrame stands for a frame that was not captured.
func (h *Handler) emptyFrame(w http.ResponseWriter, u string) {
	w.Header().Set("Content-Security-Policy", framePolicy)
	h.render(w, http.StatusNotFound, "frame", u)
}

type listedCapture struct {
	survey.Capture
	Path, Marks string
}

type listedDay struct {
	Day      string
	Captures []listedCapture
}

type listedSnapshot struct {
	survey.SnapshotRow
	Path, Verdict string
}

// maxListed bounds what one list page shows.
const maxListed = 1000

// list shows all captures of a URL by day, newest first, and the snapshots of the article over all mirrors.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, raw string) {
	u, ok := Repair(raw)
	if !ok {
		h.problem(w, r, http.StatusBadRequest, "This is no web address.", "")
		return
	}
	all, err := h.cfg.Archive.Captures(r.Context(), u, maxMementos)
	if err != nil {
		h.fail(w, r, u, err)
		return
	}
	var rows []survey.SnapshotRow
	if h.cfg.Judgements != nil {
		if rows, err = h.cfg.Judgements.Snapshots(r.Context(), u); err != nil {
			h.fail(w, r, u, err)
			return
		}
	}
	if len(all) == 0 && len(rows) == 0 {
		h.fail(w, r, u, archive.ErrNotFound)
		return
	}
	page := struct {
		Title, URL, Newest, Beside, TimeMap string
		Count, Shown                        int
		More                                bool
		Snapshots                           []listedSnapshot
		Days                                []listedDay
	}{Title: "Captures of " + u, URL: u, Newest: "/web/" + quoteURL(u), TimeMap: "/web/timemap/link/" + quoteURL(u), Count: len(all)}
	for i, row := range rows {
		if i == 200 {
			break
		}
		page.Snapshots = append(page.Snapshots, listedSnapshot{row, "/snapshot/" + survey.Timestamp17(row.Time) + "." + shortID(row.ID) + "/" + quoteURL(row.URL), verdictText(&row)})
	}
	if len(rows) > 1 {
		page.Beside = "/beside/" + survey.Timestamp17(rows[0].Time) + "/" + quoteURL(rows[0].Article)
	}
	slices.Reverse(all)
	for i, c := range all {
		if i == maxListed {
			page.More = true
			break
		}
		page.Shown++
		day := c.Date.UTC().Format("2 January 2006")
		if n := len(page.Days); n == 0 || page.Days[n-1].Day != day {
			page.Days = append(page.Days, listedDay{Day: day})
		}
		d := &page.Days[len(page.Days)-1]
		d.Captures = append(d.Captures, listedCapture{c, mementoPath(c, modPage), marks(c)})
	}
	h.render(w, http.StatusOK, "list", page)
}

func marks(c survey.Capture) string {
	var m []string
	if c.Truncated != "" {
		m = append(m, "cut ("+c.Truncated+")")
	}
	if c.Unverified {
		m = append(m, "certificate not verified")
	}
	if c.Imported {
		m = append(m, "imported")
	}
	return strings.Join(m, ", ")
}

func verdictText(r *survey.SnapshotRow) string {
	v := strings.ReplaceAll(string(r.Verdict), "_", " ")
	if r.PageClass != "" && r.PageClass != survey.ClassArticle && r.PageClass != survey.ClassUnknown {
		v += " (" + strings.ReplaceAll(string(r.PageClass), "_", " ") + ")"
	}
	return v
}

type side struct {
	survey.SnapshotRow
	Page, Frame, Verdict string
}

const maxSides = 6

// beside shows one article as its mirrors served it: of each mirror the snapshot nearest to a time.
func (h *Handler) beside(w http.ResponseWriter, r *http.Request, s string) {
	a, ok, err := parseMemento(s)
	if err != nil || !ok || a.mod != modPage {
		h.problem(w, r, http.StatusBadRequest, "This is no address of the replay: it wants a time and the address of an article.", "")
		return
	}
	var rows []survey.SnapshotRow
	if h.cfg.Judgements != nil {
		if rows, err = h.cfg.Judgements.Snapshots(r.Context(), a.url); err != nil {
			h.fail(w, r, a.url, err)
			return
		}
	}
	best := map[survey.Host]survey.SnapshotRow{}
	var order []survey.Host
	for _, row := range rows {
		old, seen := best[row.Mirror]
		if !seen {
			order = append(order, row.Mirror)
		}
		if !seen || distance(row, a.at) < distance(old, a.at) {
			best[row.Mirror] = row
		}
	}
	if len(order) == 0 {
		h.fail(w, r, a.url, archive.ErrNotFound)
		return
	}
	slices.SortFunc(order, func(x, y survey.Host) int {
		return cmp.Or(cmp.Compare(best[x].State.Rank(), best[y].State.Rank()), cmp.Compare(x, y))
	})
	page := struct {
		Title, URL string
		At         time.Time
		Sides      []side
	}{Title: "Side by side: " + a.url, URL: a.url, At: a.at}
	for _, m := range order[:min(len(order), maxSides)] {
		row := best[m]
		p := "/snapshot/" + survey.Timestamp17(row.Time) + "." + shortID(row.ID)
		u := "/" + quoteURL(row.URL)
		page.Sides = append(page.Sides, side{row, p + u, p + modFrame + u, verdictText(&row)})
	}
	h.render(w, http.StatusOK, "beside", page)
}

// distance is how far a time lies from the span in which a snapshot's bytes were met.
func distance(r survey.SnapshotRow, at time.Time) time.Duration {
	switch {
	case at.Before(r.Time):
		return r.Time.Sub(at)
	case at.After(r.Last):
		return at.Sub(r.Last)
	}
	return 0
}

// banner says what a reader must know of an archived page: when, from where, how it was judged, what is missing. It is
// ASCII, so that it can stand in a page of any charset.
func (h *Handler) banner(ctx context.Context, v *view, s seen, near around, status int, cut bool) []byte {
	c := v.capture
	b := struct {
		Time                                           time.Time
		Domain, Verdict, URL, List, Prev, Next, Beside string
		Snapshot, Plain, Refresh, RefreshURL, Name, As string
		Save                                           string
		Notes                                          []string
		Holes                                          []hole
		MoreHoles, Missing, Scripts, Count             int
	}{Time: c.Date, URL: c.URL, List: "/web/*/" + quoteURL(c.URL), Prev: near.prev, Next: near.next, Count: near.count,
		Scripts: s.scripts + s.players + s.frames, As: archive.AsWARC, Plain: "/web/" + stamp(c.Date) + modFrame + "/" + quoteURL(c.URL)}
	b.Domain = hostOf(c.URL)
	b.Name = survey.Timestamp17(c.Date) + "/" + c.URL
	if sh := v.shot; sh != nil {
		b.Name = sh.Name()
		b.Plain = shotPath(sh, modFrame, sh.URL)
		if _, ok := h.cfg.Archive.(Packer); ok {
			b.Save = savePath(sh, "")
		}
		if v.raw != "" && !strings.Contains(v.digits, ".") {
			b.Snapshot = shotPath(sh, modPage, sh.URL)
		}
		switch {
		case hostOf(sh.Article.URL) == b.Domain:
			b.Domain += " (primary)"
		case survey.Host(b.Domain) == sh.Mirror:
			b.Domain += " (mirror)"
		default:
			b.Domain += " (reached through " + string(sh.Mirror) + ")"
		}
		if sh.row != nil {
			b.Verdict = verdictText(sh.row)
		}
		if len(sh.rows) > 1 {
			b.Beside = "/beside/" + survey.Timestamp17(sh.Time) + "/" + quoteURL(sh.Article.URL)
		}
		b.Holes, b.MoreHoles = h.holes(ctx, sh)
		for _, x := range b.Holes {
			if x.Filled == "" {
				b.Missing++
			}
		}
		b.Missing += b.MoreHoles
	} else if c.Status == http.StatusOK {
		b.Notes = append(b.Notes, "This page belongs to no snapshot: its pictures and styles are those captured nearest in time.")
	}
	note := func(when bool, text string) {
		if when {
			b.Notes = append(b.Notes, text)
		}
	}
	note(v.fuzzy != "", "Asked for "+v.url+"; shown is the nearest address in the archive ("+v.fuzzy+" differs).")
	note(status != http.StatusOK, fmt.Sprintf("The server answered with status %d.", status))
	note(c.Truncated != "" || cut, "The capture is cut: the page does not end here.")
	note(c.Unverified, "The certificate was not verified: this may not be what the domain serves.")
	note(c.Imported, "Imported: not captured by this program.")
	note(s.foreign > 0, fmt.Sprintf("%d symbols of other SVG files cannot be shown.", s.foreign))
	if s.refresh != "" {
		b.Refresh, b.RefreshURL = h.lead(v, s.refresh, modPage), s.refresh
	}
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, "banner", b); err != nil {
		h.cfg.Log.Error("replay: banner", "err", err)
		return nil
	}
	return ascii(out.Bytes())
}

// ascii writes what is beyond ASCII as character references.
func ascii(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r < 0x80 {
			out = append(out, byte(r))
		} else {
			out = fmt.Appendf(out, "&#%d;", r)
		}
	}
	return out
}

func hostOf(u string) string {
	_, rest, ok := strings.Cut(u, "://")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest[strings.LastIndexByte(rest, '@')+1:]
}
