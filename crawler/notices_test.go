package crawler

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"mirrorwatch/crawler/survey"
)

// ownPages are pages of each class that this project wrote itself: few real ones can be had.
var ownPages = []struct {
	row    string
	body   string
	status int
	header map[string]string
	class  []survey.PageClass
}{
	{"seizure banner", notice("", "<h1>This domain has been seized</h1><p>This domain name has been seized by the Federal Bureau of Investigation pursuant to a seizure warrant issued by a United States District Court under the authority of 18 U.S.C. 981.</p><img src=/seal.png>"), 200, nil, classes(survey.ClassSeizureBanner)},
	{"seizure picture", notice("Seized", "<img src=/img/doj-seal.png><img src=/img/fbi-seal.png><img src=/img/seized-notice.jpg>"), 200, nil, classes(survey.ClassSeizureBanner)},
	{"seizure in German", notice("Beschlagnahmt", "<h1>Diese Domain wurde beschlagnahmt</h1><p>Diese Website wurde vom Bundeskriminalamt auf Anordnung des Gerichts beschlagnahmt.</p>"), 200, nil, classes(survey.ClassSeizureBanner)},
	{"parked, for sale", notice("example.org", "<h1>example.org</h1><p>This domain is for sale. Buy this domain or make an offer.</p><p>Related searches</p><a href=/s?a>Insurance</a> <a href=/s?b>Hotels</a>"), 200, nil, classes(survey.ClassParked)},
	{"suspended", notice("Account suspended", "<h1>This account has been suspended</h1><p>Contact your hosting provider for more information.</p>"), 200, nil, classes(survey.ClassParked)},
	{"default page of a server", notice("Welcome to nginx!", "<h1>Welcome to nginx!</h1><p>If you see this page, the nginx web server is successfully installed and working. Further configuration is required.</p>"), 200, nil, classes(survey.ClassParked)},
	{"challenge by header", notice("Just a moment...", "<p>Checking your browser.</p>"), 403, map[string]string{"Cf-Mitigated": "challenge", "Server": "cloudflare"}, classes(survey.ClassChallenge)},
	{"challenge with 200", notice("Just a moment...", "<p>Verifying you are human. This may take a few seconds.</p><script>window._cf_chl_opt={}</script>"), 200, map[string]string{"Cf-Mitigated": "challenge"}, classes(survey.ClassChallenge)},
	{"challenge with 429", notice("Attention required", "<p>Please complete the security check.</p>"), 429, map[string]string{"X-Vercel-Mitigated": "challenge"}, classes(survey.ClassChallenge)},
	{"guard of ddos", notice("DDoS-Guard", "<h1>Checking your browser</h1><p>Please wait a few seconds.</p>"), 403, map[string]string{"Server": "ddos-guard", "Set-Cookie": "__ddg1_=abc"}, classes(survey.ClassChallenge)},
	{"refusal of a delivery network", notice("ERROR: The request could not be satisfied", "<h1>403 ERROR</h1><p>The request could not be satisfied. Request blocked. We can't connect to the server for this app or website at this time.</p>"), 403, map[string]string{"Via": "1.1 abc.cloudfront.net (CloudFront)"}, classes(survey.ClassAccessDenied)},
	{"not in your country", notice("Unavailable", "<p>We are sorry: this content is not available in your country or region.</p>"), 403, nil, classes(survey.ClassAccessDenied)},
	{"access denied", notice("Access Denied", "<h1>Access Denied</h1><p>You don't have permission to access this page on this server.</p><p>Reference #18.2d351ab8.1557333295.a4e16ab</p>"), 403, nil, classes(survey.ClassAccessDenied)},
	{"withheld by law", notice("Unavailable For Legal Reasons", "<p>This page is withheld.</p>"), 451, nil, classes(survey.ClassLegal451)},
	{"consent", notice("Before you continue", "<h1>Before you continue</h1><p>We and our partners use cookies to store and access information on your device. Accept all, reject all, or manage your choices.</p><button>Accept all</button>"), 200, nil, classes(survey.ClassConsent)},
	{"login", notice("Log in", "<h1>Log in</h1><form action=/login><input type=email><input type=password><button>Log in</button></form><p>Subscribers log in to read on.</p>"), 200, nil, classes(survey.ClassLogin)},
	{"error with 500", notice("Internal Server Error", "<h1>Internal Server Error</h1><p>The server encountered an error.</p>"), 500, nil, classes(survey.ClassErrorPage)},
	{"error with 404", notice("404", "<h1>Not Found</h1><p>The requested address was not found on this server.</p>"), 404, nil, classes(survey.ClassErrorPage)},
	{"error with 503", notice("503", "<h1>Service Temporarily Unavailable</h1>"), 503, nil, classes(survey.ClassErrorPage)},
	{"blocked, English", notice("Blocked", "<h1>Website blocked</h1><p>Access to this website has been blocked by order of the High Court.</p>"), 200, nil, classes(survey.ClassBlockPage)},
	{"blocked, Russian", notice("Доступ ограничен", "<p>Доступ к информационному ресурсу ограничен на основании Федерального закона № 149-ФЗ.</p>"), 200, nil, classes(survey.ClassBlockPage)},
	{"blocked, Persian", notice("مسدود", "<p>دسترسی به این سایت به دستور مراجع قضایی مسدود شده است. پیوندها</p>"), 200, nil, classes(survey.ClassBlockPage)},
	{"blocked, Arabic", notice("محجوب", "<p>عذرا، تم حجب هذا الموقع بأمر من هيئة تنظيم الاتصالات.</p>"), 200, nil, classes(survey.ClassBlockPage)},
	{"blocked, Turkish", notice("Erişim engellendi", "<p>Bu internet sitesine erişim mahkeme kararıyla engellenmiştir.</p>"), 200, nil, classes(survey.ClassBlockPage)},
}

func notice(title, body string) string {
	return `<!DOCTYPE html><html><head><meta charset="utf-8"><title>` + title + `</title></head><body>` + body + `</body></html>`
}

func classes(c ...survey.PageClass) []survey.PageClass { return c }

// wildChallenges are recorded answers to robots.
func wildChallenges() []labelled {
	dir := os.Getenv("MIRRORWATCH_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	var out []labelled
	for _, c := range []struct {
		file  string
		class survey.PageClass
	}{{"anubis-failed.json", survey.ClassChallenge}, {"recaptcha-failed.json", survey.ClassChallenge}, {"google-failed.json", survey.ClassConsent}} {
		raw, err := os.ReadFile(filepath.Join(dir, "interstitials", "challenge", c.file))
		if err != nil {
			continue
		}
		var har struct {
			Log struct {
				Entries []struct {
					Response struct {
						Status  int
						Headers []struct{ Name, Value string }
						Content struct{ Text, Encoding, MimeType string }
					}
				}
			}
		}
		if json.Unmarshal(raw, &har) != nil {
			continue
		}
		for _, e := range har.Log.Entries {
			text := e.Response.Content.Text
			if e.Response.Content.Encoding == "base64" {
				b, _ := base64.StdEncoding.DecodeString(text)
				text = string(b)
			}
			if !strings.Contains(strings.ToLower(text), "<html") {
				continue
			}
			l := labelled{row: "not: recorded " + strings.TrimSuffix(c.file, "-failed.json"), want: "not", class: classes(c.class), real: true, body: []byte(text), status: e.Response.Status, header: map[string]string{}}
			for _, h := range e.Response.Headers {
				switch n := strings.ToLower(h.Name); n {
				case "set-cookie", "server", "via", "x-robots-tag":
					l.header[h.Name] = h.Value
				}
			}
			out = append(out, l)
			break
		}
	}
	return out
}
