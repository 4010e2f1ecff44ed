// Package history is the memory of mirrorwatch between runs: one SQLite file that says what was judged, when a state
// began, which snapshots and requisites there are, and how often a mirror was up. It is the only package that speaks SQL.
//
// The archive stays the evidence: history can be built again from it. So history is written after the archive's Commit,
// one transaction per Check, and what repeats is kept as intervals (first seen, last seen) and counts by hour and day
// rather than as a row per run. A reader needs no lock and no right to write.
package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of Open. The zero value opens for writing and logs nothing.
type Options struct {
	ReadOnly bool         // never writes, not even beside the file; works in a folder that cannot be written
	Log      *slog.Logger // nil: silent
}

// ErrNewerSchema says that a newer mirrorwatch has written the file. Nothing was changed.
type ErrNewerSchema struct {
	Path       string
	Have, Want int // schema of the file, newest schema known here
}

func (e *ErrNewerSchema) Error() string {
	return fmt.Sprintf("%q has history schema %d, this mirrorwatch knows %d: use the newer version that wrote it", e.Path, e.Have, e.Want)
}

// ErrNoHistory says that there is no history to read yet.
var ErrNoHistory = errors.New("no history yet: run `mirrorwatch check` first")

// DB is an open history. Its methods may be called from several goroutines; writers are served one after the other.
type DB struct {
	sql      *sql.DB
	path     string
	readOnly bool
	log      *slog.Logger

	writing sync.Mutex // one transaction of ours at a time, so that waiting for the file's lock means another process
	mu      sync.Mutex // guards stmts
	stmts   map[string]*sql.Stmt
}

// Open opens the history at path, and makes or migrates it unless it is to be read only. A file of an older schema is
// copied to path + ".schema-N" before it is migrated. A newer one is *ErrNewerSchema; a missing one, read only,
// ErrNoHistory.
func Open(path string, opt Options) (*DB, error) {
	log := opt.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return nil, fmt.Errorf("opening history %q: it is a folder", path)
	case errors.Is(err, fs.ErrNotExist) && opt.ReadOnly:
		return nil, fmt.Errorf("opening history %q: %w", path, ErrNoHistory)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("opening history: %w", err)
	}
	if opt.ReadOnly {
		return openReader(path, log)
	}
	pool, version, err := connect(path, "mode=rwc&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-16000)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db := &DB{sql: pool, path: path, log: log, stmts: map[string]*sql.Stmt{}}
	if err := db.migrate(context.Background(), version); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// openReader opens without writing. In a folder that cannot be written SQLite has no place for the shared memory of its
// WAL; then the file is taken as immutable, which is right as nobody could be writing it there.
func openReader(path string, log *slog.Logger) (*DB, error) {
	const pragmas = "&_pragma=busy_timeout(5000)&_pragma=query_only(1)"
	pool, version, err := connect(path, "mode=ro"+pragmas)
	if err != nil {
		var again error
		if pool, version, again = connect(path, "mode=ro&immutable=1"+pragmas); again != nil {
			return nil, errors.Join(err, again)
		}
		log.Debug("history opened as immutable", "path", path, "why", err)
	}
	switch newest := newestSchema(); {
	case version == 0:
		return nil, errors.Join(fmt.Errorf("opening history %q: %w", path, ErrNoHistory), pool.Close())
	case version > newest:
		return nil, errors.Join(&ErrNewerSchema{path, version, newest}, pool.Close())
	case version < newest:
		return nil, errors.Join(fmt.Errorf("history %q has schema %d and must be migrated to %d first: run `mirrorwatch check`", path, version, newest), pool.Close())
	}
	return &DB{sql: pool, path: path, readOnly: true, log: log, stmts: map[string]*sql.Stmt{}}, nil
}

// connect opens the pool and reads the schema's number, which also proves that the file is a database.
func connect(path, query string) (*sql.DB, int, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening history: %w", err)
	}
	name := filepath.ToSlash(abs)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // a Windows drive
	}
	pool, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: name, RawQuery: query}).String())
	if err != nil {
		return nil, 0, fmt.Errorf("opening history %q: %w", path, err)
	}
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(4)
	var version int
	if err := pool.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("opening history %q: %w", path, err), pool.Close())
	}
	return pool, version, nil
}

// Close ends the work; what was committed is in the file itself afterwards.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	var errs []error
	for _, s := range db.stmts {
		errs = append(errs, s.Close())
	}
	db.stmts = map[string]*sql.Stmt{}
	if err := db.sql.Close(); err != nil {
		errs = append(errs, fmt.Errorf("closing history %q: %w", db.path, err))
	}
	return errors.Join(errs...)
}

// Sync returns when what was committed survives a power cut. Transactions alone survive the process, as the journal is
// synced when it is carried over into the file (DESIGN section 5: fsync before belief).
func (db *DB) Sync(ctx context.Context) error {
	if _, err := db.sql.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("syncing history %q: %w", db.path, err)
	}
	return nil
}

type migration struct {
	number int
	text   string
}

// steps returns the embedded migrations in order; a file's number is the part of its name before the underscore.
func steps() ([]migration, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var all []migration
	for i, name := range names {
		number, err := strconv.Atoi(strings.SplitN(filepath.Base(name), "_", 2)[0])
		if err != nil || number != i+1 {
			return nil, fmt.Errorf("migration %q: its number must be %d", name, i+1)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, migration{number, string(text)})
	}
	return all, nil
}

func newestSchema() int {
	all, err := steps()
	if err != nil {
		panic(err) // embedded at build time: a test reads them all
	}
	return len(all)
}

func (db *DB) migrate(ctx context.Context, version int) error {
	all, err := steps()
	if err != nil {
		return err
	}
	switch {
	case version == len(all):
		return nil
	case version > len(all):
		return &ErrNewerSchema{db.path, version, len(all)}
	case version > 0:
		if err := db.Backup(ctx, fmt.Sprintf("%s.schema-%d", db.path, version)); err != nil {
			return err
		}
	}
	return db.tx(ctx, "migrating history", func(tx *tx) error {
		// Another process may have been faster.
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		for _, m := range all {
			if m.number <= version {
				continue
			}
			if _, err := tx.ExecContext(ctx, m.text); err != nil {
				return fmt.Errorf("migration %d: %w", m.number, err)
			}
			if _, err := tx.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(m.number)); err != nil {
				return err
			}
			db.log.Info("history migrated", "path", db.path, "schema", m.number)
		}
		return nil
	})
}

// Backup writes a whole copy of the history to a file, which is replaced if it is there.
func (db *DB) Backup(ctx context.Context, to string) error {
	tmp := to + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copying history: %w", err)
	}
	if _, err := db.sql.ExecContext(ctx, "VACUUM INTO $1", tmp); err != nil {
		return fmt.Errorf("copying history %q to %q: %w", db.path, to, err)
	}
	if err := os.Rename(tmp, to); err != nil {
		return fmt.Errorf("copying history: %w", err)
	}
	return nil
}

// tx is one transaction with the statements that the DB keeps prepared.
type tx struct {
	*sql.Tx
	db *DB
}

// tx runs f in one transaction that is wholly there afterwards, or not at all.
func (db *DB) tx(ctx context.Context, doing string, f func(*tx) error) error {
	if db.readOnly {
		return fmt.Errorf("%s: history %q is open for reading only", doing, db.path)
	}
	db.writing.Lock()
	defer db.writing.Unlock()
	t, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s in %q: %w", doing, db.path, err)
	}
	defer t.Rollback() // does nothing after Commit
	if err := f(&tx{t, db}); err != nil {
		return fmt.Errorf("%s in %q: %w", doing, db.path, err)
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("%s in %q: %w", doing, db.path, err)
	}
	return nil
}

func (db *DB) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if s := db.stmts[query]; s != nil {
		return s, nil
	}
	s, err := db.sql.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("preparing %.60q: %w", query, err)
	}
	db.stmts[query] = s
	return s, nil
}

func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := t.db.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := t.StmtContext(ctx, s).ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row reads one row; found is false when there is none.
func (t *tx) row(ctx context.Context, query string, args, into []any) (found bool, err error) {
	s, err := t.db.prepare(ctx, query)
	if err != nil {
		return false, err
	}
	err = t.StmtContext(ctx, s).QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// rows runs a query inside the transaction and calls f for every row.
func (t *tx) rows(ctx context.Context, query string, args []any, f func(*sql.Rows) error) error {
	s, err := t.db.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := t.StmtContext(ctx, s).QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// chunk is how many of n rows go into one statement: few sizes, so that few statements are kept prepared.
func chunk(n int) int {
	for _, size := range []int{64, 16, 4} {
		if n >= size {
			return size
		}
	}
	return 1
}

// values is a VALUES clause for so many rows of so many columns. Its parameters have no numbers: SQLite takes $1 for a
// name, and looks for each name among all others. PostgreSQL would want them numbered.
func values(rows, columns int) string {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return "VALUES " + row + strings.Repeat(", "+row, rows-1)
}

// many inserts rows of equal length, several with one statement: head VALUES ... tail.
func (t *tx) many(ctx context.Context, head, tail string, rows [][]any) error {
	var args []any
	for len(rows) > 0 {
		n := chunk(len(rows))
		args = args[:0]
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		if _, err := t.exec(ctx, head+" "+values(n, len(rows[0]))+" "+tail, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// each runs the query and calls f for every row with the rows to scan from; nothing but the row is held in memory.
func (db *DB) each(ctx context.Context, doing, query string, args []any, f func(*sql.Rows) error) error {
	rows, err := db.sql.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s in %q: %w", doing, db.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("%s in %q: %w", doing, db.path, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s in %q: %w", doing, db.path, err)
	}
	return nil
}

// id is a positive number made of the parts' hash: the same for the same parts, wherever and whenever it is made.
func id(parts ...string) int64 {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return int64(binary.BigEndian.Uint64(h.Sum(nil)) >> 1)
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func moment(us int64) time.Time { return time.UnixMicro(us).UTC() }

func momentPtr(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	t := moment(us.Int64)
	return &t
}

func microsPtr(t *time.Time) any {
	if t == nil || t.IsZero() {
		return nil
	}
	return micros(*t)
}
