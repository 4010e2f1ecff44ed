package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files again")

// TestLicences keeps licences/third-party.txt true: it names every module that is linked into the binary, with its
// licence's text, and every licence is one of those that may be linked.
func TestLicences(t *testing.T) {
	modules := linkedModules(t)
	var want bytes.Buffer
	fmt.Fprintf(&want, "mirrorwatch is built with these libraries.\n")
	for _, m := range modules {
		text, err := licenceText(m.Dir)
		if err != nil {
			t.Fatalf("%s: %v", m.Path, err)
		}
		if !permissive(text) {
			t.Errorf("%s: its licence is none of MIT, BSD, ISC, Apache-2.0", m.Path)
		}
		fmt.Fprintf(&want, "\n==== %s %s\n\n%s\n", m.Path, m.Version, strings.TrimSpace(text))
	}
	name := filepath.Join("licences", "third-party.txt")
	if *update {
		if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the modules in go.mod say; write it again with -update", name)
	}
}

type module struct {
	Path, Version, Dir string
	Main               bool
}

func linkedModules(t *testing.T) []module {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=Module", ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]module{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			seen[p.Module.Path] = *p.Module
		}
	}
	var list []module
	for _, m := range seen {
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list
}

func licenceText(dir string) (string, error) {
	for _, n := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "License", "COPYING", "LICENCE", "license", "LICENSE-APACHE-2.0.txt", "LICENSE.MIT"} {
		b, err := os.ReadFile(filepath.Join(dir, n))
		if err == nil {
			// No addresses of hosts in long texts: they are quoted as they are.
			return string(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))), nil
		}
	}
	return "", errors.New("no licence file")
}

var permissiveText = regexp.MustCompile(`(?is)permission is hereby granted|redistribution and use in source and binary forms|apache license|permission to use, copy, modify`)

func permissive(text string) bool { return permissiveText.MatchString(text) }
