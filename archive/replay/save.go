package replay

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"mirrorwatch/archive"
	"mirrorwatch/crawler/survey"
)

// packMark stands before the name of a snapshot whose package is asked for.
const packMark = "wacz/"

// savePath is the page that gives a snapshot away. A sandboxed page may start no download itself.
func savePath(s *shot, mark string) string {
	return "/save/" + mark + survey.Timestamp17(s.Time) + "." + shortID(s.ID) + "/" + quoteURL(s.URL)
}

// save answers below /save/: the page that offers a snapshot as a package, and below it the package. What cannot work here
// can in a program that runs archived scripts (archive-formats 5.4).
func (h *Handler) save(w http.ResponseWriter, r *http.Request, path string) {
	name, wanted := strings.CutPrefix(path, packMark)
	a, id, ok := parseShot(name)
	if !ok || a.mod != modPage {
		h.problem(w, r, http.StatusBadRequest, "This is no address of a snapshot.", "")
		return
	}
	packer, able := h.cfg.Archive.(Packer)
	s, err := h.load(r.Context(), id, a.url, a.at, false)
	switch {
	case err != nil:
		h.fail(w, r, a.url, err)
		return
	case s == nil || !able || plainURL(a.url) != plainURL(s.URL):
		h.fail(w, r, a.url, archive.ErrNotFound)
		return
	}
	file := survey.Timestamp17(s.Time) + "-" + fileWord(hostOf(s.URL)) + ".wacz"
	if !wanted {
		h.render(w, http.StatusOK, "save", map[string]any{"Title": "Save a snapshot", "URL": s.URL, "Time": s.Time, "File": file, "Path": savePath(s, packMark),
			"Snapshot": shotPath(s, modPage, s.URL), "Parts": len(s.Requisites), "Missing": len(s.LeftOut), "Name": s.Name()})
		return
	}
	select { // two at once: each reads the whole snapshot
	case h.packing <- struct{}{}:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	f, err := func() (*os.File, error) {
		defer func() { <-h.packing }()
		dir, err := os.MkdirTemp("", "mirrorwatch-save-*")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		to := filepath.Join(dir, "snapshot.wacz")
		if _, err := packer.ExportFile(r.Context(), to, []survey.Snapshot{s.Snapshot}, archive.ExportOptions{As: archive.AsWACZ, Title: s.URL}); err != nil {
			return nil, err
		}
		return os.Open(to)
	}()
	if err != nil {
		h.fail(w, r, a.url, err)
		return
	}
	defer f.Close()
	head := w.Header()
	head.Set("Content-Type", "application/wacz")
	head.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	head.Set("Cache-Control", "private, no-store")
	http.ServeContent(w, r, "", s.Time, f)
}

// fileWord keeps of a host what may stand in a file name and a header field.
func fileWord(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, s[:min(len(s), 100)])
}
