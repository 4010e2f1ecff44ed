package sites

import (
	"encoding/json"
	"sort"
)

// Schema is the JSON schema of the sites file, for editors. It is made of the same tables as the reader, so that a key
// known here is known there; what a schema cannot say, such as that a vantage exists, only the reader says.
func Schema() []byte {
	type object = map[string]any
	text := object{"type": []string{"string", "number", "boolean"}}
	words := func(w ...string) object { return object{"enum": w} }
	listOf := func(item object) object {
		return object{"anyOf": []object{item, {"type": "array", "items": item}, {"type": "null"}}}
	}
	closed := func(props object, required ...string) object {
		o := object{"type": "object", "properties": props, "additionalProperties": false}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	setting := func(s *setting) object {
		o := object{"description": s.doc}
		item := object{"type": []string{"string", "number", "boolean", "null"}}
		switch {
		case s.words != nil:
			item = object{"enum": append(anyList(s.words), nil)}
		case s.boolean:
			item = object{"type": []string{"boolean", "null"}}
		case s.number:
			item = object{"type": []string{"integer", "null"}}
		}
		if s.list {
			o["anyOf"] = []object{item, {"type": "array", "items": item}}
			return o
		}
		for k, v := range item {
			o[k] = v
		}
		return o
	}
	defaults, site := object{}, object{}
	for i := range settings {
		s := &settings[i]
		for _, name := range []string{s.name, s.also} {
			if name == "" {
				continue
			}
			if s.name != "mirrors" {
				defaults[name] = setting(s)
			}
			if !s.run {
				site[name] = setting(s)
			}
		}
	}
	mirror := object{"anyOf": []object{{"type": "string"}, closed(object{"url": text, "contact": listOf(text)}, "url")}}
	site["primary"] = object{"type": "string", "description": "the site's own origin"}
	site["mirrors"], site["mirror"] = listOf(mirror), listOf(mirror)
	for _, k := range []string{"articles", "feeds", "sitemaps"} {
		site[k] = listOf(text)
	}
	site["newest"] = object{"type": []string{"integer", "null"}, "minimum": 1, "maximum": 100000}
	site["paths"] = listOf(closed(object{"from": text, "to": text, "mirror": text}, "from", "to"))
	site["rules"] = listOf(object{"anyOf": []object{{"type": "string"}, closed(object{"match": text, "status": object{"type": "object"}}, "match", "status")}})
	window := closed(object{"cron": text, "for": text, "zone": text}, "cron", "for")
	notice := closed(object{"url": text, "exec": listOf(text), "on": listOf(words("down", "degraded", "up", "unknown")), "sites": listOf(text),
		"quiet": listOf(window), "digest": object{"anyOf": []object{{"type": []string{"string", "null"}}, closed(object{"cron": text, "zone": text}, "cron")}}})
	doc := closed(object{
		"data": text, "contact": object{"type": []string{"string", "null"}}, "operator": object{"type": []string{"string", "null"}},
		"canaries": listOf(text), "defaults": closed(defaults),
		"vantages":  object{"type": "object", "additionalProperties": object{"anyOf": []object{closed(object{"resolver": text, "proxy": text, "source": text}), {"type": "null"}}}},
		"sites":     object{"type": "object", "minProperties": 1, "additionalProperties": closed(site, "primary")},
		"incidents": closed(object{"down_after": text, "up_after": text, "remind": text, "maintenance": listOf(window)}),
		"notify":    listOf(notice), "heartbeat": object{"type": []string{"string", "null"}},
		"retention": closed(object{"epoch": words("day", "week", "month", "year"), "raw": text, "hourly": text, "warc": text, "warc_bytes": text, "free_space": text}),
		"schedule":  object{"type": []string{"string", "null"}}, "public_url": object{"type": []string{"string", "null"}}, "replay_url": object{"type": []string{"string", "null"}},
	}, "sites")
	doc["$schema"], doc["title"] = "https://json-schema.org/draft/2020-12/schema", "mirrorwatch.yaml"
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // plain maps and strings
	}
	return append(b, '\n')
}

func anyList(words []string) []any {
	sorted := append([]string{}, words...)
	sort.Strings(sorted)
	var list []any
	for _, w := range sorted {
		list = append(list, w)
	}
	return list
}
