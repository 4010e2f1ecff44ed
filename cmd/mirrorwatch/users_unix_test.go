//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// open is a folder that every user may reach, with the command in it.
func openFolder(t *testing.T) (dir, exe string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mirrorwatch-users")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	exe = filepath.Join(dir, "mirrorwatch") // testscript runs the command under this name
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, exe
}

func story() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/story-1") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "<html><title>Story</title><article><h1>Story</h1><p>%s</p></article></html>", strings.Repeat("The same words stand on every mirror, in the same order. ", 30))
	}))
}

// TestUmask: every file and folder of the data folder keeps to the umask, and with an open one others may read all of it.
func TestUmask(t *testing.T) {
	s := story()
	defer s.Close()
	dir, exe := openFolder(t)
	for mask, want := range map[string]fs.FileMode{"077": 0o700, "027": 0o750, "022": 0o755} {
		data := filepath.Join(dir, mask)
		cmd := exec.Command("/bin/sh", "-c", "umask "+mask+` && exec "$0" "$@"`, exe, "check", s.URL+"/story-1234567", "--data", data, "--delay", "0s", "-q")
		cmd.Env = []string{} // cron's is hardly more
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		files := 0
		err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Type()&fs.ModeSymlink != 0 {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			ok := want
			if !e.IsDir() {
				files++
				ok &= 0o666
			}
			if got := info.Mode().Perm(); got != ok {
				t.Errorf("umask %s: %s is %o, want %o", mask, path, got, ok)
			}
			return nil
		})
		if err != nil || files < 10 {
			t.Errorf("%d files, %v", files, err)
		}
	}
}

// TestOtherUsers runs the command as a user without home, name, terminal or environment, and reads what another user wrote.
func TestOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can be other users")
	}
	s := story()
	defer s.Close()
	dir, exe := openFolder(t)
	as := func(uid uint32, want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(exe, args...)
		cmd.Dir, cmd.Env = dir, []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setsid: true}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Fatalf("uid %d: %q: status %d, want %d: %s", uid, args, got, want, out.String())
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("colours without a terminal: %q", out.String())
		}
		return out.String()
	}
	const writer, reader = 61001, 61002
	mine := filepath.Join(dir, "writer")
	if err := os.Mkdir(mine, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mine, writer, writer); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(mine, "data")
	as(writer, exitOK, "check", s.URL+"/story-1234567", "--data", data, "--delay", "0s")
	for _, args := range [][]string{{"list"}, {"incidents"}, {"stats"}, {"verify", "--quick"}, {"report", "--format", "json", "--out", "-"}} {
		as(reader, exitOK, append(args, "--data", data)...)
	}
	// Who may not write says so, and leaves everything as it was.
	if out := as(reader, exitOurs, "check", s.URL+"/story-1234567", "--data", data, "--delay", "0s"); !strings.Contains(out, "permission denied") || !strings.Contains(out, data) {
		t.Errorf("%s", out)
	}
	as(writer, exitOK, "check", s.URL+"/story-1234567", "--data", data, "--delay", "0s", "--quiet-unless-changed")
}
