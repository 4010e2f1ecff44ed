package reports

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"time"

	"mirrorwatch/crawler/survey"
)

// ooniTest is our own test name: under OONI's own names these records would poison other people's comparisons.
const (
	ooniTest    = "mirror_article"
	ooniVersion = "0.1.0"
	ooniTime    = "2006-01-02 15:04:05"
)

// OONI writes one measurement a line for each article, mirror and vantage, in the shape of OONI's data format 0.2.0
// (classification.md 6) and under our own test name. It is for local analysis; nothing is sent anywhere. Network and
// address of the probe are withheld. Bodies stand in the archive, not here.
func OONI(w io.Writer, r survey.Report) error {
	out := bufio.NewWriter(w)
	enc := JSONEncoder(out)
	void := voidVantages(r.Run)
	for ci := range r.Articles {
		c := &r.Articles[ci]
		for i := range c.Mirrors {
			if err := enc.Encode(ooniMeasurement(&r.Run, c, &c.Mirrors[i], void)); err != nil {
				return fmt.Errorf("writing OONI-shaped JSONL: %w", err)
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing OONI-shaped JSONL: %w", err)
	}
	return nil
}

// object is a JSON object; encoding/json sorts its keys, so that the bytes are the same every time.
type object map[string]any

func ooniMeasurement(run *survey.Run, c *survey.Check, f *survey.Finding, void map[string]bool) object {
	runtime := 0.0
	if f.Timing.Total != nil {
		runtime = *f.Timing.Total / 1000
	}
	resolver := ""
	for _, l := range f.DNS {
		if l.Server != "" {
			resolver = l.Server
			break
		}
	}
	at := func(t time.Time) string { return t.UTC().Format(ooniTime) }
	return object{
		"data_format_version": "0.2.0",
		"software_name":       run.Tool.Name, "software_version": run.Tool.Version,
		"test_name": ooniTest, "test_version": ooniVersion,
		"measurement_start_time": at(f.ObservedAt), "test_start_time": at(run.Started), "test_runtime": runtime,
		"input":     f.URL,
		"probe_asn": "AS0", "probe_cc": "ZZ", "probe_ip": "127.0.0.1", "probe_network_name": "",
		"resolver_asn": "AS0", "resolver_ip": resolver, "resolver_network_name": "",
		"annotations": object{"architecture": "unknown", "platform": "unknown", "engine_name": run.Tool.Name, "engine_version": run.Tool.Version, "vantage": f.Vantage},
		"extensions":  object{"dnst": 0, "httpt": 0, "tcpconnect": 0, "tlshandshake": 0, "netevents": 0},
		"options":     []string{},
		"test_keys": object{
			"queries": ooniQueries(f), "tcp_connect": ooniConnects(f), "tls_handshakes": ooniHandshakes(f), "requests": ooniRequests(f),
			"network_events": []object{}, "failure": f.Failure,
			"x_run": run.ID, "x_site": c.Site, "x_article": c.URL, "x_mirror": f.Mirror, "x_role": f.Role,
			"x_state": stateOf(f, void), "x_verdict": f.Verdict.Verdict, "x_kind": f.Kind, "x_page_class": f.PageClass, "x_confidence": f.Confidence,
			"x_stage": f.Stage, "x_outcome": f.Outcome, "x_c_ref": f.Scores.CRef, "x_c_cand": f.Scores.CCand, "x_rules_version": run.RulesVersion,
			"x_snapshot": f.Snapshot, "x_void": run.Void || void[f.Vantage],
		},
	}
}

// failure is an outcome as OONI names it: null when all went well.
func failure(o survey.Outcome) *string {
	if o == survey.OK || o == "" {
		return nil
	}
	if s := o.FailureString(""); s != "" {
		return &s
	}
	return nil
}

func ooniQueries(f *survey.Finding) []object {
	all := []object{}
	for _, l := range f.DNS {
		answers := []object{}
		for _, a := range l.Answers {
			o := object{"answer_type": a.Type, "ttl": a.TTL}
			switch a.Type {
			case "A":
				o["ipv4"] = a.Data
			case "AAAA":
				o["ipv6"] = a.Data
			default:
				o["hostname"] = a.Data
			}
			answers = append(answers, o)
		}
		all = append(all, object{"answers": answers, "engine": l.Engine, "failure": failure(l.Outcome), "hostname": l.Name, "query_type": l.Type,
			"resolver_address": l.Server, "t": l.MS / 1000, "x_rcode": l.RCode})
	}
	return all
}

func ooniConnects(f *survey.Finding) []object {
	all := []object{}
	for _, t := range f.Tries {
		ip, port := t.Address, 0
		if ap, err := netip.ParseAddrPort(t.Address); err == nil {
			ip, port = ap.Addr().String(), int(ap.Port())
		}
		fail := failure(t.Outcome)
		all = append(all, object{"ip": ip, "port": port, "status": object{"success": fail == nil, "failure": fail}, "t": t.MS / 1000})
	}
	return all
}

func ooniHandshakes(f *survey.Finding) []object {
	if f.TLS == nil {
		return []object{}
	}
	o := object{"server_name": f.TLS.SNI, "tls_version": f.TLS.Version, "cipher_suite": f.TLS.Cipher, "negotiated_protocol": f.TLS.ALPN, "no_tls_verify": false,
		"peer_certificates": []string{}, "address": text(f.Peer), "failure": nil, "x_certificate_sha256": f.TLS.SHA256, "x_verified": f.TLS.Verified, "t": 0.0}
	if f.Stage == survey.StageTLS {
		o["failure"] = failure(f.Outcome)
	}
	if f.Timing.TLS != nil {
		o["t"] = *f.Timing.TLS / 1000
	}
	return []object{o}
}

// ooniRequests lists the hops, the newest first.
func ooniRequests(f *survey.Finding) []object {
	request := func(url string) object {
		return object{"method": "GET", "url": url, "headers": object{}, "headers_list": []any{}, "body": "", "body_is_truncated": false, "tor": object{"exit_ip": nil, "exit_name": nil, "is_tor": false}}
	}
	last := object{"failure": f.Failure, "request": request(f.FinalURL), "response": nil, "t": 0.0}
	if f.Timing.Total != nil {
		last["t"] = *f.Timing.Total / 1000
	}
	if f.FinalURL == "" {
		last["request"] = request(f.URL)
	}
	if f.Status != nil {
		headers, list := object{}, []any{}
		for k, v := range f.Headers {
			headers[k] = v
		}
		response := object{"code": *f.Status, "headers": headers, "headers_list": list, "body": "", "body_is_truncated": true}
		if f.Body != nil {
			response["x_body_bytes"], response["x_body_sha256"] = f.Body.Bytes, f.Body.SHA256
		}
		last["response"] = response
	}
	all := []object{last}
	for i := len(f.Redirects) - 1; i >= 0; i-- {
		r := f.Redirects[i]
		all = append(all, object{"failure": nil, "request": request(r.URL), "t": 0.0,
			"response": object{"code": r.Status, "headers": object{}, "headers_list": []any{}, "body": "", "body_is_truncated": true}})
	}
	return all
}
