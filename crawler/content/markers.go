package content

import (
	"bytes"
	"sort"
)

// marks are octets that software of known kinds leaves in its pages. They confirm a page class on a thin page and prove
// nothing on an article (classification 1.6).
var marks = []struct{ text, name string }{
	{"_cf_chl_opt", "challenge:cloudflare"}, {"cf-challenge", "challenge:cloudflare"}, {"/cdn-cgi/challenge-platform", "challenge:cloudflare_platform"},
	{"cf-browser-verification", "challenge:cloudflare"}, {"cf-turnstile", "challenge:turnstile"}, {"challenges.cloudflare.com", "challenge:turnstile"},
	{"cf-error-details", "error:cloudflare"}, {"cf-wrapper", "error:cloudflare"},
	{"anubis_challenge", "challenge:anubis"}, {"within.website/x/cmd/anubis", "challenge:anubis"},
	{"ddos-guard", "challenge:ddos_guard"}, {"captcha-delivery.com", "challenge:datadome"}, {"geo.captcha-delivery", "challenge:datadome"},
	{"px-captcha", "challenge:perimeterx"}, {"_pxAppId", "challenge:perimeterx"}, {"KPSDK", "challenge:kasada"}, {"ips.js?", "challenge:kasada"},
	{"awsWafCookieDomainList", "challenge:aws_waf"}, {"awswaf.com", "challenge:aws_waf"}, {"gokuProps", "challenge:aws_waf"},
	{"_Incapsula_Resource", "challenge:imperva"}, {"sec-if-cpt-container", "challenge:akamai"}, {"sucuri_cloudproxy", "challenge:sucuri"},
	{"g-recaptcha", "challenge:recaptcha"}, {"recaptcha/api.js", "challenge:recaptcha"}, {"h-captcha", "challenge:hcaptcha"}, {"hcaptcha.com/1/api.js", "challenge:hcaptcha"},
	{"funcaptcha", "challenge:arkose"}, {"arkoselabs", "challenge:arkose"}, {"geetest", "challenge:geetest"}, {"/.well-known/vercel/security", "challenge:vercel"},
	{"onetrust", "consent:onetrust"}, {"cookielaw.org", "consent:onetrust"}, {"cookiebot", "consent:cookiebot"}, {"didomi", "consent:didomi"}, {"qc-cmp2", "consent:quantcast"},
	{"quantcast.mgr.consensu", "consent:quantcast"}, {"sp_message_", "consent:sourcepoint"}, {"privacy-mgmt.com", "consent:sourcepoint"},
	{"usercentrics", "consent:usercentrics"}, {"trustarc", "consent:trustarc"}, {"consensu.org", "consent:iab"}, {"fundingchoicesmessages", "consent:funding_choices"},
	{"iubenda", "consent:iubenda"}, {"guce.advertising.com", "consent:guce"}, {"consent.google", "consent:google"}, {"consent.yahoo", "consent:yahoo"},
	{"data-adblockkey", "parked:adblock_key"}, {"window.park", "parked:park_blob"}, {"parkingcrew", "parked:parkingcrew"}, {"sedoparking", "parked:sedo"},
	{"bodis.com", "parked:bodis"}, {"parklogic", "parked:parklogic"}, {"hugedomains", "parked:hugedomains"}, {"afternic", "parked:afternic"},
	{"adsense/domains/caf.js", "parked:caf"}, {"domainparking", "parked:generic"},
	{"poweredbyExpired", "parked:expired"}, {"piano.io", "paywall:piano"}, {"tinypass", "paywall:piano"}, {"poool.fr", "paywall:poool"},
}

// pairs says which two octets begin a mark, so that most of a page is passed over by one look-up an octet.
var pairs = func() (t [1 << 16]bool) {
	for _, m := range marks {
		t[int(m.text[0])<<8|int(m.text[1])] = true
	}
	return
}()

// trigrams narrows further: the marks by their first three octets.
var trigrams = func() map[[3]byte][]int {
	t := map[[3]byte][]int{}
	for i, m := range marks {
		k := [3]byte{m.text[0], m.text[1], m.text[2]}
		t[k] = append(t[k], i)
	}
	return t
}()

func findMarkers(src []byte) []string {
	var found []string
	seen := map[string]bool{}
	for i := 0; i+3 < len(src); i++ {
		if !pairs[int(src[i])<<8|int(src[i+1])] {
			continue
		}
		for _, k := range trigrams[[3]byte{src[i], src[i+1], src[i+2]}] {
			if m := marks[k]; !seen[m.name] && bytes.HasPrefix(src[i:], []byte(m.text)) {
				seen[m.name] = true
				found = append(found, m.name)
			}
		}
	}
	sort.Strings(found)
	return found
}
