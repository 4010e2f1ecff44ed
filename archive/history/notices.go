package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mirrorwatch/crawler/survey"
)

// Track is the memory of one mirror, or of one article on a mirror, between runs. Doc belongs to the package that reckons
// incidents.
type Track struct {
	ID  string
	Doc json.RawMessage
}

// Tracks returns all tracks by their IDs.
func (db *DB) Tracks(ctx context.Context) ([]Track, error) {
	var all []Track
	err := db.each(ctx, "reading tracks", `SELECT id, doc FROM tracks ORDER BY id`, nil, func(rows *sql.Rows) error {
		var t Track
		var doc string
		if err := rows.Scan(&t.ID, &doc); err != nil {
			return err
		}
		t.Doc = json.RawMessage(doc)
		all = append(all, t)
		return nil
	})
	return all, err
}

// Evaluation is what one run did to the incidents.
type Evaluation struct {
	Run       survey.RunID
	At        time.Time
	Tracks    []Track              // new or changed
	Gone      []string             // IDs of tracks to forget
	Incidents []survey.IncidentRow // new or changed; Doc filled
	Dropped   []string             // IDs of suspicions that came to nothing: forgotten, their observations stay
	Notices   []Notice             // to be sent: pending
}

// NoticeState is where a notice stands. Sent and unknown are final; a failed one is tried again while tries are left.
type NoticeState string

const (
	NoticePending NoticeState = "pending"
	NoticeSending NoticeState = "sending" // the intent is written; whether it went out is not known yet
	NoticeSent    NoticeState = "sent"
	NoticeFailed  NoticeState = "failed"
	// NoticeUnknown: the process ended between the intent and the answer. It is not sent again, as it may have arrived.
	NoticeUnknown NoticeState = "unknown"
)

// Notice is one message to one target.
type Notice struct {
	ID       string       `json:"id"`
	Incident string       `json:"incident"` // of several incidents in one message: the first
	Run      survey.RunID `json:"run"`
	Kind     string       `json:"kind"`
	Target   string       `json:"target"` // name of the channel, without secrets
	Created  time.Time    `json:"created"`
	Due      time.Time    `json:"due"` // not to be sent before
	State    NoticeState  `json:"state"`
	Tries    int          `json:"tries"`
	Started  *time.Time   `json:"started"`
	Finished *time.Time   `json:"finished"`
	Error    string       `json:"error"`
	// Doc is what is to be said; it belongs to the sender.
	Doc json.RawMessage `json:"doc,omitempty"`
}

// SaveEvaluation writes all that a run did to the incidents in one transaction, with the notices that must go out: either
// an event is on record together with its notices, or neither. fresh is false when the run was evaluated before; then
// nothing is written. Acknowledgements made meanwhile are kept.
func (db *DB) SaveEvaluation(ctx context.Context, e Evaluation) (fresh bool, err error) {
	err = db.tx(ctx, "saving incidents of run "+string(e.Run), func(t *tx) error {
		n, err := t.exec(ctx, `INSERT INTO evaluations (run, at) VALUES ($1, $2) ON CONFLICT (run) DO NOTHING`, string(e.Run), micros(e.At))
		if err != nil || n == 0 {
			return err
		}
		fresh = true
		for _, tr := range e.Tracks {
			if _, err := t.exec(ctx, `INSERT INTO tracks (id, doc) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc`, tr.ID, string(tr.Doc)); err != nil {
				return fmt.Errorf("track %q: %w", tr.ID, err)
			}
		}
		for _, id := range e.Gone {
			if _, err := t.exec(ctx, `DELETE FROM tracks WHERE id = $1`, id); err != nil {
				return fmt.Errorf("track %q: %w", id, err)
			}
		}
		for _, in := range e.Incidents {
			if err := putIncident(ctx, t, in); err != nil {
				return fmt.Errorf("incident %s: %w", in.ID, err)
			}
		}
		for _, id := range e.Dropped {
			if _, err := t.exec(ctx, `DELETE FROM incidents WHERE id = $1 AND opened IS NULL`, id); err != nil {
				return fmt.Errorf("incident %s: %w", id, err)
			}
		}
		for _, n := range e.Notices {
			if _, err := t.exec(ctx, `INSERT INTO notices (id, incident, run, kind, target, created, due, state, doc)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8) ON CONFLICT (id) DO NOTHING`,
				n.ID, n.Incident, string(e.Run), n.Kind, n.Target, micros(e.At), dueMicros(n.Due), string(n.Doc)); err != nil {
				return fmt.Errorf("notice %s: %w", n.ID, err)
			}
		}
		return nil
	})
	return fresh && err == nil, err
}

func dueMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return micros(t)
}

func putIncident(ctx context.Context, t *tx, in survey.IncidentRow) error {
	doc := string(in.Doc)
	if doc == "" {
		doc = "{}"
	}
	_, err := t.exec(ctx, `INSERT INTO incidents (id, site, mirror, vantage, article, cause, state, started, opened, closed, acked, acked_by, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (id) DO UPDATE SET vantage = excluded.vantage, cause = excluded.cause, state = excluded.state, opened = excluded.opened, closed = excluded.closed,
			acked = COALESCE(excluded.acked, incidents.acked),
			acked_by = CASE WHEN excluded.acked IS NULL THEN incidents.acked_by ELSE excluded.acked_by END, doc = excluded.doc`,
		in.ID, in.Site, string(in.Mirror), in.Vantage, in.Article, in.Cause, in.State, micros(in.Started),
		microsPtr(in.Opened), microsPtr(in.Closed), microsPtr(in.Acked), in.AckedBy, doc)
	return err
}

// Evaluated reports whether the run's incidents were reckoned.
func (db *DB) Evaluated(ctx context.Context, run survey.RunID) (bool, error) {
	var n int
	if err := db.sql.QueryRowContext(ctx, `SELECT COUNT(*) FROM evaluations WHERE run = $1`, string(run)).Scan(&n); err != nil {
		return false, fmt.Errorf("asking for run %s: %w", run, err)
	}
	return n > 0, nil
}

// AbandonNotices ends notices whose sending was begun by a process that did not live to write down the answer: their
// delivery is unknown, and they are not sent again. Call it under the data folder's lock, before sending.
func (db *DB) AbandonNotices(ctx context.Context, now time.Time) (n int64, err error) {
	err = db.sql.QueryRowContext(ctx, `SELECT COUNT(*) FROM notices WHERE state = 'sending'`).Scan(&n)
	if err != nil || n == 0 {
		return n, err // most runs need not write for this
	}
	err = db.tx(ctx, "ending unfinished notices", func(t *tx) error {
		n, err = t.exec(ctx, `UPDATE notices SET state = 'unknown', finished = $1, error = 'delivery unknown: the process ended while it was sent' WHERE state = 'sending'`, micros(now))
		return err
	})
	return n, err
}

// DueNotices returns the notices that are to be sent now, oldest first: pending ones, and failed ones with fewer than
// maxTries tries.
func (db *DB) DueNotices(ctx context.Context, now time.Time, maxTries int) ([]Notice, error) {
	return db.notices(ctx, `WHERE due <= $1 AND (state = 'pending' OR state = 'failed' AND tries < $2) ORDER BY created, id LIMIT 10000`, micros(now), maxTries)
}

// Notices returns the notices of an incident, or all when it is empty, newest first; limit 0 is 1000.
func (db *DB) Notices(ctx context.Context, incident string, limit int) ([]Notice, error) {
	if limit <= 0 {
		limit = 1000
	}
	return db.notices(ctx, `WHERE ($1 = '' OR incident = $1) ORDER BY created DESC, id LIMIT $2`, incident, limit)
}

func (db *DB) notices(ctx context.Context, where string, args ...any) ([]Notice, error) {
	var all []Notice
	err := db.each(ctx, "reading notices", `SELECT id, incident, run, kind, target, created, due, state, tries, started, finished, error, doc FROM notices `+where, args, func(rows *sql.Rows) error {
		var n Notice
		var created, due int64
		var started, finished sql.NullInt64
		var doc string
		if err := rows.Scan(&n.ID, &n.Incident, &n.Run, &n.Kind, &n.Target, &created, &due, &n.State, &n.Tries, &started, &finished, &n.Error, &doc); err != nil {
			return err
		}
		n.Created, n.Started, n.Finished, n.Doc = moment(created), momentPtr(started), momentPtr(finished), json.RawMessage(doc)
		if due != 0 {
			n.Due = moment(due)
		}
		all = append(all, n)
		return nil
	})
	return all, err
}

// ClaimNotice is ClaimNotices for one.
func (db *DB) ClaimNotice(ctx context.Context, id string, now time.Time) (bool, error) {
	mine, err := db.ClaimNotices(ctx, []string{id}, now)
	return mine[id], err
}

// ClaimNotices writes the intent to send and commits it, to disk: only what it returned may go out. Notices that were sent
// or claimed already are left out.
func (db *DB) ClaimNotices(ctx context.Context, ids []string, now time.Time) (map[string]bool, error) {
	mine := map[string]bool{}
	err := db.tx(ctx, fmt.Sprintf("claiming %d notices", len(ids)), func(t *tx) error {
		for _, id := range ids {
			n, err := t.exec(ctx, `UPDATE notices SET state = 'sending', started = $2, tries = tries + 1, error = '' WHERE id = $1 AND state IN ('pending', 'failed')`, id, micros(now))
			if err != nil {
				return err
			}
			if n == 1 {
				mine[id] = true
			}
		}
		return nil
	})
	if err != nil || len(mine) == 0 {
		return nil, err
	}
	// With synchronous=normal a commit may still be in memory when the power fails; a checkpoint puts it on the disk.
	if _, err := db.sql.ExecContext(ctx, `PRAGMA wal_checkpoint(FULL)`); err != nil {
		return nil, fmt.Errorf("claiming %d notices: %w", len(mine), err)
	}
	return mine, nil
}

// FinishNotice is FinishNotices for one.
func (db *DB) FinishNotice(ctx context.Context, id string, now time.Time, state NoticeState, problem string, due time.Time) error {
	return db.FinishNotices(ctx, map[string]bool{id: true}, now, state, problem, due)
}

// FinishNotices writes down how sending ended. state is sent, failed (to be tried again) or unknown; problem is shown to the
// user and must hold no secret. due is when failed ones may be tried again at the earliest.
func (db *DB) FinishNotices(ctx context.Context, ids map[string]bool, now time.Time, state NoticeState, problem string, due time.Time) error {
	return db.tx(ctx, fmt.Sprintf("finishing %d notices", len(ids)), func(t *tx) error {
		for id := range ids {
			n, err := t.exec(ctx, `UPDATE notices SET state = $2, finished = $3, error = $4, due = $5 WHERE id = $1 AND state = 'sending'`,
				id, string(state), micros(now), problem, dueMicros(due))
			if err == nil && n != 1 {
				err = fmt.Errorf("notice %s was not being sent", id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DropNotice ends a notice that can no longer be sent, because its channel is gone.
func (db *DB) DropNotice(ctx context.Context, id string, now time.Time, problem string) error {
	return db.tx(ctx, "dropping notice "+id, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE notices SET state = 'failed', tries = 1000, finished = $2, error = $3 WHERE id = $1 AND state IN ('pending', 'failed')`, id, micros(now), problem)
		return err
	})
}

// ErrNoIncident says that no incident, or more than one, has an ID that begins so.
var ErrNoIncident = errors.New("no such incident")

// Ack acknowledges the incident whose ID begins with prefix: it is reminded of no more. Acknowledging again changes
// nothing. The incident's document and its track are brought up to date too.
func (db *DB) Ack(ctx context.Context, prefix, by string, at time.Time) (in survey.IncidentRow, err error) {
	err = db.tx(ctx, "acknowledging incident "+prefix, func(t *tx) error {
		var ids []string
		rows, err := t.QueryContext(ctx, `SELECT id FROM incidents WHERE substr(id, 1, length($1)) = $1 ORDER BY id LIMIT 2`, prefix)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		switch {
		case prefix == "" || len(ids) == 0:
			return ErrNoIncident
		case len(ids) > 1 && ids[0] != prefix:
			return fmt.Errorf("%w: more than one begins so", ErrNoIncident)
		}
		var doc, track string
		var acked sql.NullInt64
		if _, err := t.row(ctx, `SELECT doc, acked, site || ' ' || mirror || ' ' || article FROM incidents WHERE id = $1`, []any{ids[0]}, []any{&doc, &acked, &track}); err != nil {
			return err
		}
		if !acked.Valid {
			if doc, err = withAck(doc, nil, at, by); err != nil {
				return err
			}
			if _, err := t.exec(ctx, `UPDATE incidents SET acked = $2, acked_by = $3, doc = $4 WHERE id = $1`, ids[0], micros(at), by, doc); err != nil {
				return err
			}
			var text string
			found, err := t.row(ctx, `SELECT doc FROM tracks WHERE id = $1`, []any{track}, []any{&text})
			if err != nil {
				return err
			}
			if found {
				if text, err = withAck(text, &ids[0], at, by); err != nil {
					return err
				}
				if _, err := t.exec(ctx, `UPDATE tracks SET doc = $2 WHERE id = $1`, track, text); err != nil {
					return err
				}
			}
		}
		in, err = readIncident(ctx, t, ids[0])
		return err
	})
	return in, err
}

// withAck sets acked and acked_by of an incident's document, or of the incident with this ID inside a track's.
func withAck(doc string, inside *string, at time.Time, by string) (string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		return "", err
	}
	if inside != nil {
		var in struct {
			ID string `json:"id"`
		}
		if raw := m["incident"]; len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &in) != nil || in.ID != *inside {
			return doc, nil
		}
		text, err := withAck(string(m["incident"]), nil, at, by)
		if err != nil {
			return "", err
		}
		m["incident"] = json.RawMessage(text)
	} else {
		m["acked"], _ = json.Marshal(at.UTC())
		m["acked_by"], _ = json.Marshal(by)
	}
	b, err := json.Marshal(m)
	return string(b), err
}

func readIncident(ctx context.Context, t *tx, id string) (in survey.IncidentRow, err error) {
	var started int64
	var opened, closed, acked sql.NullInt64
	var doc string
	_, err = t.row(ctx, `SELECT id, site, mirror, vantage, article, cause, state, started, opened, closed, acked, acked_by, doc FROM incidents WHERE id = $1`, []any{id},
		[]any{&in.ID, &in.Site, &in.Mirror, &in.Vantage, &in.Article, &in.Cause, &in.State, &started, &opened, &closed, &acked, &in.AckedBy, &doc})
	in.Started, in.Opened, in.Closed, in.Acked, in.Doc = moment(started), momentPtr(opened), momentPtr(closed), momentPtr(acked), json.RawMessage(doc)
	return in, err
}
