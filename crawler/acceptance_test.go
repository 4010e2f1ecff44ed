package crawler

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mirrorwatch/crawler/content"
)

// TestAcceptance says where the first acceptance tests of classification.md section 8 live, and holds that they are still
// there. Those that need a row of a table name the row too.
func TestAcceptance(t *testing.T) {
	cases := []struct {
		n          int
		what       string
		file, test string
		rows       []string
	}{
		{1, "every row of 1.1-1.5 gives its stage, outcome and OONI string", "crawler/taxonomy_test.go", "TestTaxonomy", []string{`"1.3 tls"`, `"1.4 http"`}},
		{2, "TLS reset and HTTP reset are told apart", "crawler/taxonomy_test.go", "TestTaxonomy", []string{`"1.3 tls", "reset", "tls"`, `"1.4 http", "reset", "http"`}},
		{3, "302 without Location", "crawler/run_test.go", "TestSituations", []string{`"302 without Location"`}},
		{4, "close-delimited cut is truncated", "crawler/rejudge_test.go", "TestCloseDelimitedCut", nil},
		{5, "challenge with 200 and 429 is not available", "crawler/compare/compare_test.go", "TestNotTheArticle", []string{`"5 challenge with 200"`, `"5 challenge with 429"`}},
		{6, "block page with the control's status, header names and title", "crawler/compare/compare_test.go", "TestNotTheArticle", []string{`"6 block page with the control's title"`}},
		{7, "wrong article of the same site", "crawler/compare/compare_test.go", "TestNotTheArticle", []string{`"7 wrong article"`}},
		{8, "slug-tolerant site is no soft 404, the decoy changes the id", "crawler/compare/compare_test.go", "TestNotTheArticle", []string{`"8 slug-tolerant site"`}},
		{8, "the decoy changes the id", "crawler/parts_test.go", "TestDecoyAddresses", []string{`"the id changes, not the slug"`}},
		{9, "article that quotes the seizure banner", "crawler/compare/compare_test.go", "TestQuotedSeizure", nil},
		{10, "image-only seizure page", "crawler/compare/compare_test.go", "TestNotTheArticle", []string{`"10 seizure as a picture"`}},
		{11, "fingerprints that mean no censorship never change a verdict", "crawler/compare/lists_test.go", "TestFalsePositiveList", nil},
		{12, "one changed name or number", "crawler/compare/compare_test.go", "TestAltered", nil},
		{13, "another template is the same article", "crawler/compare/real_test.go", "TestTransplanted", nil},
		{14, "CJK and RTL articles are not thin", "crawler/acceptance_test.go", "TestScriptsAreNotThin", nil},
		{15, "mirror sentence with hrefs only", "crawler/content/read_test.go", "TestAnnounced", []string{`"hrefs only"`}},
		{16, "the guard refuses, and nothing is sent", "crawler/wire/taxonomy_test.go", "TestGuard", nil},
		{16, "names that resolve inside, redirects inside", "crawler/taxonomy_test.go", "TestTaxonomy", []string{`"bogus private address", "connect", "guard_refused"`, `"redirect to a private service", "connect", "guard_refused"`}},
		{16, ".onion without Tor", "crawler/wire/local_test.go", "TestOnion", nil},
		{16, "announced hosts", "crawler/mapping_test.go", "TestConfirmationIsGuarded", nil},
		{17, "canaries down: no verdict", "crawler/run_test.go", "TestCanariesDownMakeTheRunVoid", nil},
		{18, "judged again equals the live verdict", "crawler/rejudge_test.go", "TestRejudge", nil},
		{19, "exports load in pandas", "reports/shapes_test.go", "TestTablesInPandas", nil},
		{20, "OONI-shaped file has the fields of section 6", "reports/shapes_test.go", "TestOONIFields", nil},
	}
	next := 1
	for _, c := range cases {
		if c.n > next {
			t.Errorf("acceptance test %d has no place", next)
		}
		next = c.n + 1
		src, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(c.file)))
		if err != nil {
			t.Errorf("%d, %s: %v", c.n, c.what, err)
			continue
		}
		if !strings.Contains(string(src), "func "+c.test+"(t *testing.T)") {
			t.Errorf("%d, %s: no %s in %s", c.n, c.what, c.test, c.file)
		}
		for _, r := range c.rows {
			if !strings.Contains(string(src), r) {
				t.Errorf("%d, %s: no row %s in %s", c.n, c.what, r, c.file)
			}
		}
	}
	if next != 21 {
		t.Errorf("the list ends at %d", next-1)
	}
}

// TestScriptsAreNotThin is acceptance test 14: articles in scripts without spaces, and from right to left, have as many words
// as their readers would count.
func TestScriptsAreNotThin(t *testing.T) {
	for lang, sentence := range map[string]string{
		"ja": "港湾当局と船員組合の交渉は火曜日に再開され、調停人によると、十一日間続いたストライキの後で双方が書面で提案を交換することに合意した。",
		"zh": "港务局与渡轮船员的谈判周二恢复，调解人在港口城市表示，在持续十一天的罢工之后，双方同意在本周末之前交换书面提案。",
		"ko": "항만 당국과 여객선 승무원의 협상이 화요일에 재개되었으며 조정자는 열하루 동안 이어진 파업 뒤에 양측이 서면 제안을 교환하기로 했다고 말했다. ",
		"th": "การเจรจาระหว่างการท่าเรือกับลูกเรือเฟอร์รีเริ่มขึ้นอีกครั้งในวันอังคารหลังจากการนัดหยุดงานสิบเอ็ดวันตามคำกล่าวของผู้ไกล่เกลี่ยในเมืองท่า",
		"ar": "استؤنفت المحادثات بين سلطة الميناء وأطقم العبارات يوم الثلاثاء بعد إضراب استمر أحد عشر يوما، كما قالت الوسيطة في مدينة الميناء للصحفيين. ",
		"fa": "گفتگوهای اداره بندر و خدمه کشتیها روز سه شنبه پس از یازده روز اعتصاب از سر گرفته شد و میانجی در شهر بندری به خبرنگاران چنین گفت. ",
		"he": "השיחות בין רשות הנמל לצוותי המעבורות חודשו ביום שלישי אחרי שביתה של אחד עשר ימים, אמרה המתווכת לעיתונאים בעיר הנמל. ",
	} {
		src := `<!doctype html><html lang="` + lang + `"><head><meta charset="utf-8"><title>x</title></head><body><article><h1>x</h1>` + strings.Repeat("<p>"+strings.Repeat(sentence, 4)+"</p>", 6) + `</article></body></html>`
		p := content.Read([]byte(src), content.Options{URL: "https://www.harbour.example/a/1", ContentType: "text/html"})
		if p.Thin || p.Words < 300 {
			t.Errorf("%s: %d words, thin: %v", lang, p.Words, p.Thin)
		}
	}
}
