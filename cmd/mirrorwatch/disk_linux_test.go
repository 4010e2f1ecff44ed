package main

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// init lets the test binary be the command, with a limit on the size of files that it may write: writing on is EFBIG, as
// SIGXFSZ is ignored.
func init() {
	limit, ok := os.LookupEnv(asCommand)
	if !ok {
		return
	}
	if n, err := strconv.ParseUint(limit, 10, 64); err == nil && n > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
	main()
}

// Issue 4 point 8: a disk that takes no more is status 4 and a message with the path; the archive is valid afterwards and
// goes on once there is room.
func TestFullDisk(t *testing.T) {
	w, ca := demoWorld(t)
	fails := func(t *testing.T, dir string, cmd *exec.Cmd) {
		t.Helper()
		code, out, errs := exitCode(t, cmd)
		if code != exitOurs || !strings.Contains(errs, dir) {
			t.Errorf("status %d, want %d and a message with the path:\n%s%s", code, exitOurs, out, errs)
		}
		t.Logf("%s", errs)
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "verify", "--full")); code != exitOK {
			t.Errorf("verify: status %d\n%s%s", code, out, errs)
		}
	}
	recovers := func(t *testing.T, dir string) {
		t.Helper()
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "check")); code != exitFound {
			t.Errorf("with room again: status %d\n%s%s", code, out, errs)
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "verify", "--full")); code != exitOK {
			t.Errorf("verify: status %d\n%s%s", code, out, errs)
		}
	}
	for _, limit := range []string{"20000", "40000", "60000"} {
		t.Run("limit "+limit, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if code, _, errs := exitCode(t, demoProcess(w, ca, dir, "check")); code != exitFound {
				t.Fatalf("status %d: %s", code, errs)
			}
			cmd := demoProcess(w, ca, dir, "check")
			cmd.Env = append(cmd.Env, asCommand+"="+limit)
			fails(t, dir, cmd)
			recovers(t, dir)
		})
	}
	t.Run("tmpfs", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("SKIPPED: only root mounts a file system that is full soon")
		}
		dir := filepath.Join(t.TempDir(), "disk")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=800k"); err != nil {
			t.Skipf("SKIPPED: no tmpfs here: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		full := false
		for range 40 {
			code, out, errs := exitCode(t, demoProcess(w, ca, dir, "check"))
			if code == exitFound {
				continue
			}
			if code != exitOurs || !strings.Contains(errs, dir) {
				t.Errorf("status %d, want %d and a message with the path:\n%s%s", code, exitOurs, out, errs)
			}
			full = strings.Contains(errs, syscall.ENOSPC.Error()) || strings.Contains(errs, "full")
			t.Logf("%s", errs)
			break
		}
		if !full {
			t.Error("the disk never was full: the test has shown nothing")
		}
		if code, out, errs := exitCode(t, demoProcess(w, ca, dir, "verify", "--full")); code != exitOK {
			t.Errorf("verify: status %d\n%s%s", code, out, errs)
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Skipf("SKIPPED: no more room: %v", err)
		}
		recovers(t, dir)
	})
}

// Issue 4 point 8 on /dev/full: every command whose answer cannot be written says so with the path and status 4; files that
// commands write to are never put in the place of a device; the archive is valid afterwards.
func TestFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	defer full.Close()
	w, ca := demoWorld(t)
	dir := filepath.Join(t.TempDir(), "data")
	if code, _, errs := exitCode(t, demoProcess(w, ca, dir, "check")); code != exitFound {
		t.Fatalf("status %d: %s", code, errs)
	}
	sitesFile := filepath.Join(t.TempDir(), "keep.yaml")
	if err := os.WriteFile(sitesFile, []byte("retention: {epoch: month, warc: 2y}\nsites: {presstv: {primary: \"https://www.presstv.com\"}}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"report", "--format", "json"}, {"report", "--format", "csv"}, {"list"}, {"stats"}, {"verify", "--quick"}, {"verify", "--full"}, {"verify", "--format", "json"},
		{"incidents", "--format", "json"}, {"rejudge"}, {"rejudge", "--format", "json"}, {"diff", w.Article, "--mirror", "www.presstv.com", "--mirror", "altered.presstv.example"}, {"find", w.Article}, {"export", "--dry-run"},
		{"prune", "--sites", sitesFile}, {"repair"}, {"check", "--format", "json"}, {"check"},
	} {
		cmd := demoProcess(w, ca, dir, args...)
		if args[0] == "check" {
			cmd.Args = slices.DeleteFunc(cmd.Args, func(s string) bool { return s == "-q" })
		}
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = full, &errs
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitOurs || !strings.Contains(errs.String(), "/dev/stdout") || !strings.Contains(errs.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%v: status %d: %s", args, code, errs.String())
		}
	}
	// --out and --to: a device of our own, so that a mistake breaks no other's.
	device := filepath.Join(t.TempDir(), "full.warc.gz")
	if err := syscall.Mknod(device, syscall.S_IFCHR|0o666, 1<<8|7); err != nil {
		t.Skipf("SKIPPED: no device of our own: %v", err)
	}
	for _, args := range [][]string{
		{"report", "--format", "json", "--out", device}, {"report", "--format", "html", "--out", device}, {"check", "--out", device},
		{"export", "--to", device}, {"export", "--force", "--to", device}, {"restore", w.Article, "--as", "raw", "--force", "--to", device},
		{"restore", w.Article, "--as", "html", "--force", "--to", device}, {"restore", w.Article, "--as", "warc", "--force", "--to", device},
	} {
		code, out, errs := exitCode(t, demoProcess(w, ca, dir, args...))
		if code != exitOurs && code != exitUsage || !strings.Contains(errs, device) {
			t.Errorf("%v: status %d, want %d or %d and a message with the path:\n%s%s", args, code, exitOurs, exitUsage, out, errs)
		}
		if st, err := os.Stat(device); err != nil || st.Mode()&os.ModeCharDevice == 0 {
			t.Fatalf("%v: the device is gone: %v", args, err)
		}
	}
	if code, out, errs := run(t, "verify", "--full", "--data", dir); code != exitOK {
		t.Errorf("verify: status %d\n%s%s", code, out, errs)
	}
}
