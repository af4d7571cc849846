package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/test/check"
)

// linked returns the modules of which the program contains packages, as the Go toolchain records them.
var linked = sync.OnceValues(func() ([]*debug.Module, error) {
	sums := map[string]string{}
	file, err := os.ReadFile("../../go.sum")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(file)) {
		if f := strings.Fields(line); len(f) == 3 {
			sums[f[0]+"@"+f[1]] = f[2]
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}",
		"../../cmd/latchkey")
	text, err := output(list)
	if err != nil {
		return nil, err
	}
	var modules []*debug.Module
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		if path, version, _ := strings.Cut(line, " "); version != "" {
			modules = append(modules, &debug.Module{Path: path, Version: version, Sum: sums[path+"@"+version]})
		}
	}
	if len(modules) < 20 {
		return nil, fmt.Errorf("got %d modules in the program, want at least 20", len(modules))
	}
	return modules, nil
})

// licensedModules returns the modules of products with their licenses.
var licensedModules = sync.OnceValues(func() ([]module, error) {
	programs, err := products()
	if err != nil {
		return nil, err
	}
	return modulesOf("../..", programs)
})

// products returns a program for linux that has all modules of the real one, and one for darwin that lacks the last.
func products() ([]program, error) {
	all, err := linked()
	if err != nil {
		return nil, err
	}
	return []program{
		{platform{"linux", "arm64"}, []byte("program"), &debug.BuildInfo{GoVersion: runtime.Version(), Deps: all}},
		{platform{"darwin", "arm64"}, []byte("other"), &debug.BuildInfo{GoVersion: runtime.Version(),
			Deps: all[:len(all)-1]}},
	}, nil
}

func product(t *testing.T) []program {
	t.Helper()
	programs, err := products()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

var commit = source{"0123456789012345678901234567890123456789", "v1.2.3", commitTime}

func materials(t *testing.T, programs []program) (bill, []module) {
	t.Helper()
	modules, err := licensedModules()
	if err != nil {
		t.Fatal(err)
	}
	return billOfMaterials(commit, programs, modules), modules
}

// Each module in the program has a license that is known, and a hash except for the standard library.
func TestModules(t *testing.T) {
	b, modules := materials(t, product(t))
	for _, m := range modules {
		if m.license == "" {
			t.Errorf("license of %s: got none, want one that phrases has", m)
		}
		if m.path != standardLibrary && len(m.component().Hashes) != 1 {
			t.Errorf("hash of %s: got none, want that of go.sum", m)
		}
		if !bytes.Contains(notices(modules), []byte("\n"+m.String()+": ")) {
			t.Errorf("notices: got no license of %s, want that of each module", m)
		}
	}
	check.Equal(t, len(b.Components), 2+len(modules), "components: two programs and the modules")
}

func TestLicense(t *testing.T) {
	for want, texts := range map[string][]licenseText{
		"":             {{"LICENSE", "All rights reserved."}},
		"MIT":          {{"NOTICE", "Apache License, Version 2.0"}, {"LICENSE.md", "Permission is\nhereby granted, free of charge, to any person obtaining a copy of this software"}},
		"BSD-2-Clause": {{"LICENSE", "Redistribution and use in source and binary forms, with or without"}},
		"BSD-3-Clause": {{"COPYING", "Redistribution and use in source and binary forms. Neither the name of"}},
		"Apache-2.0 AND MIT": {{"LICENSE", "Apache License\n   Version 2.0, and: Permission is hereby granted, " +
			"free of charge, to any person obtaining a copy of this software"}, {"LICENSE-PART", "Mozilla Public License Version 2.0"}},
	} {
		check.Equal(t, license(texts), want, "license")
	}
	if _, err := licenseTexts(t.TempDir()); err == nil {
		t.Error("licenseTexts of a folder without a license: got no error, want one")
	}
}

const cyclonedx = "testdata/cyclonedx"

// validate returns what the schema of CycloneDX refuses in each bill of materials, "" if nothing.
func validate(t *testing.T, bills []bill) []string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cyclonedx, "node_modules", "@cyclonedx")); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = cyclonedx
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("this needs Node and its npm, and the packages in %s: %v\n%s", cyclonedx, err, out)
		}
	}
	text, err := json.Marshal(bills)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "node", "validate.mjs")
	c.Dir, c.Stdin = cyclonedx, bytes.NewReader(text)
	out, err := output(c)
	if err != nil {
		t.Fatal(err)
	}
	faults := strings.Split(out, "\n")
	if len(faults) != len(bills) {
		t.Fatalf("validate.mjs: got %s, want a line for each of %d bills", out, len(bills))
	}
	return faults
}

// CycloneDX's own schema accepts the bill of materials, and refuses it after a change of each kind.
func TestSchemaOfCycloneDX(t *testing.T) {
	right, _ := materials(t, product(t))
	text, err := json.Marshal(right)
	if err != nil {
		t.Fatal(err)
	}
	bills := []bill{right}
	changes := []struct {
		name   string
		change func(*bill)
	}{
		{"serial number", func(b *bill) { b.Serial = "urn:uuid:1" }},
		{"time", func(b *bill) { b.Metadata.Timestamp = "yesterday" }},
		{"license", func(b *bill) { b.Components[2].Licenses = licenses("BSD") }},
		{"hash", func(b *bill) { b.Components[0].Hashes[0].Content = "1234" }},
		{"type", func(b *bill) { b.Components[0].Type = "program" }},
		{"component, twice", func(b *bill) { b.Components[0] = b.Components[1] }},
	}
	for _, c := range changes {
		var changed bill
		if err := json.Unmarshal(text, &changed); err != nil {
			t.Fatal(err)
		}
		c.change(&changed)
		bills = append(bills, changed)
	}
	faults := validate(t, bills)
	check.Equal(t, faults[0], "", "faults of the bill of materials")
	for i, c := range changes {
		if faults[i+1] == "" {
			t.Errorf("a wrong %s: got no fault, want one", c.name)
		}
	}
}

// A bill of materials is the same for the same programs, and describes them only.
func TestBillDescribesItsPrograms(t *testing.T) {
	programs := product(t)
	b, modules := materials(t, programs)
	check.Equal(t, billOfMaterials(commit, programs, modules), b, "bill of the same programs")
	for _, p := range programs {
		if err := b.describes(p); err != nil {
			t.Error(err)
		}
	}
	changed := func(change func(*program)) program {
		info := *programs[0].info
		info.Deps = slices.Clone(info.Deps)
		p := program{programs[0].platform, programs[0].content, &info}
		change(&p)
		return p
	}
	for want, p := range map[string]program{
		"another hash": changed(func(p *program) { p.content = []byte("changed") }),
		"has no pkg:golang/example.com/more": changed(func(p *program) {
			p.info.Deps = append(p.info.Deps, &debug.Module{Path: "example.com/more", Version: "v1.0.0"})
		}),
		"which is not in the program":     changed(func(p *program) { p.info.Deps = p.info.Deps[1:] }),
		"has pkg:golang/std@":             changed(func(p *program) { p.info.GoVersion = "go1.0" }),
		"another hash of the program for": changed(func(p *program) { p.platform.os = "plan9" }),
	} {
		if err := b.describes(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("describes: got %v, want an error with %q", err, want)
		}
	}
	b.Components[2].Version = "v9"
	if err := b.describes(programs[0]); err == nil || !strings.Contains(err.Error(), "serial number") {
		t.Errorf("describes after a change of %s: got %v, want an error", modules[0], err)
	}
}

// A program is refused that was built from another commit, from changed files, with cgo or for another platform.
func TestProgramIsOfTheCommit(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	right := []debug.BuildSetting{setting("vcs.revision", commit.commit), setting("vcs.modified", "false"),
		setting("CGO_ENABLED", "0"), setting("-trimpath", "true"), setting("GOOS", "linux"), setting("GOARCH", "arm64")}
	p := program{platform: platform{"linux", "arm64"}, info: &debug.BuildInfo{Settings: right}}
	if err := p.check(commit); err != nil {
		t.Error(err)
	}
	for i, s := range right {
		p.info = &debug.BuildInfo{Settings: slices.Clone(right)}
		p.info.Settings[i].Value = "other"
		if err := p.check(commit); err == nil || !strings.Contains(err.Error(), s.Key) {
			t.Errorf("another %s: got %v, want an error", s.Key, err)
		}
		p.info = &debug.BuildInfo{Settings: slices.Delete(slices.Clone(right), i, i+1)}
		if p.check(commit) == nil {
			t.Errorf("no %s: got no error, want one", s.Key)
		}
	}
}
