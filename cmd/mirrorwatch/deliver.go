package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mirrorwatch/archive/history"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
	"mirrorwatch/crawler/survey"
	"mirrorwatch/reports/notify"
)

const (
	maxTries  = 24              // of one notice, one a run
	maxJoined = 200             // notices told in one message
	maxApart  = 20              // messages of one run to a channel that gets each incident by itself; the rest waits for the next
	tellFor   = 2 * time.Minute // all deliveries of a run together
)

// channels are those of the file, the contacts of its mirrors included.
func channels(f *sites.File) []notify.Channel {
	if f == nil {
		return nil
	}
	var list []notify.Channel
	for _, n := range f.Notify {
		list = append(list, notify.Channel{URL: n.URL.Reveal(), Exec: n.Exec, On: n.On, Sites: n.Sites, Holds: n.Holds})
	}
	for _, s := range f.Sites {
		for _, m := range s.Survey(sites.Settings{}).Mirrors {
			for _, c := range s.Contacts[m.Host] {
				list = append(list, notify.Channel{URL: c.Reveal(), Mirror: m.Host, Site: s.Name, From: f.Contact})
			}
		}
	}
	return notify.Names(list)
}

// letter is what goes to a channel at once: all that waits for it, or for a channel that gets each incident by itself all
// that waits about one.
type letter struct {
	channel notify.Channel
	notices []history.Notice
}

// letters sorts what is due by channel, in the order of time. What a channel holds back (quiet hours, a digest that is yet
// to come) waits in history; when it goes out, it goes as one message. Notices of channels that the file names no more are
// ended.
func (b *bookkeeper) letters(ctx context.Context, due []history.Notice) ([]letter, error) {
	var all []letter
	open, apart := map[string]int{}, map[string]int{}
	for _, n := range due {
		c, ok := b.channel(n.Target)
		if !ok {
			if err := b.history.DropNotice(ctx, n.ID, b.now(), "the sites file names this channel no more"); err != nil {
				return nil, err
			}
			continue
		}
		if c.Holds != nil && c.Holds(n.Created, b.now()) {
			continue
		}
		key := n.Target
		if c.Separate() {
			key += "\x00" + n.Incident
		}
		at, ok := open[key]
		if !ok || len(all[at].notices) == maxJoined {
			if apart[n.Target] == maxApart {
				continue
			}
			if c.Separate() {
				apart[n.Target]++
			}
			at = len(all)
			open[key] = at
			all = append(all, letter{channel: c})
		}
		all[at].notices = append(all[at].notices, n)
	}
	return all, nil
}

// deliver sends what is due: what this run has to say, and what earlier ones held back or could not send. The intent is on
// disk before a message goes out, so that a process that dies in between leaves a delivery that is unknown, and not one
// that is made twice. Failures are kept for the next run and are no error of this one.
func (b *bookkeeper) deliver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	if n, err := b.history.AbandonNotices(ctx, b.now()); err != nil {
		return err
	} else if n > 0 {
		b.warn(fmt.Sprintf("delivery unknown of %d notices: the process ended while they were sent; `mirrorwatch incidents` shows them", n))
	}
	due, err := b.history.DueNotices(ctx, b.now(), maxTries)
	if err != nil {
		return err
	}
	list, err := b.letters(ctx, due)
	if err != nil {
		return err
	}
	failures := map[string]int{}
	for _, l := range list {
		if failures[l.channel.Name] >= 2 || ctx.Err() != nil {
			continue // it stays due
		}
		var ids []string
		for _, n := range l.notices {
			ids = append(ids, n.ID)
		}
		b.at("claim")
		mine, err := b.history.ClaimNotices(ctx, ids, b.now())
		if err != nil {
			return err
		}
		var events []survey.IncidentEvent
		for _, n := range l.notices {
			if !mine[n.ID] {
				continue
			}
			var more []survey.IncidentEvent
			if err := json.Unmarshal(n.Doc, &more); err != nil {
				return fmt.Errorf("reading notice %s: %w", n.ID, err)
			}
			events = append(events, more...)
		}
		if len(mine) == 0 {
			continue
		}
		b.at("send")
		err = b.send(ctx, l.channel, notify.Joined(events))
		b.at("sent")
		state, problem := history.NoticeSent, ""
		if err != nil {
			state, problem = history.NoticeFailed, err.Error()
			var se *notify.SendError
			if errors.As(err, &se) && se.Unknown {
				state, problem = history.NoticeUnknown, "delivery unknown: "+problem
			}
			failures[l.channel.Name]++
			b.warn(fmt.Sprintf("notice to %s: %s", l.channel.Name, problem))
		}
		if err := b.history.FinishNotices(context.WithoutCancel(ctx), mine, b.now(), state, problem, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func (b *bookkeeper) channel(name string) (notify.Channel, bool) {
	for _, c := range b.channels {
		if c.Name == name {
			return c, true
		}
	}
	return notify.Channel{}, false
}
