//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mirrorwatch/cmd/mirrorwatch/internal/demo"
	"mirrorwatch/cmd/mirrorwatch/internal/sites"
)

// readmeBlocks are the indented blocks of a section of the README.
func readmeBlocks(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", title)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var all []string
	in := false
	for _, l := range strings.Split(section, "\n") {
		code, indented := strings.CutPrefix(l, "    ")
		switch {
		case indented && in:
			all[len(all)-1] += code + "\n"
		case indented:
			all = append(all, code+"\n")
		}
		in = indented
	}
	return all
}

// TestReadmeCron follows README.md's section on cron word by word in a clean folder, against the demo's servers: its commands
// as somebody at a terminal would type them, its crontab line as cron runs it, with hardly any environment.
func TestReadmeCron(t *testing.T) {
	code := readmeBlocks(t, "From cron")
	if len(code) != 3 {
		t.Fatalf("%d blocks, not 3: commands, crontab line, sites file", len(code))
	}
	world, err := demo.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = world.Close() }()
	root := t.TempDir()
	ca := filepath.Join(root, "authority.pem")
	if err := os.WriteFile(ca, world.CAPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	var pins []string
	for from, to := range world.ConnectTo {
		pins = append(pins, from+":"+to)
	}
	// The command under its name; the folders of the README lie below a folder of the test,
	// and the article is the demo's.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(root, "usr", "local", "bin")
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.Symlink(self, filepath.Join(bin, "mirrorwatch"))); err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("/srv/", root+"/srv/", "/usr/local/bin/", bin+"/", "https://www.presstv.com/Detail/2016/08/10/479262/Syria-talks-Aleppo", world.Article)
	folder := filepath.Join(root, "srv", "mirrorwatch")
	shell := func(env []string, script string, want int) string {
		t.Helper()
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir, cmd.Env = root, env
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Fatalf("exit status %d, want %d:\n%s\n%s", got, want, script, out)
		}
		return string(out)
	}
	// What stands in for the network: the demo's servers at the names' addresses, and no canaries.
	network := []string{"MIRRORWATCH_CONNECT_TO=" + strings.Join(pins, " "), "MIRRORWATCH_CA_FILE=" + ca}
	person := append([]string{"HOME=" + root, "PATH=" + bin + ":/usr/bin:/bin"}, network...)
	said := ""
	var typed []string
	for _, l := range strings.Split(strings.TrimSpace(moved.Replace(code[0])), "\n") {
		typed = append(typed, l)
		script := l
		if len(typed) > 2 {
			script = typed[1] + "\n" + l // the shell of before stands in the folder
		}
		said += shell(person, "set -e\n"+script, 0)
		if strings.Contains(l, " init ") {
			file := filepath.Join(folder, "mirrorwatch.yaml")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			local := regexp.MustCompile(`(?m)^canaries: .*$`).ReplaceAllString(string(text), "canaries: none\ndefaults: {ca_file: "+ca+", delay: 0s, connect_to: [\""+strings.Join(pins, "\", \"")+"\"]}")
			if err := os.WriteFile(file, []byte(local), 0o644); err != nil || local == string(text) {
				t.Fatal(err)
			}
		}
	}
	// init prints the README's crontab line, but for the minute.
	line := strings.TrimSpace(moved.Replace(code[1]))
	minute := regexp.MustCompile(`^\d+ `)
	found := false
	for _, l := range strings.Split(said, "\n") {
		found = found || minute.ReplaceAllString(strings.ReplaceAll(l, self, filepath.Join(bin, "mirrorwatch")), "17 ") == line
	}
	if !found {
		t.Errorf("init does not print the README's line:\n%s\nbut:\n%s", line, said)
	}
	command, ok := strings.CutPrefix(line, "17 * * * * ")
	if !ok {
		t.Fatalf("no crontab line: %q", line)
	}
	// cron gives HOME, LOGNAME, SHELL and a short PATH (crontab(5)); here even less. The first run was made by hand, so
	// nothing is new, and cron has nothing to send.
	for range 2 {
		if out := shell([]string{}, command, 0); out != "" {
			t.Errorf("cron would send a mail:\n%s", out)
		}
	}
	// A mirror goes: one mail, then none, and the status says it each time.
	file := filepath.Join(folder, "mirrorwatch.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gone := strings.Replace(string(text), "www.presstv.co.uk:443:", `www.presstv.co.uk:443:127.0.0.1:1", "nobody.example:443:`, 1)
	if err := os.WriteFile(file, []byte(gone), 0o644); err != nil || gone == string(text) {
		t.Fatal(err, "the mirror is not pinned")
	}
	if out := shell([]string{}, command, 1); !strings.Contains(out, "www.presstv.co.uk") || strings.Contains(out, "\x1b") {
		t.Errorf("cron's mail about a mirror that is down:\n%q", out)
	}
	if out := shell([]string{}, command, 1); out != "" {
		t.Errorf("a second mail:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(folder, "mirrorwatch-data", "report", "index.html")); err != nil {
		t.Error(err)
	}
	if _, err := sites.Parse("mirrorwatch.yaml", []byte(code[2]), func(string) string { return "logger://" }); err != nil {
		t.Errorf("the README's sites file: %v", err)
	}
}
