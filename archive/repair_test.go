package archive

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mirrorwatch/crawler/survey"
)

// After Repair verify is content, the original is there still, and what was whole opens by its old Capture.
func TestRepair(t *testing.T) {
	const name = "202611-r-00001"
	for _, file := range []string{"archive/" + name + ".warc.gz", "indexes/" + name + ".cdxj", "indexes/" + name + ".digests", manifestFile, "format"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			a := writer(t, dir, Options{Run: "r"})
			var cs []survey.Capture
			for i := range 3 {
				cs = append(cs, must[survey.Capture](t)(a.Put(t.Context(), exchange(t, fmt.Sprintf("http://a.test/%d", i), page(fmt.Sprint("text ", i))))))
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			p := filepath.Join(dir, file)
			b, _ := os.ReadFile(p)
			damaged := bytes.Clone(b)
			if file == "archive/"+name+".warc.gz" {
				damaged[cs[1].Offset+cs[1].Length/2] ^= 0x55
			} else {
				damaged[len(b)/2] ^= 0x55
			}
			os.WriteFile(p, damaged, 0o666)
			report, err := Repair(t.Context(), dir, Options{Run: "fix"})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Actions) == 0 {
				t.Error("nothing done")
			}
			verifyOK(t, dir)
			kept, err := os.ReadFile(p + damagedSuffix)
			if err != nil || !bytes.Equal(kept, damaged) {
				t.Errorf("original: %v; %+v", err, report)
			}
			r := reader(t, dir)
			for i, c := range cs {
				if i == 1 && file == "archive/"+name+".warc.gz" {
					continue
				}
				if got := body(t, r, c); got != fmt.Sprint("text ", i) {
					t.Errorf("capture %d: %q", i, got)
				}
			}
			if report, err = Repair(t.Context(), dir, Options{Run: "fix2"}); err != nil || len(report.Actions) > 0 {
				t.Errorf("again: %+v %v", report, err)
			}
		})
	}
}
