package compare

import (
	"strings"
	"unicode/utf8"
)

// The vocabularies of lines that live on an article's page without being the article: counters and relative times, and the
// boxes between paragraphs. They are closed: a line counts as a counter only when every one of its words is in the
// vocabulary, so no sentence that says something can hide behind them.

var (
	counterMark = set("ago updated update modified views view reads shares share comments comment likes read min mins minute minutes edited просмотров просмотра просмотры обновлено комментариев комментарии назад минут آخر تحديث منذ مشاهدة تعليق بازدید دیدگاه پیش vues mis jour commentaires aktualisiert vor aufrufe kommentare 更新 阅读 浏览 vistas actualizado comentarios hace")
	counterWord = set("last at on the by a an am pm gmt utc est edt cet bst ist time date published posted first hour hours hrs hr day days week weeks month months second seconds sec just now about less than and of in to reading total times this article page been has k m час часа часов день дня дней в на опубликовано دقيقة دقائق ساعة ساعات يوم أيام il y a il heures heure jours jour à le la stunden stunde minuten tage um uhr hora horas minutos el días 小时 分钟 前 天 次 最后 发布 时间 于 年 月 日")
	monthWord   = set("january february march april may june july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun января февраля марта апреля мая июня июля августа сентября октября ноября декабря понедельник вторник среду четверг пятницу субботу воскресенье janvier février mars avril mai juin juillet août septembre octobre novembre décembre januar februar märz juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag sonntag enero febrero marzo abril mayo junio julio agosto septiembre noviembre diciembre lunes martes miércoles jueves viernes sábado domingo يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر")
)

// isCounter reports whether the words are a view counter, a relative time or the like.
func isCounter(toks []token) bool {
	if len(toks) == 0 || len(toks) > 20 {
		return false
	}
	mark := false
	for i := range toks {
		t := toks[i].text
		switch {
		case in(counterMark, t):
			mark = true
		case numeric(t), in(counterWord, t), in(monthWord, t):
		default:
			return false
		}
	}
	return mark
}

func numeric(t string) bool {
	for _, r := range t {
		if isDigit(r) {
			return true
		}
	}
	return false
}

// promoPhrases are what boxes inside the text flow say. A block is a box only as a whole and only when short.
var promoPhrases = []string{
	" newsletter ", " subscribe to ", " subscribe now ", " sign up for ", " sign up to ", " sign up here ", " follow us ", " share this ",
	" share on ", " share the article ", " read more ", " read also ", " also read ", " see also ", " related article", " related stor", " more on this ",
	" most read ", " advertisement ", " alternate address", " alternative address", " mirror site", " can also be accessed at ", " also available at ",
	" download our app ", " download the app ", " join us on ", " join our ", " support our ", " your inbox ", " telegram channel ", " like us on ", " click here to ",
	" watch also ", " all rights reserved ", " cookies ", " leave a comment ", " post a comment ", " sign in to ", " log in to ", " recommended for you ", " you may also like ",
	" подпишитесь ", " подписывайтесь ", " читайте также ", " наш канал ", " поделиться ", " اشترك ", " تابعونا ", " اقرأ أيضا ", " شارك ", " مشترک شوید ", " بیشتر بخوانید ", " abonnez ", " lire aussi ",
	" newsletter abonnieren ", " lesen sie auch ", " suscríbete ", " lea también ",
}

const promoWords = 45

// isPromo reports whether a whole block is a box: a newsletter form, a share bar, a "read also", the line that names the
// alternate addresses, or a list of links.
func isPromo(toks []token, linkDensity float64) bool {
	if len(toks) == 0 || len(toks) > promoWords*2 {
		return false
	}
	if linkDensity >= 0.5 && len(toks) < promoWords {
		return true
	}
	if len(toks) > promoWords {
		return false
	}
	s := joinTokens(toks)
	for _, p := range promoPhrases {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

var paywallPhrases = []string{
	" subscribe ", " subscribers ", " subscriber ", " continue reading ", " read the full ", " to read this ", " sign in ", " log in ", " register to ", " free trial ", " premium ", " membership ",
	" unlock ", " keep reading ", " read more ", " full story ", " подписк", " оформите ", " читать далее ", " abonn", " weiterlesen ", " suscr", " اشترك", " مشترک", " 订阅", " 登录",
}

// isPaywall reports whether the words ask the reader to subscribe or to go on elsewhere.
func isPaywall(toks []token) bool {
	s := joinTokens(toks)
	for _, p := range paywallPhrases {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// endsOpen reports whether a text ends in the middle of a sentence.
func endsOpen(s string) bool {
	s = strings.TrimRight(s, " \t\n\u00a0")
	r, _ := utf8.DecodeLastRuneInString(s)
	return s != "" && !strings.ContainsRune(".!?…\"'”’»)]؟۔।॥။。！？」』】）:;*", r)
}
