package warc

import (
	"bytes"
	"fmt"
	"testing"
)

// three returns three records and where each ends, compressed or not.
func three(t testing.TB, zip bool) (data []byte, ends []int) {
	for i, block := range [][]byte{
		[]byte("software: test\r\n"),
		append(page(1, 600), "and a line\r\n\r\nthat ends a record\r\n\r\n"...),
		[]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
	} {
		o := newOut([]string{Warcinfo, Response, Response}[i], block)
		o.Header.SetID(fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-00000000000%d", i))
		if zip {
			data = append(data, encode(t, o)...)
		} else {
			data = append(data, plainRecord(t, o)...)
		}
		ends = append(ends, len(data))
	}
	return data, ends
}

func same(a, b seen) bool {
	return a.header == b.header && a.block == b.block && a.err == nil && b.err == nil
}

// A file of three records cut at every octet: the records before the cut are read whole, and unless the cut falls between
// records a finding says so.
func TestCutAtEveryOctet(t *testing.T) {
	for _, zip := range []bool{false, true} {
		data, ends := three(t, zip)
		whole, findings := readAll(t, bytes.NewReader(data))
		if len(whole) != 3 || len(findings) > 0 {
			t.Fatal(len(whole), findings)
		}
		for cut := range data {
			records, findings := readAll(t, bytes.NewReader(data[:cut]))
			complete := 0
			for complete < 3 && ends[complete] <= cut {
				complete++
			}
			between := cut == 0 || (complete > 0 && ends[complete-1] == cut)
			if len(records) < complete {
				t.Fatalf("zip %v, cut at %d: %d records of %d", zip, cut, len(records), complete)
			}
			for i := range complete {
				if !same(records[i], whole[i]) {
					t.Fatalf("zip %v, cut at %d: record %d differs", zip, cut, i)
				}
			}
			if between != (len(findings) == 0) {
				t.Fatalf("zip %v, cut at %d: findings %v", zip, cut, findings)
			}
			if between && len(records) != complete {
				t.Fatalf("zip %v, cut at %d: %d records", zip, cut, len(records))
			}
		}
	}
}

// Every octet of the file flipped, several ways: a finding or equal content, and the records the flip did not touch are read.
func TestFlipEveryOctet(t *testing.T) {
	for _, zip := range []bool{false, true} {
		data, ends := three(t, zip)
		whole, _ := readAll(t, bytes.NewReader(data))
		bad := bytes.Clone(data)
		for i := range data {
			for _, mask := range []byte{1, 8, 32, 128, 255} {
				bad[i] ^= mask
				records, findings := readAll(t, bytes.NewReader(bad))
				hit := 0
				for ends[hit] <= i {
					hit++
				}
				for j := range whole {
					found := false
					for _, r := range records {
						// A header that is not compressed has no checksum of its own.
						found = found || same(r, whole[j]) || (!zip && j == hit && r.block == whole[j].block)
					}
					if !found && j != hit {
						t.Fatalf("zip %v, octet %d ^ %02x: record %d is gone, record %d was hit: %v", zip, i, mask, j, hit, findings)
					}
					if !found && len(findings) == 0 {
						t.Fatalf("zip %v, octet %d ^ %02x: record %d differs silently", zip, i, mask, j)
					}
				}
				if len(records) > 3 && len(findings) == 0 {
					t.Fatalf("zip %v, octet %d ^ %02x: %d records", zip, i, mask, len(records))
				}
				bad[i] ^= mask
			}
		}
	}
}
