package demo

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"

	"mirrorwatch/crawler/survey"
)

//go:embed pages
var files embed.FS

// answer is a whole response, made before the servers start.
type answer struct {
	status int
	kind   string // media type
	header [2]string
	body   []byte
}

// site is what one host serves: an answer for each path, and one for every other path.
type site struct {
	paths map[string]answer
	other answer
}

const htmlType = "text/html; charset=utf-8"

// builder makes sites from the templates and the pictures.
type builder struct {
	pages  *template.Template
	assets map[string]answer
}

func newBuilder() (*builder, error) {
	pages, err := template.ParseFS(files, "pages/site.html")
	if err != nil {
		return nil, err
	}
	css, err := files.ReadFile("pages/site.css")
	if err != nil {
		return nil, err
	}
	bridge, err := bridgePNG()
	if err != nil {
		return nil, fmt.Errorf("drawing the bridge: %w", err)
	}
	ferry, err := ferryJPEG()
	if err != nil {
		return nil, fmt.Errorf("drawing the ferry: %w", err)
	}
	file := func(kind string, body []byte) answer { return answer{status: http.StatusOK, kind: kind, body: body} }
	return &builder{pages, map[string]answer{
		"/assets/site.css":            file("text/css; charset=utf-8", css),
		"/assets/icon.svg":            file("image/svg+xml", []byte(iconSVG)),
		"/photo/20160810/bridge.png":  file("image/png", bridge),
		"/photo/20160810/ferry.jpg":   file("image/jpeg", ferry),
		"/photo/20160810/traffic.svg": file("image/svg+xml", trafficSVG()),
		"/robots.txt":                 file("text/plain; charset=utf-8", []byte("User-agent: *\nDisallow: /search\n")),
	}}, nil
}

// news is the whole news site under host, its article made of parts. What does not exist is answered with 404.
func (b *builder) news(host survey.Host, parts []part) (*site, error) {
	s := &site{paths: map[string]answer{}}
	for p, a := range b.assets {
		s.paths[p] = a
	}
	var failed error
	page := func(status int, path, title, body string, data any, related []story) answer {
		var inner, whole bytes.Buffer
		err := b.pages.ExecuteTemplate(&inner, body, data)
		if err == nil {
			err = b.pages.ExecuteTemplate(&whole, "page", map[string]any{"Host": host, "Path": path, "Title": title,
				"Article": body == "article", "Body": template.HTML(inner.String()), "Related": related})
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("writing %q for %s: %w", title, host, err)
		}
		return answer{status: status, kind: htmlType, body: whole.Bytes()}
	}
	lead := story{articlePath, title, "Some 300 residents walked across before the first lorries; heavy ones stay barred for the winter."}
	s.paths[articlePath] = page(http.StatusOK, articlePath, title, "article", map[string]any{"Title": title, "Parts": parts}, stories)
	s.paths["/"] = page(http.StatusOK, "/", "Home", "home", append([]story{lead}, stories...), nil)
	for _, o := range append(append([]story{}, stories...), fixed...) {
		s.paths[o.Path] = page(http.StatusOK, o.Path, o.Title, "short", o, nil)
	}
	s.other = page(http.StatusNotFound, "", "Not found", "missing", nil, nil)
	return s, failed
}

// same answers every path with one page of the folder.
func same(name string, status int, header [2]string) (*site, error) {
	body, err := files.ReadFile("pages/" + name)
	return &site{other: answer{status: status, kind: htmlType, header: header, body: body}}, err
}

// ServeHTTP answers without a clock: the same request gets the same bytes.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Date"] = nil
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	a, ok := s.paths[r.URL.Path]
	if !ok {
		a = s.other
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.header[0] != "" {
		h.Set(a.header[0], a.header[1])
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodGet {
		_, _ = w.Write(a.body) // a client that went away is no matter of ours
	}
}
