package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/content"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// text writes the article's text, or markdown: title, where it comes from, then the blocks.
func (r *restorer) text(ctx context.Context, w io.Writer, page *planned) error {
	res, err := r.a.Open(ctx, page.capture)
	if err != nil {
		return err
	}
	defer res.Payload.Close()
	b, err := r.read(page, res, min(r.opt.MaxFile, 64<<20))
	if err != nil {
		return err
	}
	contentType := res.Head.Get("Content-Type")
	name, _ := message.Charset(contentType, b)
	if t, err := message.ToUTF8(name, b); err == nil {
		b = t
	}
	p := content.Read(b, content.Options{URL: page.capture.URL, ContentType: contentType, Hosts: []survey.Host{r.snap.Mirror}})
	markdown := r.opt.As == AsMarkdown
	var out strings.Builder
	title := oneLine(p.Title)
	if title != "" {
		if markdown {
			out.WriteString("# " + escapeMarkdown(title) + "\n\n")
		} else {
			out.WriteString(title + "\n\n")
		}
	}
	where := page.capture.URL + "\ncaptured " + page.capture.Date.UTC().Format(time.RFC3339)
	if markdown {
		where = "<" + safeURLText(page.capture.URL) + ">, captured " + page.capture.Date.UTC().Format(time.RFC3339)
	}
	out.WriteString(where + "\n")
	for _, block := range p.Blocks {
		text := strings.TrimSpace(plainText(block.Text))
		if text == "" {
			continue
		}
		out.WriteByte('\n')
		if !markdown {
			out.WriteString(text + "\n")
			continue
		}
		lines := strings.Split(text, "\n")
		for i := range lines {
			lines[i] = escapeMarkdown(lines[i])
			if block.Quote {
				lines[i] = "> " + lines[i]
			}
		}
		if block.Heading {
			lines = []string{"## " + strings.Join(lines, " ")}
		}
		out.WriteString(strings.Join(lines, "\n") + "\n")
	}
	if len(p.Blocks) == 0 {
		why := p.Problem
		if why == "" {
			why = "no article text was found"
		}
		fmt.Fprintf(&out, "\n(%s)\n", oneLine(why))
		page.flags = append(page.flags, "no_text")
	}
	_, err = io.WriteString(w, out.String())
	return err
}

// plainText takes out what a terminal would obey.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}

func oneLine(s string) string { return strings.Join(strings.Fields(plainText(s)), " ") }

var markdownSpecial = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`,
	"#", `\#`, "|", `\|`, "!", `\!`, "~", `\~`)

func escapeMarkdown(s string) string { return markdownSpecial.Replace(plainText(s)) }

// subset writes the snapshot's records as a WARC of its own: members are copied as they are, so records keep their IDs
// and octets (W19), each with its request and metadata partners, and the originals of revisits (T3).
func (r *restorer) subset(ctx context.Context, w io.Writer) error {
	a := r.a
	if err := a.subsetInfo(w, r.order[0].file, "snapshot "+r.snap.Name()); err != nil {
		return err
	}
	done := map[survey.RecordID]bool{}
	for _, p := range r.order {
		if err := a.copyGroups(ctx, w, p.capture, done); err != nil {
			return fmt.Errorf("copying the records of %q: %w", p.url, err)
		}
	}
	return nil
}

// subsetInfo writes the warcinfo record that says what a subset came from.
func (a *Archive) subsetInfo(w io.Writer, file, what string) error {
	text := "software: " + fieldText(cmp.Or(a.opt.Tool.Name, "mirrorwatch")) + "\r\nformat: WARC File Format 1.1\r\n" +
		"description: subset of a mirrorwatch archive: " + fieldText(what) + "\r\n"
	var h warc.Header
	h.Add(warc.FieldType, warc.Warcinfo)
	h.SetID(warc.NewRecordID())
	h.SetDate(a.now())
	h.Add(warc.FieldFilename, fieldText(file))
	h.Add(warc.FieldContentType, "application/warc-fields")
	m, err := warc.NewEncoder(0).Encode(warc.Out{Header: h, Block: strings.NewReader(text), Size: int64(len(text)), Digest: true})
	if err != nil {
		return err
	}
	_, err = m.WriteTo(w)
	_ = m.Close()
	return err
}

// copyGroups copies a capture with its partners, the original of a revisit first.
func (a *Archive) copyGroups(ctx context.Context, w io.Writer, c survey.Capture, done map[survey.RecordID]bool) error {
	if done[c.RecordID] {
		return nil
	}
	done[c.RecordID] = true
	res, err := a.Open(ctx, c)
	if errors.Is(err, ErrNoOriginal) && c.Imported {
		return a.copyGroup(ctx, w, c) // whoever made it had no original either
	}
	if err != nil {
		return err
	}
	_ = res.Payload.Close()
	if res.Original != nil {
		if err := a.copyGroups(ctx, w, *res.Original, done); err != nil {
			return err
		}
	}
	return a.copyGroup(ctx, w, res.Capture)
}

// copyGroup copies the member of a capture and those behind it that are concurrent to it.
func (a *Archive) copyGroup(ctx context.Context, w io.Writer, c survey.Capture) error {
	f, members, err := a.group(ctx, c)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, m := range members {
		if _, err := io.Copy(w, io.NewSectionReader(f, m.offset, m.length)); err != nil {
			return err
		}
	}
	return nil
}

type memberAt struct {
	offset, length int64
	header         warc.Header
}

// group finds the member of a capture and those behind it that are concurrent to it. The caller closes the file.
func (a *Archive) group(ctx context.Context, c survey.Capture) (f *os.File, members []memberAt, err error) {
	if f, err = a.openWARC(c.File); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	r := warc.NewReader(io.NewSectionReader(f, c.Offset, 1<<62-c.Offset), warc.ReaderOptions{Offset: c.Offset})
	was := "" // what partners may call a record that was copied and changed
	for first := true; ; first = false {
		if err := ctx.Err(); err != nil {
			return f, nil, err
		}
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return f, nil, err
		}
		partner := false
		for _, id := range rec.Header.Values(warc.FieldConcurrentTo) {
			partner = partner || warc.Bare(id) == string(c.RecordID) || warc.Bare(id) == was
		}
		if !first && !partner {
			break
		}
		if err := rec.Close(); err != nil {
			return f, nil, err
		}
		if first {
			was = warc.Bare(rec.Header.Get(fieldPrevious))
		}
		if first && rec.Header.ID() != string(c.RecordID) {
			return f, nil, fmt.Errorf("at %d of %q: %w", c.Offset, c.File, ErrNotFound)
		}
		members = append(members, memberAt{rec.Offset, rec.Length, rec.Header.Clone()})
	}
	if len(members) == 0 {
		return f, nil, fmt.Errorf("at %d of %q: %w", c.Offset, c.File, ErrNotFound)
	}
	return f, members, nil
}
