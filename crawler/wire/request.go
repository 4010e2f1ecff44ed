package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mirrorwatch/crawler/survey"
)

// maxRequestBody bounds what is sent.
const maxRequestBody = 1 << 20

// request is a request as octets: what is written, and what is recorded.
type request struct {
	wire   []byte
	record []byte // wire with credentials masked at equal length
	masked []string
}

// compose writes the request. Order: Host, User-Agent, the caller's fields by name, the operator's, Accept-Encoding. Only
// gzip is asked for: every archive reads it.
func (t *Transport) compose(req *http.Request, tg target, c *conn) (*request, error) {
	var b bytes.Buffer
	var secret [][2]int
	r := &request{}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	path := req.URL.RequestURI()
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	host = asciiAuthority(host)
	host = strings.TrimSuffix(host, ".")
	if c.plain {
		path = "http://" + asciiAuthority(req.URL.Host) + path
	}
	if !clean(method) || !clean(path) || !clean(host) || strings.ContainsAny(method+path+host, " \t") {
		return nil, fmt.Errorf("request line cannot be written: %q %q %q", method, path, host)
	}
	b.WriteString(method + " " + path + " HTTP/1.1\r\n")
	var bad error
	field := func(name, value string, hide bool) {
		if !clean(name) || !clean(value) || name == "" || strings.ContainsAny(name, ": ") {
			bad = fmt.Errorf("header field %q cannot be written", name)
			return
		}
		b.WriteString(name + ": ")
		start := b.Len()
		b.WriteString(value)
		if hide {
			secret = append(secret, [2]int{start, b.Len()})
			r.masked = append(r.masked, name)
		}
		b.WriteString("\r\n")
	}
	var extra []survey.Field
	if t.cfg.Header != nil {
		extra = t.cfg.Header(survey.MirrorName(req.URL))
	}
	overridden := func(name string) bool {
		return slices.ContainsFunc(extra, func(f survey.Field) bool { return survey.EqualFold(f.Name, name) })
	}
	if !overridden("Host") {
		field("Host", host, false)
	}
	agent := t.cfg.UserAgent
	if agent == "" {
		agent = req.Header.Get("User-Agent")
	}
	if agent != "" && !overridden("User-Agent") {
		field("User-Agent", agent, false)
	}
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "User-Agent", "Accept-Encoding", "Content-Length", "Transfer-Encoding", "Connection":
		default:
			if !overridden(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	if !slices.Contains(names, "Accept") && !overridden("Accept") {
		field("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false)
	}
	for _, name := range names {
		for _, v := range req.Header[name] {
			field(name, v, false)
		}
	}
	if u := req.URL.User; u != nil && req.Header.Get("Authorization") == "" && !overridden("Authorization") {
		password, _ := u.Password()
		field("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)), true)
	}
	if c.auth != "" {
		field("Proxy-Authorization", c.auth, true)
	}
	for _, f := range extra {
		field(f.Name, f.Value, true)
	}
	if !overridden("Accept-Encoding") {
		field("Accept-Encoding", "gzip", false)
	}
	var body []byte
	if req.Body != nil && req.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(io.LimitReader(req.Body, maxRequestBody+1)); err != nil {
			return nil, err
		}
		if len(body) > maxRequestBody {
			return nil, errors.New("request body too large")
		}
		field("Content-Length", strconv.Itoa(len(body)), false)
	}
	if bad != nil {
		return nil, bad
	}
	b.WriteString("\r\n")
	b.Write(body)
	r.wire = b.Bytes()
	r.record = r.wire
	if len(secret) > 0 {
		r.record = bytes.Clone(r.wire)
		for _, s := range secret {
			for i := s[0]; i < s[1]; i++ {
				r.record[i] = '*'
			}
		}
	}
	return r, nil
}

// asciiAuthority is a host, with its port or without, as it stands in a head.
func asciiAuthority(host string) string {
	name, port, ok := strings.Cut(host, ":")
	if ascii := asciiHost(name); ascii != name && ok {
		return ascii + ":" + port
	} else if !ok {
		return ascii
	}
	return host
}

// clean reports whether s can stand in a head: no control characters, so that nothing can be smuggled behind it.
func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
