package sites

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const whole = `data: ./d
contact: ops@example.org
operator: null
canaries: [https://example.org/, https://example.net/]
defaults: {timeout: 20s, retries: 2, per_host: 4, delay: 250ms, links: page, vantages: [direct]}
vantages:
  direct: {}
  quad9: {resolver: "https://dns.quad9.net/dns-query@9.9.9.9"}
  tor: {proxy: "socks5://127.0.0.1:9050"}
sites:
  presstv:
    primary: https://www.presstv.com
    mirrors: [https://www.presstv.co.uk, {url: https://www.presstv.ir, contact: ["smtp://u:p@h/"]}]
    articles: [/Detail/2016/08/10/479262/Syria-talks-Aleppo]
    feeds: [/rss.xml]
    sitemaps: [/sitemap.xml]
    newest: 20
    paths: [{from: "^/Detail/(.*)$", to: "/detail/$1", mirror: www.presstv.ir}]
    rules: [{match: "/live/", status: {404: warn}}]
    baseline: baseline.json
incidents: {down_after: 3, up_after: 2, remind: 24h, maintenance: [{cron: "0 2 * * 0", for: 2h, zone: UTC}]}
notify:
  - {url: "${NOTIFY_URL}", on: [down, degraded, up], sites: [presstv]}
  - {exec: [/usr/local/bin/page-me], on: [down]}
heartbeat: "${HEARTBEAT_URL}"
retention: {epoch: month, raw: 90d, hourly: 1y, warc: 2y, warc_bytes: 50GB, free_space: 1GB}
schedule: "17 * * * *"
public_url: null
replay_url: null
`

func env(string) string { return "smtp://user:hunter2@host/" }

func TestWholeFile(t *testing.T) {
	f, err := Parse("x/m.yaml", []byte(whole), env)
	if err != nil {
		t.Fatal(err)
	}
	set, err := f.Effective("presstv", Overrides{Flags: map[string][]string{"per-host": {"7"}}})
	if err != nil {
		t.Fatal(err)
	}
	if set.PerHost != 7 || set.From["per_host"] != FromFlag || set.From["timeout"] != FromDefaults || set.Baseline != "x/baseline.json" {
		t.Errorf("settings: %+v", set)
	}
	if got := f.Site("presstv").Survey(set).Hosts(); len(got) != 3 {
		t.Errorf("hosts: %v", got)
	}
	var b strings.Builder
	if err := f.Describe(&b, Overrides{}); err != nil || strings.Contains(b.String(), "hunter2") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":       {"mirrors: [", "mirors: [", `m.yaml:13:5: unknown key "mirors" in site "presstv"`},
		"duplicate key":     {"feeds:", "articles:", "m.yaml:15:5: "},
		"duration":          {"timeout: 20s", "timeout: 20", `"20" has no unit`},
		"URL":               {"primary: https://", "primary: ftp://", "only http and https"},
		"vantage":           {"vantages: [direct]", "vantages: [quad8]", `did you mean "quad9"?`},
		"no primary":        {"    primary: https://www.presstv.com\n", "", "has no primary"},
		"mirror twice":      {"[https://www.presstv.co.uk,", "[https://www.presstv.ir,", "given twice"},
		"cron":              {"17 * * * *", "77 * * * *", "is no minute"},
		"size":              {"50GB", "50XB", "unknown unit"},
		"regexp":            {"^/Detail/(.*)$", "^/Detail/(", "no regular expression"},
		"run key in a site": {"newest: 20", "concurrency: 20", "belongs to the whole run"},
	} {
		src := strings.Replace(whole, c.old, c.new, 1)
		_, err := Parse("m.yaml", []byte(src), env)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "^") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse("m.yaml", []byte(whole), func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "NOTIFY_URL is not set") {
		t.Errorf("unset: %v", err)
	}
	if _, err := Load("does-not-exist.yaml", env); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
}

// FuzzLoad starts from short files: the fuzzing engine spends up to a minute on making one long input shorter, and runs
// nothing else meanwhile (-fuzzminimizetime=1x avoids that).
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "mistakes", "*.yaml"))
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(src) < 500 {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) { _, _ = Parse("m.yaml", src, env) })
}
