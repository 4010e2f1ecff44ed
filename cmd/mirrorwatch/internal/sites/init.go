package sites

import (
	"fmt"
	"strconv"
	"strings"

	"mirrorwatch/crawler/survey"
)

// InitOptions is what `init` found out about a site.
type InitOptions struct {
	Name       string // of the site; empty: made of the primary's host
	Primary    survey.Mirror
	Mirrors    []survey.Mirror // named by the user
	Articles   []string        // paths, or URLs on the primary
	Feeds      []string
	Candidates []survey.CandidateMirror // announced by the page, confirmed by nobody
	Contact    string
	Minute     int // of the hour at which runs start; 0 is avoided, as everybody's cron runs then
}

// Init writes a sites file with comments. Load accepts it as it is. What pages announced stands in comments: a mirror is
// visited only when a person put it there.
func Init(o InitOptions) []byte {
	if o.Name == "" {
		o.Name = siteName(string(o.Primary.Host))
	}
	if o.Minute <= 0 || o.Minute > 59 {
		o.Minute = 17
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# What mirrorwatch checks, and how. `mirrorwatch sites` checks this file and shows what holds.")
	line("# ${NAME} takes a value from the environment: write secrets so. $$ is a dollar sign.")
	line("")
	line("data: ./mirrorwatch-data          # where everything is kept, beside this file")
	if o.Contact != "" {
		line("contact: %s", quote(o.Contact))
	} else {
		line("#contact: ops@example.org         # goes into the User-Agent, so that operators know whom to ask")
	}
	line("")
	line("# Names that must always work: when they do not, our own network is down and nobody is blamed.")
	line("canaries: [https://example.org/, https://www.iana.org/]")
	line("")
	line("#defaults: {timeout: 20s, retries: 2, per_host: 4, delay: 250ms, links: page}")
	line("")
	line("# Other ways to look: a block on the way shows when they disagree. Name them in defaults: {vantages: [direct, tor]}.")
	line("#vantages:")
	line(`#  quad9: {resolver: "https://dns.quad9.net/dns-query@9.9.9.9"}`)
	line(`#  tor: {proxy: "socks5://127.0.0.1:9050"}`)
	line("")
	line("sites:")
	line("  %s:", quote(o.Name))
	line("    primary: %s", quote(o.Primary.Origin()))
	if len(o.Mirrors) > 0 {
		line("    mirrors:")
		for _, m := range o.Mirrors {
			line("      - %s", quote(m.Origin()))
		}
	} else {
		line("    mirrors: []")
	}
	if len(o.Candidates) > 0 {
		line("    # Announced by the page. Look at each, then move it into mirrors:")
		for _, c := range o.Candidates {
			line("    #  - %s", quote("https://"+comment(c.Host)))
			line("    #      %s: %s", comment(c.Rule), comment(c.Evidence))
		}
	}
	line("    #  - {url: https://www.example.net, contact: [\"${MIRROR_CONTACT}\"]}   # whom to tell about this mirror")
	list := func(key string, values []string, example string) {
		if len(values) == 0 {
			line("    #%s: [%s]", key, example)
			return
		}
		line("    %s:", key)
		for _, v := range values {
			line("      - %s", quote(v))
		}
	}
	list("articles", o.Articles, "/story")
	list("feeds", o.Feeds, "/rss.xml")
	line("    #sitemaps: [/sitemap.xml]")
	line("    #newest: 20                   # so many articles from feeds and sitemaps")
	line(`    #paths: [{from: "^/Detail/(.*)$", to: "/detail/$1", mirror: www.example.net}]   # a mirror with other paths`)
	line("")
	line("# An incident opens after so many bad runs in a row and closes after so many good ones.")
	line("incidents: {down_after: 3, up_after: 2, remind: 24h}")
	line(`#incidents: {maintenance: [{cron: "0 2 * * 0", for: 2h, zone: UTC}]}   # measured, not counted, not told`)
	line("")
	line("# Whom to tell: addresses of shoutrrr services (mail, chat, webhooks), or programs. `mirrorwatch notify --test` tries them.")
	line("#notify:")
	line(`#  - {url: "${NOTIFY_URL}", on: [down, degraded, up]}`)
	line(`#  - {url: "${MAIL_URL}", digest: {cron: "0 8 * * *", zone: Europe/London}}      # one message a day, when there is something`)
	line(`#  - {url: "${CHAT_URL}", quiet: [{cron: "0 22 * * *", for: 9h, zone: UTC}]}     # held back by night, told as one in the morning`)
	line("#  - {exec: [/usr/local/bin/page-me], on: [down]}      # the incident as JSON on stdin")
	line(`#heartbeat: "${HEARTBEAT_URL}"    # fetched after each run that is not void, so that a dead cron is noticed elsewhere`)
	line("")
	line("retention: {epoch: month, raw: 90d, hourly: 1y, warc: 2y, warc_bytes: 50GB, free_space: 1GB}")
	line("schedule: \"%d * * * *\"            # for watch, and for when the next run is due", o.Minute)
	return []byte(b.String())
}

// siteName makes a name of a host: "www.presstv.com" is "presstv".
func siteName(host string) string {
	host, _, _ = strings.Cut(strings.Trim(host, "[]"), ":")
	labels := strings.Split(strings.TrimPrefix(host, "www."), ".")
	name := labels[0]
	if len(labels) > 2 && len(labels[0]) <= 3 {
		name = strings.Join(labels[:2], "-")
	}
	if checkName("site", name) != nil || strings.Trim(name, "0123456789") == "" {
		return "site"
	}
	return name
}

// quote writes a YAML scalar: as it is when that is plain, else in double quotes. Dollar signs are doubled, as they would
// begin a variable.
func quote(s string) string {
	s = strings.ReplaceAll(clean(s), "$", "$$")
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" && !strings.HasSuffix(s, ":") && strings.ContainsAny(s[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/")
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return strconv.QuoteToGraphic(strings.ToValidUTF8(s, "?"))
}

// comment makes foreign text fit for a comment: one line, bounded, without what steers a terminal.
func comment(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	s = strings.NewReplacer("\u0085", " ", "\u2028", " ", "\u2029", " ").Replace(clean(s))
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "..."
	}
	return s
}
