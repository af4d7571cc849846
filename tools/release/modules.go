package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// program is a program of a release with what the Go toolchain recorded in it.
type program struct {
	platform platform
	content  []byte
	info     *buildinfo.BuildInfo
}

func readProgram(file string, p platform) (program, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return program{}, err
	}
	return parseProgram(content, p)
}

func parseProgram(content []byte, p platform) (program, error) {
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return program{}, fmt.Errorf("the program for %s: %w", p, err)
	}
	return program{p, content, info}, nil
}

// check returns an error unless the program records the commit and no change
// of it, and is for its platform.
func (p program) check(s source) error {
	for key, want := range map[string]string{"vcs.revision": s.commit, "vcs.modified": "false", "CGO_ENABLED": "0",
		"-trimpath": "true", "GOOS": p.platform.os, "GOARCH": p.platform.arch} {
		at := slices.IndexFunc(p.info.Settings, func(b debug.BuildSetting) bool { return b.Key == key })
		if at < 0 || p.info.Settings[at].Value != want {
			return fmt.Errorf("the program for %s has another %s than %s", p.platform, key, want)
		}
	}
	return nil
}

// module is a module of which programs contain packages.
type module struct {
	path, version string
	// sum is the module's hash in go.sum, h1 and the SHA-256 of its list of files in
	// base64. The standard library has none.
	sum string
	// license is an identifier of SPDX, or an expression with several; "" if the
	// text is unknown.
	license string
	texts   []licenseText
}

type licenseText struct{ file, content string }

func (m module) String() string { return m.path + "@" + m.version }

// standardLibrary is the name of the standard library in package URLs.
const standardLibrary = "std"

// modules returns the modules in a program, without their licenses.
func (p program) modules() []module {
	all := []module{{path: standardLibrary, version: strings.TrimPrefix(p.info.GoVersion, "go")}}
	for _, d := range p.info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		all = append(all, module{path: d.Path, version: d.Version, sum: d.Sum})
	}
	return all
}

// modulesOf returns the modules in any of the programs, sorted, with their
// licenses from the module cache.
func modulesOf(clone string, programs []program) ([]module, error) {
	var all []module
	for _, p := range programs {
		all = append(all, p.modules()...)
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.String(), b.String()) })
	all = slices.CompactFunc(all, func(a, b module) bool { return a.String() == b.String() })
	folders, err := moduleFolders(clone, all)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].texts, err = licenseTexts(folders[all[i].String()]); err != nil {
			return nil, fmt.Errorf("the licenses of %s: %w", all[i], err)
		}
		all[i].license = license(all[i].texts)
	}
	return all, nil
}

// moduleFolders returns the folders of modules in the module cache, which has
// those that were compiled.
func moduleFolders(clone string, modules []module) (map[string]string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Path}}@{{.Version}}\t{{.Dir}}")
	for _, m := range modules {
		if m.path != standardLibrary {
			list.Args = append(list.Args, m.path)
		}
	}
	list.Dir, list.Env = clone, append(os.Environ(), buildEnv...)
	text, err := output(list)
	if err != nil {
		return nil, err
	}
	root, err := output(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return nil, err
	}
	folders := map[string]string{standardLibrary + "@" + strings.TrimPrefix(runtime.Version(), "go"): root}
	for line := range strings.SplitSeq(text, "\n") {
		name, folder, _ := strings.Cut(line, "\t")
		folders[name] = folder
	}
	for _, m := range modules {
		if folders[m.String()] == "" {
			return nil, fmt.Errorf("%s is not in the module cache", m)
		}
	}
	return folders, nil
}

// licenseFile matches the names of files with a license or a notice.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenseTexts returns the licenses and notices in a module's folder. It
// returns an error if the module has none, because it may not be distributed then.
func licenseTexts(folder string) ([]licenseText, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var texts []licenseText
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, licenseText{e.Name(), strings.ReplaceAll(string(content), "\r\n", "\n")})
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s has no license", filepath.Base(folder))
	}
	return texts, nil
}

// notices returns the licenses of all modules in one text, which the archives
// contain because most licenses demand that.
func notices(modules []module) []byte {
	var text strings.Builder
	text.WriteString("The program contains parts of the following software.\n")
	for _, m := range modules {
		for _, t := range m.texts {
			fmt.Fprintf(&text, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), m, t.file,
				strings.TrimRight(t.content, "\n "))
		}
	}
	return []byte(text.String())
}

// phrases are sentences that only one license has, in lower case and with
// single spaces, by the license's SPDX identifier.
var phrases = []struct{ id, with, without string }{
	{id: "Apache-2.0", with: "apache license, version 2.0"},
	{id: "Apache-2.0", with: "apache license version 2.0"},
	{id: "MPL-2.0", with: "mozilla public license version 2.0"},
	{id: "MPL-2.0", with: "mozilla public license, version 2.0"},
	{id: "MIT", with: "permission is hereby granted, free of charge, to any person obtaining a copy of this software"},
	{id: "BSD-3-Clause", with: "neither the name"},
	{id: "BSD-2-Clause", with: "redistribution and use in source and binary forms", without: "neither the name"},
	{id: "ISC", with: "permission to use, copy, modify, and/or distribute this software for any purpose"},
	{id: "ISC", with: "permission to use, copy, modify, and distribute this software for any purpose"},
}

// license returns the license of a module as an SPDX expression, from the
// texts in its file LICENSE or COPYING.
func license(texts []licenseText) string {
	var found []string
	for _, t := range texts {
		base, _, _ := strings.Cut(strings.ToLower(t.file), ".")
		if base == "notice" || base == "patents" || strings.Contains(base, "-") {
			continue // of a part, or no license
		}
		text := strings.Join(strings.Fields(strings.ToLower(t.content)), " ")
		for _, p := range phrases {
			if strings.Contains(text, p.with) && (p.without == "" || !strings.Contains(text, p.without)) &&
				!slices.Contains(found, p.id) {
				found = append(found, p.id)
			}
		}
	}
	return strings.Join(found, " AND ")
}
