package main

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
	for _, limit := range []string{"2000", "20000", "40000"} {
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
		for range 40 {
			code, out, errs := exitCode(t, demoProcess(w, ca, dir, "check"))
			if code == exitFound {
				continue
			}
			if code != exitOurs || !strings.Contains(errs, dir) {
				t.Errorf("status %d, want %d and a message with the path:\n%s%s", code, exitOurs, out, errs)
			}
			t.Logf("%s", errs)
			break
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
