package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mirrorwatch/archive/internal/durable"
	"mirrorwatch/archive/internal/durable/faulty"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A crash at any operation leaves the old content or the new, and after a return without error only the new.
func TestWriteFileIsWholeOrAbsent(t *testing.T) {
	const long = 700_000 // more than one buffer
	for _, lose := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			if err := durable.WriteFile(durable.OS{}, name, []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
			disk := faulty.New(durable.OS{}, faulty.Fault{Nth: n, Crash: true, Short: true})
			want := strings.Repeat("new", long/3)
			err := durable.WriteFile(disk, name, []byte(want), 0o666)
			if lose {
				if err := disk.Lose(); err != nil {
					t.Fatal(err)
				}
			}
			got := read(t, name)
			if got != "old" && got != want {
				t.Fatalf("crash at %d: %d octets are neither", n, len(got))
			}
			if err == nil {
				if got != want {
					t.Fatalf("crash at %d: no error, old content", n)
				}
				if disk.Crashed() {
					t.Fatalf("crash at %d: no error", n)
				}
				break
			}
			if !errors.Is(err, faulty.ErrCrashed) {
				t.Fatalf("crash at %d: %v", n, err)
			}
			if n > 20 {
				t.Fatal("never ends")
			}
		}
	}
}

func TestWriteFileFails(t *testing.T) {
	for _, op := range []faulty.Op{faulty.Create, faulty.Write, faulty.Sync, faulty.Rename, faulty.SyncDir} {
		for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
			dir := t.TempDir()
			name := filepath.Join(dir, "f")
			disk := faulty.New(durable.OS{}, faulty.Fault{Op: op, Nth: 1, Err: cause, Short: true})
			err := durable.WriteFile(disk, name, []byte("content"), 0o666)
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", op, err)
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if durable.IsTemp(e.Name()) || op != faulty.SyncDir {
					t.Errorf("%s left %s", op, e.Name())
				}
			}
		}
	}
	// A short write that reports nothing is an error all the same.
	dir := t.TempDir()
	disk := faulty.New(durable.OS{}, faulty.Fault{Op: faulty.Write, Nth: 1, Silent: true})
	if err := durable.WriteFile(disk, filepath.Join(dir, "f"), []byte("content"), 0o666); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("silent short write: %v", err)
	}
}

func TestAppendIsTakenBack(t *testing.T) {
	large := strings.Repeat("second ", 20_000) // does not share a write with what follows
	tests := []struct {
		name  string
		fault faulty.Fault
		want  error
	}{
		{"short and EIO", faulty.Fault{Op: faulty.Write, Nth: 2, Short: true}, syscall.EIO},
		{"ENOSPC", faulty.Fault{Op: faulty.Write, Nth: 2, Err: syscall.ENOSPC, Short: true}, syscall.ENOSPC},
		{"silent", faulty.Fault{Op: faulty.Write, Nth: 2, Silent: true}, io.ErrShortWrite},
		{"the second of a group", faulty.Fault{Op: faulty.Write, Nth: 3, Short: true}, syscall.EIO},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "f")
			disk := faulty.New(durable.OS{}, test.fault)
			a, err := durable.CreateAppend(disk, name, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if off, err := a.Append(durable.Bytes("first ")); off != 0 || err != nil {
				t.Fatal(off, err)
			}
			if _, err := a.Append(durable.Bytes(large), durable.Bytes("third ")); !errors.Is(err, test.want) || !strings.Contains(err.Error(), name) {
				t.Fatal(err)
			}
			if got := read(t, name); got != "first " || a.Size() != 6 {
				t.Fatalf("%q, %d", got, a.Size())
			}
			if off, err := a.Append(durable.Bytes("fourth")); off != 6 || err != nil {
				t.Fatal(off, err)
			}
			if err := a.Sync(); err != nil || a.Synced() != 12 {
				t.Fatal(err)
			}
			var b [20]byte
			if n, err := a.ReadAt(b[:], 6); n != 6 || err != io.EOF || string(b[:n]) != "fourth" {
				t.Fatal(n, err)
			}
			if got := read(t, name); got != "first fourth" {
				t.Fatalf("%q", got)
			}
		})
	}
}

// What cannot be taken back, and what a failed sync leaves unknown, stops all further writing.
func TestAppenderBreaks(t *testing.T) {
	for _, fault := range []faulty.Fault{{Op: faulty.Truncate, Nth: 1}, {Op: faulty.Sync, Nth: 1}} {
		disk := faulty.New(durable.OS{}, fault)
		if fault.Op == faulty.Truncate {
			disk.Inject(faulty.Fault{Op: faulty.Write, Nth: 1, Short: true})
		}
		a, err := durable.CreateAppend(disk, filepath.Join(t.TempDir(), "f"), 0o666)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Append(durable.Bytes("x"))
		if fault.Op == faulty.Sync {
			err = a.Sync()
		}
		if !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		if _, err := a.Append(durable.Bytes("y")); !errors.Is(err, durable.ErrBroken) {
			t.Error(err)
		}
		if err := a.Seal("elsewhere"); !errors.Is(err, durable.ErrBroken) {
			t.Error(err)
		}
		a.Close()
	}
}

func TestOpenAppendCuts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("good torn"), 0o666); err != nil {
		t.Fatal(err)
	}
	a, err := durable.OpenAppend(durable.OS{}, name, 5, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(durable.Bytes("end")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if got := read(t, name); got != "good end" {
		t.Errorf("%q", got)
	}
	if _, err := durable.OpenAppend(durable.OS{}, name, 100, 0o666); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file shorter than believed: %v", err)
	}
}

// A sealed name is never taken by another file, and a crash between its two names mends itself.
func TestSeal(t *testing.T) {
	dir := t.TempDir()
	open, final := filepath.Join(dir, "a.open"), filepath.Join(dir, "a")
	write := func(name, content string) {
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(open, "one")
	if err := durable.Seal(durable.OS{}, open, final); err != nil {
		t.Fatal(err)
	}
	write(open, "two")
	if err := durable.Seal(durable.OS{}, open, final); !errors.Is(err, durable.ErrSealed) {
		t.Errorf("sealed over: %v", err)
	}
	if read(t, final) != "one" || read(t, open) != "two" {
		t.Error("content moved")
	}
	other := filepath.Join(dir, "b")
	for n := 1; ; n++ {
		disk := faulty.New(durable.OS{}, faulty.Fault{Nth: n, Crash: true})
		err := durable.Seal(disk, open, other)
		if err == nil {
			break
		}
		_, oerr := os.Stat(open)
		_, ferr := os.Stat(other)
		if oerr != nil && ferr != nil {
			t.Fatalf("crash at %d lost the file", n)
		}
		if oerr != nil { // done but for the last sync
			break
		}
	}
	// No second names: the fallback looks first.
	disk := faulty.New(durable.OS{}, faulty.Fault{Op: faulty.Link, Nth: 1, Err: syscall.EPERM, Sticky: true})
	write(open, "three")
	if err := durable.Seal(disk, open, final); !errors.Is(err, durable.ErrSealed) {
		t.Errorf("sealed over without links: %v", err)
	}
	if err := durable.Seal(disk, open, filepath.Join(dir, "c")); err != nil {
		t.Error(err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.CreateAppend(durable.OS{}, name, 0o666); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
}

// After a power failure at any operation, what Sync promised is there and nothing is half an append.
func TestAppenderAndPowerFailure(t *testing.T) {
	for n := 1; n < 40; n++ {
		name := filepath.Join(t.TempDir(), "f")
		disk := faulty.New(durable.OS{}, faulty.Fault{Nth: n, Crash: true, Short: true})
		var promised int64
		func() {
			a, err := durable.CreateAppend(disk, name, 0o666)
			if err != nil {
				return
			}
			defer a.Close()
			for i := range 12 {
				if _, err := a.Append(durable.Bytes(fmt.Sprintf("record %02d\n", i))); err != nil {
					return
				}
				if i%3 == 2 {
					if a.Sync() != nil {
						return
					}
					promised = a.Synced()
				}
			}
		}()
		if err := disk.Lose(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && promised == 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(got)) < promised {
			t.Fatalf("crash at %d: %d octets of the %d promised", n, len(got), promised)
		}
		for i, line := range bytes.SplitAfter(got[:promised], []byte("\n")) {
			if len(line) > 0 && string(line) != fmt.Sprintf("record %02d\n", i) {
				t.Fatalf("crash at %d: line %d is %q", n, i, line)
			}
		}
	}
}
