package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/warc"
	"mirrorwatch/crawler/survey"
)

// Format is the version of the folder's layout, as DIR/format holds it.
const Format = 1

// Names below the data folder.
const (
	formatFile   = "format"
	lockFile     = "lock"
	archiveDir   = "archive"
	indexDir     = "indexes"
	manifestFile = "manifest-sha256.txt"

	openSuffix   = ".open"
	tornSuffix   = ".torn"
	warcSuffix   = ".warc.gz"
	cdxjSuffix   = ".cdxj"
	digestSuffix = ".digests"
)

// rollOver is the size at which a series goes on in a new file (W16); a record larger than that has a file of its own.
const rollOver = 1_000_000_000

// Options say how to open a data folder. The zero value opens it for writing under a run ID made from the clock.
type Options struct {
	// ReadOnly takes no lock and writes nothing; it works beside a writer and on a read-only file system.
	ReadOnly bool
	// Tool names the writing program in warcinfo records.
	Tool survey.Tool
	// Run names the files of this session; "" makes one up.
	Run survey.RunID
	// Operator goes into warcinfo records when not empty.
	Operator string
	// UserAgent is what requests are expected to say; captures made with another are flagged.
	UserAgent string
	// Description goes into warcinfo records: the mirror set, the digest of the settings.
	Description string
	// Epoch is the span within which revisits refer: "day", "week", "month" (default), "year".
	Epoch string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Wait waits for the lock until the context given to OpenContext ends, in place of failing with LockedError.
	Wait bool
	// Level is the compression level, 1 to 9; 0: warc.DefaultLevel.
	Level int
	// RollOver is the size in octets at which a WARC is closed and a new one begun; 0: 10^9.
	RollOver int64
	// Log gets what recovery did; nil: silence.
	Log *slog.Logger
	// FS is where the files are; nil: the operating system's.
	FS durable.FS
}

// Archive is an open data folder. Its methods may be called from several goroutines.
type Archive struct {
	dir  string
	opt  Options
	fs   durable.FS
	log  *slog.Logger
	lock *flock.Flock
	run  survey.RunID

	stageMu sync.Mutex
	stages  []*stage // exchanges and snapshots, the present epoch last
	runs    *series  // runs and checks; never pruned
	extra   []*series
	index   *index

	dnsMu   sync.Mutex
	dnsSeen map[[16]byte]survey.RecordID
	chains  map[[32]byte]survey.RecordID // certificate chains, by epoch, and the exchange whose note holds each

	commitMu sync.Mutex
	closed   bool
}

// Open opens the data folder; see OpenContext.
func Open(dir string, opt Options) (*Archive, error) {
	return OpenContext(context.Background(), dir, opt)
}

// OpenContext opens the data folder dir. A writer makes the folder when it is not there, takes its lock (LockedError when
// another process has it) and recovers what a killed writer left. ErrNewerFormat: a newer version made the folder.
func OpenContext(ctx context.Context, dir string, opt Options) (*Archive, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.RollOver == 0 {
		opt.RollOver = rollOver
	}
	if opt.Tool.Name == "" {
		opt.Tool.Name = "mirrorwatch"
	}
	if opt.FS == nil {
		opt.FS = durable.OS{}
	}
	a := &Archive{dir: dir, opt: opt, fs: opt.FS, log: opt.Log, run: opt.Run, dnsSeen: map[[16]byte]survey.RecordID{}, chains: map[[32]byte]survey.RecordID{}}
	if opt.ReadOnly {
		if err := a.checkFormat(); err != nil {
			return nil, err
		}
		a.index = newIndex(a)
		return a, nil
	}

	// A folder of a newer format is left as it is, even empty folders.
	if err := a.checkFormat(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, d := range []string{dir, a.path(archiveDir), a.path(indexDir)} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, writeError("make folder", d, err)
		}
	}
	if err := a.takeLock(ctx); err != nil {
		return nil, err
	}
	if err := a.openWriter(ctx); err != nil {
		a.unlock()
		return nil, err
	}
	return a, nil
}

func (a *Archive) openWriter(ctx context.Context) error {
	err := a.checkFormat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := durable.WriteFile(a.fs, a.path(formatFile), []byte(strconv.Itoa(Format)+"\n"), 0o666); err != nil {
			return writeError("write", a.path(formatFile), err)
		}
	case err != nil:
		return err
	}
	now := a.opt.Now().UTC()
	if a.run == "" {
		var b [3]byte
		rand.Read(b[:])
		a.run = survey.RunID(now.Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:]))
	}
	if !safeName(string(a.run)) {
		return fmt.Errorf("run ID %q cannot be part of a file name", a.run)
	}
	epoch, err := epochOf(now, a.opt.Epoch)
	if err != nil {
		return err
	}
	if err := a.recover(ctx); err != nil {
		return err
	}
	a.index = newIndex(a)
	a.newStage(epoch)
	a.runs = a.newSeries("runs-" + epoch + "-" + string(a.run))
	a.runs.single = true
	return nil
}

// Dir returns the data folder.
func (a *Archive) Dir() string { return a.dir }

// Run returns the run ID that names the files of this session.
func (a *Archive) Run() survey.RunID { return a.run }

// Epoch returns the epoch that this session writes into, such as "202611".
func (a *Archive) Epoch() string { return a.present().epoch }

// now is the time by the archive's clock; readers made without one have the system's.
func (a *Archive) now() time.Time {
	if a.opt.Now == nil {
		return time.Now().UTC()
	}
	return a.opt.Now().UTC()
}

func (a *Archive) path(elem ...string) string {
	return filepath.Join(append([]string{a.dir}, elem...)...)
}

// epochOf names the epoch of t: it sorts by time and cannot be confused with a run ID.
func epochOf(t time.Time, kind string) (string, error) {
	switch kind {
	case "", "month":
		return t.Format("200601"), nil
	case "day":
		return t.Format("20060102"), nil
	case "year":
		return t.Format("2006"), nil
	case "week":
		y, w := t.ISOWeek()
		return fmt.Sprintf("%04dW%02d", y, w), nil
	}
	return "", fmt.Errorf("unknown epoch %q: use day, week, month or year", kind)
}

func safeName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 100 && !strings.Contains(s, "..")
}

func (a *Archive) checkFormat() error {
	b, err := os.ReadFile(a.path(formatFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && a.opt.ReadOnly {
			return fmt.Errorf("%q is no data folder of mirrorwatch: %w", a.dir, err)
		}
		return err
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || v < 1:
		return fmt.Errorf("reading %q: no format number in %q", a.path(formatFile), cut(string(b), 40))
	case v > Format:
		return fmt.Errorf("%q has format %d, this program writes %d: %w", a.dir, v, Format, ErrNewerFormat)
	}
	return nil
}

// takeLock takes DIR/lock. The lock file's text is for people who meet LockedError; what locks is flock.
func (a *Archive) takeLock(ctx context.Context) error {
	name := a.path(lockFile)
	a.lock = flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o666)) // within the umask: others may see who holds it
	var ok bool
	var err error
	if a.opt.Wait {
		ok, err = a.lock.TryLockContext(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			err = nil
		}
	} else {
		ok, err = a.lock.TryLock()
	}
	if err != nil {
		return writeError("lock", name, err)
	}
	if !ok {
		b, _ := os.ReadFile(name)
		for range 10 { // the holder may be about to write its text
			if len(b) > 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
			b, _ = os.ReadFile(name)
		}
		return &LockedError{Path: name, Holder: strings.TrimSpace(cut(string(b), 200))}
	}
	text := fmt.Sprintf("process %d since %s\n", os.Getpid(), a.opt.Now().UTC().Format(time.RFC3339))
	_ = os.WriteFile(name, []byte(text), 0o666) // for people only
	return nil
}

func (a *Archive) unlock() {
	if a.lock != nil && a.lock.Locked() {
		_ = os.Truncate(a.path(lockFile), 0) // nobody holds it: no text of an old holder beside a new lock
		_ = a.lock.Unlock()
	}
}

// Close makes everything durable and seals the files of this session: their indexes are written, they lose ".open" and
// stand in the manifest. Also after an error it leaves an archive that the next Open recovers; the lock is free then.
func (a *Archive) Close() error {
	if a.opt.ReadOnly {
		return a.index.close()
	}
	a.commitMu.Lock()
	defer a.commitMu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	defer a.unlock()
	var errs []error
	for _, s := range a.allSeries() {
		errs = append(errs, s.seal())
	}
	errs = append(errs, a.closeClaims(), a.index.close())
	if errors.Join(errs...) == nil {
		errs = append(errs, a.compact())
	}
	return errors.Join(errs...)
}

// Commit makes all that Put and Note returned so far durable: octets first, then the index lines that readers find them
// by. Only after it a Capture may be believed.
func (a *Archive) Commit(ctx context.Context) error {
	if a.opt.ReadOnly {
		return ErrReadOnly
	}
	a.commitMu.Lock()
	defer a.commitMu.Unlock()
	if a.closed {
		return fs.ErrClosed
	}
	for _, s := range a.allSeries() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.commit(); err != nil {
			return err
		}
	}
	return nil
}

// warcinfo builds the first record of a file (W12, W13). The host's name and address are never written; the operator is
// only when told.
func (a *Archive) warcinfo(file string) warc.Out {
	var b strings.Builder
	field := func(name, value string) {
		value = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, value)
		if value = strings.TrimSpace(value); value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	software := a.opt.Tool.Name
	if a.opt.Tool.Version != "" {
		software += "/" + a.opt.Tool.Version
	}
	field("software", software)
	field("format", "WARC File Format 1.1")
	field("conformsTo", "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/")
	field("operator", a.opt.Operator)
	field("isPartOf", string(a.run))
	field("description", a.opt.Description)
	field("http-header-user-agent", a.opt.UserAgent)
	text := strings.ToValidUTF8(b.String(), "?")

	var h warc.Header
	h.Add(warc.FieldType, warc.Warcinfo)
	h.SetID(warc.NewRecordID())
	h.SetDate(a.opt.Now())
	h.Add(warc.FieldFilename, file)
	h.Add(warc.FieldContentType, "application/warc-fields")
	h.Add(warc.FieldBlockDigest, digestOf([]byte(text)))
	return warc.Out{Header: h, Block: strings.NewReader(text), Size: int64(len(text))}
}

var _ io.Closer = (*Archive)(nil)
