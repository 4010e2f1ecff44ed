package warc

import (
	"bytes"
	"compress/flate"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// samples are records as the archive writes them, one a file; hosts and IDs are made up.
func samples(t testing.TB) (list [][]byte) {
	names, _ := filepath.Glob("testdata/short/*.txt")
	if len(names) == 0 {
		t.Fatal("testdata/short holds no sample")
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

// TestShortTable holds the committed codes beside those that the samples give.
func TestShortTable(t *testing.T) {
	var p shortPacker
	literal, distance := make([]int, litCodes), make([]int, distCodes)
	for i := range literal {
		literal[i] = 1 // whatever comes has a code
	}
	for i := range distance {
		distance[i] = 1
	}
	for _, s := range samples(t) {
		for _, k := range p.find(s) {
			if k < 256 {
				literal[k] += 16
				continue
			}
			literal[257+int(shortLength[k>>16-3].symbol)] += 16
			d, _ := distanceCode(int(k & 0xffff))
			distance[d] += 16
		}
		literal[endOfBlock] += 16
	}
	var b strings.Builder
	b.WriteString("package warc\n\n// The lengths of the codes of [shortPacker], made from testdata/short by TestShortTable -update.\nvar (\n")
	for _, table := range []struct {
		name string
		list []uint8
	}{{"shortLiteralLengths = [litCodes]uint8", codeLengths(literal, 15)}, {"shortDistanceLengths = [distCodes]uint8", codeLengths(distance, 15)}} {
		b.WriteString(table.name + "{")
		for i, n := range table.list {
			if i%32 == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "%d, ", n)
		}
		b.WriteString("\n}\n")
	}
	b.WriteString(")\n")
	want, err := format.Source([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("short_table.go", want, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile("short_table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("short_table.go is not what the samples give: run with -update")
	}
}

func unpack(t testing.TB, packed []byte) []byte {
	t.Helper()
	r := bytes.NewReader(packed)
	got, err := io.ReadAll(flate.NewReader(r))
	if err != nil {
		t.Fatalf("%d octets packed: %v", len(packed), err)
	}
	if r.Len() != 0 {
		t.Fatalf("%d octets behind the last block", r.Len())
	}
	return got
}

// Whatever is packed comes out as it was, by another's reader.
func TestShortPacker(t *testing.T) {
	var p shortPacker
	list := samples(t)
	all := bytes.Join(list, nil)
	for n := 0; n <= 300; n++ {
		list = append(list, all[:n], bytes.Repeat([]byte{'a'}, n), bytes.Repeat([]byte{0, 0xff, 3}, n))
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	list = append(list, every, bytes.Repeat(every, 16), all[:shortLimit], bytes.Repeat([]byte{0}, shortLimit))
	for _, s := range list {
		if got := unpack(t, p.pack(nil, s)); !bytes.Equal(got, s) {
			t.Fatalf("%q became %q", s, got)
		}
	}
}

// The samples are packed about as small as a general compressor packs them.
func TestShortSize(t *testing.T) {
	var p shortPacker
	ours, theirs := 0, 0
	for _, s := range samples(t) {
		ours += len(p.pack(nil, s))
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		w.Write(s)
		w.Close()
		theirs += b.Len()
	}
	t.Logf("%d octets, by a general compressor %d", ours, theirs)
	if float64(ours) > 1.1*float64(theirs) {
		t.Errorf("%d octets, by a general compressor %d", ours, theirs)
	}
}

func FuzzShort(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s)
	}
	var p shortPacker
	f.Fuzz(func(t *testing.T, s []byte) {
		s = s[:min(len(s), shortLimit)]
		if got := unpack(t, p.pack(nil, s)); !bytes.Equal(got, s) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}
