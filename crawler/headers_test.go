package crawler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"mirrorwatch/crawler/survey"
)

// TestHeadersThatRulesNeedAreKept holds what an Observation keeps of a response head against the rules that look there.
func TestHeadersThatRulesNeedAreKept(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("compare", "rules", "rules.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Rules []struct{ ID, Where, Name string } `json:"rules"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range file.Rules {
		if r.Where != "header" {
			continue
		}
		n++
		kept := keptHeaders(&survey.Exchange{Header: []survey.Field{{Name: r.Name, Value: "a=b"}}})
		if kept[r.Name] == "" {
			t.Errorf("rule %s looks at the field %q, which no observation carries", r.ID, r.Name)
		}
	}
	if n == 0 {
		t.Error("no rule looks at headers")
	}
	kept := keptHeaders(&survey.Exchange{Header: []survey.Field{{Name: "Set-Cookie", Value: "session=secret; Path=/"}, {Name: "Set-Cookie", Value: "__ddg1_=x"}}})
	if got := kept["set-cookie"]; got != "session=; __ddg1_=" {
		t.Errorf("cookies are kept as %q", got)
	}
}
