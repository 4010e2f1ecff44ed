package demo

import "strings"

const (
	primary = "www.presstv.com"
	second  = "www.presstv.co.uk"
	// outside is the address that the article names besides second, and that is no mirror of the world. It is reserved
	// (RFC 6761), yet of a form that a public site's name has.
	outside = "presstv.example.org"

	articlePath = "/Detail/2016/08/10/479262/Harbour-bridge-reopens"
	title       = "Harbour bridge at Sandvik reopens after 14 months of repairs"

	// The altered mirror has one name of the text for another.
	name, otherName = "Marten Oakley", "Gregor Vance"
)

// part is a paragraph of the article, or a picture with its caption as text.
type part struct{ Text, Picture, Alt string }

// article is the story, whole, in its order. The last part names the alternate addresses.
var article = []part{
	{"The harbour bridge at Sandvik opened to traffic again on Wednesday, 14 months after engineers closed it because of cracks in two of its main piers.", "", ""},
	{"The bridge seen from the eastern quay on the morning of August 10, 2016. (Drawing by the harbour office)", "/photo/20160810/bridge.png", "A steel bridge over grey water"},
	{"Harbour master " + name + " cut the ribbon shortly after dawn, and some 300 residents walked across before the first lorries were let through at half past eight.", "", ""},
	{"\"We promised a safe bridge rather than a quick one, and today we have kept that promise,\" the harbour master told reporters on the eastern ramp.", "", ""},
	{"The repairs cost 42 million crowns, seven million more than the council had set aside. Divers found a third damaged pier last November, and work stopped for six weeks while new steel was cast inland and brought down the river on barges.", "", ""},
	{"Before the closure about 11,000 vehicles used the bridge each day. Since then drivers have had to take a detour of 38 kilometres along the northern shore, or wait for one of the two ferries, whose queues reached back to the fish market on most mornings.", "", ""},
	{"Vehicles a day on the bridge, by year, from the council's own counts. (Chart by the harbour office)", "/photo/20160810/traffic.svg", "A bar chart of daily traffic"},
	{"Elin Brask, who runs a bakery beside the old customs house, said her trade had fallen by a third. \"People did not stop liking bread. They simply could not get here,\" she said, adding that two of her five workers had left for jobs on the other side.", "", ""},
	{"The council's finance officer, Tomas Reve, said the additional cost would be spread over eight years. He ruled out a toll, which three members of the council had asked for in the spring, and said that no school or clinic would lose money because of the bridge.", "", ""},
	{"Not everybody was content. Ingrid Holm of the residents' group North Shore said heavy traffic had ruined 12 kilometres of narrow road during the detour. \"The bridge has been mended. Our road has not, and nobody has told us when it will be,\" she said.", "", ""},
	{"Reve answered that 900,000 crowns had been put aside for the road, and that work there would begin before the end of October if the weather allowed it.", "", ""},
	{"One of the two ferries that carried passengers during the repairs, on its way to the western landing. (Drawing by the harbour office)", "/photo/20160810/ferry.jpg", "A ferry at sea under an evening sky"},
	{"Lorries above 30 tonnes remain barred until 64 sensors in the piers have sent data for a full winter. The limit will be looked at again in April, once the ice has gone.", "", ""},
	{"Both ferry lines will go on running until the end of the month. Their 46 crew members have been offered work on the new pilot boats, and a spokesman for their union, Pavel Lind, called the offer fair.", "", ""},
	{"The bridge was built in 1961 and carries the only road between the harbour and the railway yard. Its designers expected 4,000 vehicles a day; the council now wants to know by next summer whether a second crossing is needed.", "", ""},
	{"Readers who cannot open this page: our stories may also be reached at two alternate addresses, " + second + " and " + outside + ".", "", ""},
}

// half is the first half of the article's parts.
func half() []part { return article[:len(article)/2] }

// altered is the article with one name exchanged.
func altered() []part {
	out := make([]part, len(article))
	for i, p := range article {
		p.Text = strings.ReplaceAll(p.Text, name, otherName)
		out[i] = p
	}
	return out
}

// text joins the paragraphs and captions of parts.
func text(parts []part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// story is another page of the site, short: a link's target and the teaser on the home page.
type story struct{ Path, Title, Teaser string }

var stories = []story{
	{"/Detail/2016/08/09/479101/Ferry-fares", "Ferry fares stay as they are until spring", "The port council has left the fares of both ferry lines unchanged; season tickets bought in June stay valid."},
	{"/Detail/2016/08/08/478987/Pilot-boats", "Three pilot boats arrive from the yard", "The boats, 19 metres long and painted orange, begin their trials in the outer harbour on Monday."},
	{"/Detail/2016/08/06/478640/Fish-market", "Fish market counts its losses", "Traders say that a summer of queues has cost them one customer in five, and ask for lower rents."},
}

// fixed are the pages behind the navigation and the footer.
var fixed = []story{
	{"/Section/World", "World", "Reports from other shores: harbours, rivers and the people who live by them."},
	{"/Section/Economy", "Economy", "Trade, wages, prices, and what the council makes of them."},
	{"/Section/Culture", "Culture", "Concerts in the customs house, the summer theatre, and the museum of the sea."},
	{"/About", "About us", "A small newsroom that exists only for a demonstration."},
	{"/Contact", "Contact", "Letters reach us by bottle, thrown in at the western landing on an outgoing tide."},
}
