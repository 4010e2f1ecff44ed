package compare

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"hash/fnv"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mirrorwatch/crawler/message"
)

type realPage struct {
	url, body string // body: gold text
	utf8      []byte
	tuned     bool // the publisher's half that thresholds may be tuned on
}

func realPages(tb testing.TB) []realPage {
	dir := testdata(tb, "articles")
	raw, err := os.ReadFile(filepath.Join(dir, "ground-truth.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var truth map[string]struct {
		Body string `json:"articleBody"`
		URL  string `json:"url"`
	}
	if err := json.Unmarshal(raw, &truth); err != nil {
		tb.Fatal(err)
	}
	var ids []string
	for id := range truth {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var out []realPage
	for _, id := range ids {
		data, err := os.ReadFile(filepath.Join(dir, "html", id+".html.gz"))
		if err != nil {
			tb.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			tb.Fatal(err)
		}
		src, err := io.ReadAll(z)
		if err != nil {
			tb.Fatal(err)
		}
		name, _ := message.Charset("text/html", src)
		if u, err := message.ToUTF8(name, src); err == nil {
			src = u
		}
		p := realPage{url: truth[id].URL, body: truth[id].Body, utf8: src}
		u, _ := url.Parse(p.url)
		if u == nil || u.Host == "" {
			u = &url.URL{Scheme: "https", Host: "publisher-" + id[:6] + ".example", Path: "/a/" + id}
		}
		h := fnv.New32a()
		h.Write([]byte(strings.TrimPrefix(u.Hostname(), "www.")))
		p.tuned = h.Sum32()%2 == 0
		p.url = u.String()
		out = append(out, p)
	}
	return out
}
