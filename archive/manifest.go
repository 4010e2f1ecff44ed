package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/crawler/survey"
)

// manifestMu guards the manifest of any one archive in this process: several series may seal at once.
var manifestMu sync.Mutex

// readManifest returns the digests of sealed files by their base names.
func (a *Archive) readManifest() (map[string]string, error) {
	return readManifest(a.path(manifestFile))
}

func readManifest(path string) (map[string]string, error) {
	sums := map[string]string{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sums, nil
	}
	if err != nil {
		return nil, err
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		sum, name, ok := strings.Cut(sc.Text(), "  ")
		name, in := strings.CutPrefix(name, archiveDir+"/")
		if ok && in && len(sum) == 64 {
			sums[name] = sum
		}
	}
	return sums, sc.Err()
}

// addToManifest enters files into manifest-sha256.txt, which `sha256sum -c` reads from within the data folder (I5).
func (a *Archive) addToManifest(add map[string]string) error {
	if len(add) == 0 {
		return nil
	}
	manifestMu.Lock()
	defer manifestMu.Unlock()
	path := a.path(manifestFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text, ok := insertSums(old, add); ok {
		return writeError("write", path, durable.WriteFile(a.fs, path, text, 0o666))
	}
	sums, err := readManifest(path)
	if err != nil {
		return err
	}
	maps.Copy(sums, add)
	return a.writeManifest(sums)
}

// insertSums puts lines for new files into a manifest as it is written here, sorted by name: a year of runs seals
// thousands of files, each with one line more. ok is false when the text is another one, or names one of the files already.
func insertSums(text []byte, add map[string]string) (out []byte, ok bool) {
	names := slices.Sorted(maps.Keys(add))
	line := func(name string) {
		out = append(append(append(append(out, add[name]...), manifestMiddle...), name...), '\n')
	}
	out = make([]byte, 0, len(text)+len(add)*160)
	var last []byte
	from := 0 // of what is not copied yet
	for at := 0; at < len(text); {
		n := bytes.IndexByte(text[at:], '\n')
		if n < 64+len(manifestMiddle) || string(text[at+64:at+64+len(manifestMiddle)]) != manifestMiddle {
			return nil, false
		}
		name := text[at+64+len(manifestMiddle) : at+n]
		if bytes.Compare(last, name) >= 0 {
			return nil, false
		}
		for len(names) > 0 && names[0] <= string(name) {
			if names[0] == string(name) {
				return nil, false
			}
			out = append(out, text[from:at]...)
			from = at
			line(names[0])
			names = names[1:]
		}
		last = name
		at += n + 1
	}
	out = append(out, text[from:]...)
	for _, name := range names {
		line(name)
	}
	return out, true
}

// manifestMiddle stands between digest and name in a line of the manifest.
const manifestMiddle = "  " + archiveDir + "/"

func (a *Archive) writeManifest(sums map[string]string) error {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		b.WriteString(sums[name] + "  " + archiveDir + "/" + name + "\n")
	}
	return writeError("write", a.path(manifestFile), durable.WriteFile(a.fs, a.path(manifestFile), b.Bytes(), 0o666))
}

// unlist takes files out of the manifest. Sealing only adds lines, so a manifest that loses some is the one thing that could
// not be told from the newer one: it is kept beside it under the time of the change (I5).
func (a *Archive) unlist(names ...string) error {
	manifestMu.Lock()
	defer manifestMu.Unlock()
	old, err := os.ReadFile(a.path(manifestFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sums, err := a.readManifest()
	if err != nil {
		return err
	}
	if loses := slices.ContainsFunc(names, func(n string) bool { return sums[n] != "" }); loses {
		kept := a.path(manifestFile + "." + survey.Timestamp17(a.opt.Now()))
		if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
			if err := durable.WriteFile(a.fs, kept, old, 0o666); err != nil {
				return writeError("write", kept, err)
			}
		}
	}
	maps.DeleteFunc(sums, func(n, _ string) bool { return slices.Contains(names, n) })
	return a.writeManifest(sums)
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
