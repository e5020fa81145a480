package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write THIRD_PARTY_LICENSES")

const thirdParty = "THIRD_PARTY_LICENSES"

const licensesHead = `The ticketproxy program for Linux contains code of the modules below, under these terms.
ticketproxy itself is licensed under the Apache License 2.0; see LICENSE.

Made by: go test -run TestThirdPartyLicenses . -update
`

// A linkedPackage is a package of the program, as go list prints it.
type linkedPackage struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Dir string
		Main      bool
	}
}

// A license is the text of a license or notice, with the modules that have it.
type license struct {
	file, text string
	modules    []string
}

// TestThirdPartyLicenses tests that THIRD_PARTY_LICENSES has the licenses and notices of all
// code in the program: of each linked package's directory and the directories above it, up
// to its module's root.
func TestThirdPartyLicenses(t *testing.T) {
	t.Parallel()
	all := map[string]*license{}
	add := func(module, dir string) int {
		files := licenseFiles(t, dir)
		for _, file := range files {
			text := read(t, file)
			if all[text] == nil {
				all[text] = &license{file: filepath.Base(file), text: text}
			}
			if l := all[text]; !slices.Contains(l.modules, module) {
				l.modules = append(l.modules, module)
			}
		}
		return len(files)
	}
	for _, p := range linkedPackages(t) {
		if p.Standard || p.Module.Main {
			continue
		}
		dir := p.Dir
		for ; dir != p.Module.Dir; dir = filepath.Dir(dir) {
			add(p.Module.Path, dir)
		}
		if add(p.Module.Path, dir) == 0 {
			t.Errorf("%s has no license in its root", p.Module.Path)
		}
	}
	goroot := strings.TrimSpace(run(t, nil, "go", "env", "GOROOT"))
	if add("Go's standard library and runtime", goroot) == 0 {
		t.Skip("this Go was installed without its LICENSE")
	}
	var texts []string
	for _, l := range all {
		slices.Sort(l.modules)
		head := fmt.Sprintf("%s\n%s of\n  %s\n\n", strings.Repeat("=", 80), l.file, strings.Join(l.modules, "\n  "))
		texts = append(texts, head+strings.Trim(l.text, "\n")+"\n")
	}
	slices.Sort(texts)
	want := licensesHead + "\n" + strings.Join(texts, "\n")
	if *update {
		if err := os.WriteFile(thirdParty, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, thirdParty) != want {
		t.Errorf("%s differs from the licenses of the modules: go test -run %s . -update", thirdParty, t.Name())
	}
}

// TestImageHasLicenses tests that the image gets the licenses, and that .dockerignore keeps
// none of them from the build.
func TestImageHasLicenses(t *testing.T) {
	t.Parallel()
	_, image, _ := strings.Cut(read(t, "Dockerfile"), "\nFROM scratch\n")
	for _, line := range []string{
		"COPY LICENSE " + thirdParty + " /licenses/",
		"COPY --from=build /usr/share/doc/ca-certificates/copyright /licenses/ca-certificates",
	} {
		if !strings.Contains(image, "\n"+line+"\n") {
			t.Errorf("the Dockerfile's last stage lacks %q", line)
		}
	}
	for line := range strings.Lines(read(t, ".dockerignore")) {
		pattern := strings.TrimPrefix(strings.TrimSpace(line), "**/")
		for _, file := range []string{"LICENSE", thirdParty} {
			if ignored, _ := path.Match(pattern, file); ignored {
				t.Errorf(".dockerignore keeps %s from the build by %q", file, pattern)
			}
		}
	}
}

// linkedPackages returns the packages of the program on the image's platforms.
func linkedPackages(t *testing.T) []linkedPackage {
	t.Helper()
	var all []linkedPackage
	for _, arch := range []string{"amd64", "arm64"} {
		env := []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=0"}
		decoder := json.NewDecoder(strings.NewReader(run(t, env, "go", "list", "-deps", "-json=Dir,Standard,Module", ".")))
		for {
			var p linkedPackage
			err := decoder.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
}

// licenseFiles returns the files of a directory that a copy of its code must come with.
func licenseFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		name, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
		if e.Type().IsRegular() && slices.Contains([]string{"LICENSE", "LICENCE", "NOTICE", "COPYING", "PATENTS"}, name) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
