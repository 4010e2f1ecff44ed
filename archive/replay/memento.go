package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/survey"
)

// maxMementos bounds a TimeMap and the list of captures: the newest ones.
const maxMementos = 20_000

// acceptDatetime reads the time a client wants (RFC 7089 2.1.1): RFC 1123 in GMT, nothing else.
func acceptDatetime(v string) (time.Time, error) {
	return time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", strings.TrimSpace(v))
}

// timeGate leads from a URL to its memento nearest the time asked for (RFC 7089 4.1, pattern 2.1).
func (h *Handler) timeGate(w http.ResponseWriter, r *http.Request, raw string) {
	u, ok := Repair(raw)
	if !ok {
		h.problem(w, r, http.StatusBadRequest, "This is no web address.", "")
		return
	}
	at := time.Now()
	if v := r.Header.Get("Accept-Datetime"); v != "" {
		var err error
		if at, err = acceptDatetime(v); err != nil { // 4.5.3
			h.problem(w, r, http.StatusBadRequest, "Accept-Datetime holds no time such as Tue, 11 Sep 2001 20:35:00 GMT.", "")
			return
		}
	}
	c, _, err := h.find(r.Context(), u, at, modPage)
	if err != nil {
		h.fail(w, r, u, err)
		return
	}
	w.Header().Set("Vary", "accept-datetime")
	w.Header().Set("Link", h.links(r, c.URL))
	redirect(w, http.StatusFound, mementoPath(c, modPage))
}

// mementoPath is the address of a capture.
func mementoPath(c survey.Capture, mod string) string {
	return "/web/" + stamp(c.Date) + mod + "/" + quoteURL(c.URL)
}

// links is the Link field of everything about a URL: original, TimeGate, TimeMap. u may hold no octet that ends them.
func (h *Handler) links(r *http.Request, u string) string {
	u = linkURL(u)
	o := h.origin(r)
	return fmt.Sprintf(`<%s>; rel="original", <%s/web/%s>; rel="timegate", <%s/web/timemap/link/%s>; rel="timemap"; type="application/link-format"`, u, o, u, o, u)
}

// linkURL makes a URL fit to stand between < and >.
func linkURL(u string) string { return strings.ReplaceAll(quoteURL(u), ",", "%2C") }

// neighbours adds the first, last, previous and next memento to the Link field.
func (h *Handler) neighbours(ctx context.Context, r *http.Request, link string, c survey.Capture) (string, around) {
	var near around
	all, err := h.cfg.Archive.Captures(ctx, c.URL, maxMementos)
	if err != nil || len(all) == 0 {
		return link, near
	}
	at := -1
	for i := range all {
		if all[i].RecordID == c.RecordID {
			at = i
		}
	}
	near.count = len(all)
	if at < 0 {
		return link, near
	}
	rels := map[int]string{at: "memento"}
	order := []int{at}
	mark := func(i int, rel string) {
		if i < 0 || i >= len(all) {
			return
		}
		if old, ok := rels[i]; ok {
			rels[i] = rel + " " + old
		} else {
			rels[i] = rel + " memento"
			order = append(order, i)
		}
	}
	mark(at-1, "prev")
	mark(at+1, "next")
	mark(0, "first")
	mark(len(all)-1, "last")
	var b strings.Builder
	b.WriteString(link)
	for _, i := range order {
		fmt.Fprintf(&b, `, <%s%s>; rel="%s"; datetime="%s"`, h.origin(r), linkURL(mementoPath(all[i], modPage)), rels[i], all[i].Date.UTC().Format(http.TimeFormat))
	}
	if at > 0 {
		near.prev = mementoPath(all[at-1], modPage)
	}
	if at+1 < len(all) {
		near.next = mementoPath(all[at+1], modPage)
	}
	return b.String(), near
}

// around is what lies beside a capture in time.
type around struct {
	count      int
	prev, next string
}

// timeMap lists the mementos of a URL: link (RFC 7089 5), json or cdxj.
func (h *Handler) timeMap(w http.ResponseWriter, r *http.Request, s string) {
	form, raw, _ := strings.Cut(s, "/")
	u, ok := Repair(raw)
	if !ok || form != "link" && form != "json" && form != "cdxj" {
		h.problem(w, r, http.StatusBadRequest, "A TimeMap is asked for as /web/timemap/link/URL, /web/timemap/json/URL or /web/timemap/cdxj/URL.", "")
		return
	}
	all, err := h.cfg.Archive.Captures(r.Context(), u, maxMementos)
	if err == nil && len(all) == 0 {
		err = archive.ErrNotFound
	}
	if err != nil {
		h.fail(w, r, u, err)
		return
	}
	o, first, last := h.origin(r), all[0].Date.UTC(), all[len(all)-1].Date.UTC()
	var b bytes.Buffer
	switch form {
	case "link":
		w.Header().Set("Content-Type", "application/link-format")
		lu := linkURL(u)
		fmt.Fprintf(&b, "<%s>; rel=\"original\",\n<%s/web/timemap/link/%s>; rel=\"self\"; type=\"application/link-format\"; from=\"%s\"; until=\"%s\",\n<%s/web/%s>; rel=\"timegate\"",
			lu, o, lu, first.Format(http.TimeFormat), last.Format(http.TimeFormat), o, lu)
		for i, c := range all {
			rel := "memento"
			if i == len(all)-1 {
				rel = "last " + rel
			}
			if i == 0 {
				rel = "first " + rel
			}
			fmt.Fprintf(&b, ",\n<%s%s>; rel=\"%s\"; datetime=\"%s\"", o, linkURL(mementoPath(c, modPage)), rel, c.Date.UTC().Format(http.TimeFormat))
		}
		b.WriteByte('\n')
	case "json":
		w.Header().Set("Content-Type", "application/json")
		type memento struct {
			Datetime time.Time `json:"datetime"`
			URI      string    `json:"uri"`
			Status   int       `json:"status,omitempty"`
			Type     string    `json:"type,omitempty"`
			Digest   string    `json:"payload_digest,omitempty"`
		}
		list := make([]memento, len(all))
		for i, c := range all {
			list[i] = memento{c.Date.UTC(), o + mementoPath(c, modPage), c.Status, c.Type, string(c.Payload)}
		}
		enc := json.NewEncoder(&b)
		_ = enc.Encode(map[string]any{"original_uri": u, "timegate_uri": o + "/web/" + quoteURL(u),
			"timemap_uri": map[string]string{"link_format": o + "/web/timemap/link/" + quoteURL(u), "json_format": o + "/web/timemap/json/" + quoteURL(u)},
			"mementos":    map[string]any{"list": list, "first": list[0], "last": list[len(list)-1]}})
	case "cdxj":
		w.Header().Set("Content-Type", "text/x-cdxj")
		for _, c := range all {
			line, _ := json.Marshal(map[string]any{"url": c.URL, "mime": c.Type, "status": fmt.Sprint(c.Status), "digest": string(c.Payload)})
			fmt.Fprintf(&b, "%s %s\n", stamp(c.Date), line)
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(b.Len()))
	_, _ = w.Write(b.Bytes())
}

// find returns the capture of a URL nearest in time. fuzzy says how it differs from what was asked: "" for that very URL.
// The real host is compared first, for index keys merge http with https and www with the bare name, which may be two
// mirrors.
func (h *Handler) find(ctx context.Context, u string, at time.Time, mod string) (c survey.Capture, fuzzy string, err error) {
	c, err = h.cfg.Archive.Find(ctx, u, at, true)
	if !errors.Is(err, archive.ErrNotFound) {
		return c, "", err
	}
	if c, err = h.cfg.Archive.Find(ctx, u, at, false); err == nil {
		if sameHost(c.URL, u) {
			return c, "scheme", nil
		}
		return c, "host", nil
	}
	if !errors.Is(err, archive.ErrNotFound) {
		return c, "", err
	}
	bare, all := withoutNoise(u)
	if bare != u {
		if c, err = h.cfg.Archive.Find(ctx, bare, at, true); !errors.Is(err, archive.ErrNotFound) {
			return c, "query", err
		}
	}
	if all != u && all != bare && mod != modPage && mod != modMain && mod != modFrame && mod != modRaw {
		return second(h.cfg.Archive.Find(ctx, all, at, true))
	}
	return c, "", err
}

func second(c survey.Capture, err error) (survey.Capture, string, error) { return c, "query", err }

func sameHost(a, b string) bool {
	ua, erra := url.Parse(a)
	ub, errb := url.Parse(b)
	return erra == nil && errb == nil && ua.Host != "" && strings.EqualFold(ua.Hostname(), ub.Hostname())
}

// withoutNoise returns u without the parameters that change from visit to visit, and without any query.
func withoutNoise(u string) (bare, all string) {
	all, query, ok := strings.Cut(u, "?")
	if !ok {
		return u, u
	}
	var left []string
	for _, p := range strings.Split(query, "&") {
		name, _, _ := strings.Cut(strings.ToLower(p), "=")
		switch name {
		case "_", "cb", "cachebuster", "cachebust", "rand", "random", "timestamp", "fbclid", "gclid", "msclkid", "yclid", "igshid", "mc_cid", "mc_eid":
			continue
		}
		if strings.HasPrefix(name, "utm_") || name != "" && strings.Trim(name, "0123456789") == "" {
			continue
		}
		left = append(left, p)
	}
	if len(left) == 0 {
		return all, all
	}
	return all + "?" + strings.Join(left, "&"), all
}
