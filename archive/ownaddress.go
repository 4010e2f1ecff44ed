package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"strings"

	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/message"
	"mirrorwatch/crawler/survey"
)

// OwnAddress is a record that tells the address it was fetched from: whoever publishes it says where the visitor sat.
type OwnAddress struct {
	URL      string          `json:"url"`
	Type     string          `json:"type"` // of the record
	RecordID survey.RecordID `json:"record_id"`
	File     string          `json:"file"`
	Offset   int64           `json:"offset"`
	Address  string          `json:"address"`
}

// How servers say a visitor's address back, where we do not know it ourselves.
var (
	addressField = regexp.MustCompile(`(?im)^(?:x-client-ip|x-real-ip|x-forwarded-for|true-client-ip|cf-connecting-ip|x-remote-addr|remote-addr|x-your-ip)[ \t]*:[ \t]*([0-9a-f.:]{3,45})`)
	addressText  = regexp.MustCompile(`(?i)(?:your|client|visitor)(?:'s)?(?:&nbsp;|[ _-])*ip(?:(?:&nbsp;|[ _-])*addr(?:ess)?)?(?:(?:&nbsp;|[\s"'=:]|is|<[^<>]*>))+([0-9a-f]{0,4}[.:][0-9a-f.:]{2,42})`)
)

// maxAddressScan is how much of a record is looked through.
const maxAddressScan = 8 << 20

// OwnAddresses lists the records of snapshots and captures that hold one of the addresses in own, or that say "your IP
// address is" with any public one. It reads heads and bodies, codings undone, with the notes beside them.
func (a *Archive) OwnAddresses(ctx context.Context, snaps []survey.Snapshot, more []survey.Capture, own []netip.Addr) ([]OwnAddress, error) {
	found := []OwnAddress{}
	done := map[survey.RecordID]bool{}
	var look func(c survey.Capture) error
	look = func(c survey.Capture) error {
		if done[c.RecordID] {
			return nil
		}
		done[c.RecordID] = true
		res, err := a.Open(ctx, c)
		switch {
		case errors.Is(err, ErrNoOriginal):
			res = &Resource{Capture: c}
		case err != nil:
			return err
		default:
			_ = res.Payload.Close()
		}
		if res.Original != nil {
			if err := look(*res.Original); err != nil {
				return err
			}
		}
		f, members, err := a.group(ctx, res.Capture)
		if err != nil {
			return err
		}
		defer f.Close()
		for _, m := range members {
			rec, err := warc.ReadRecordAt(f, m.offset, m.length)
			if err != nil {
				return err
			}
			b, _ := io.ReadAll(io.LimitReader(rec.Block, maxAddressScan)) // as far as it can be read
			answer := m.header.Type() == warc.Response || m.header.Type() == warc.Revisit
			if answer && isHTTPBlock(&m.header) {
				if r, err := message.Open(bytes.NewReader(b)); err == nil {
					text, _ := io.ReadAll(r.Decoded(maxAddressScan))
					b = append(b[:min(len(b), r.Head.Len)], text...)
				}
			}
			if addr := tellsAddress(b, own, answer); addr != "" {
				found = append(found, OwnAddress{m.header.TargetURI(), m.header.Type(), survey.RecordID(m.header.ID()), res.Capture.File, m.offset, addr})
			}
		}
		return nil
	}
	for _, s := range snaps {
		for _, c := range capturesOf(s) {
			if err := look(c); err != nil {
				return found, err
			}
		}
	}
	for _, c := range more {
		if err := look(c); err != nil {
			return found, err
		}
	}
	return found, nil
}

func tellsAddress(b []byte, own []netip.Addr, answer bool) string {
	for _, o := range own {
		if text := o.Unmap().WithZone("").String(); holdsAddress(b, text) {
			return text
		}
	}
	if !answer {
		return ""
	}
	for _, re := range []*regexp.Regexp{addressField, addressText} {
		for _, m := range re.FindAllSubmatch(b, 100) {
			if addr, err := netip.ParseAddr(strings.TrimRight(string(m[1]), ".:")); err == nil && addr.IsGlobalUnicast() && !addr.IsPrivate() {
				return addr.String()
			}
		}
	}
	return ""
}

// holdsAddress finds the address as a word of its own, in any case.
func holdsAddress(b []byte, addr string) bool {
	part := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c == ':' && strings.Contains(addr, ":")
	}
	for i := 0; ; {
		at := bytes.Index(b[i:], []byte(addr))
		if at < 0 {
			return false
		}
		at += i
		end := at + len(addr)
		before := at == 0 || !part(b[at-1]) && !(b[at-1] == '.' && at > 1 && part(b[at-2]))
		after := end == len(b) || !part(b[end]) && !(b[end] == '.' && end+1 < len(b) && b[end+1] >= '0' && b[end+1] <= '9')
		if before && after {
			return true
		}
		i = at + 1
	}
}
