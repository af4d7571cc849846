package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// builder makes releases of one commit.
type builder struct {
	source    source
	platforms []platform
	fresh     bool
}

// into writes a release to a folder, after deleting what is in it.
func (b builder) into(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "latchkey-release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	clone := filepath.Join(scratch, "clone")
	if err := b.source.clone(clone); err != nil {
		return err
	}
	programs, err := b.compile(clone, scratch)
	if err != nil {
		return err
	}
	modules, err := modulesOf(clone, programs)
	if err != nil {
		return err
	}
	common, err := b.common(clone, scratch, modules)
	if err != nil {
		return err
	}
	for _, p := range programs {
		if err := b.pack(folder, clone, p, common); err != nil {
			return err
		}
	}
	bom, err := json.MarshalIndent(billOfMaterials(b.source, programs, modules), "", "  ")
	if err != nil {
		return err
	}
	if err := write(filepath.Join(folder, b.source.name()+bomSuffix), append(bom, '\n')); err != nil {
		return err
	}
	all, err := sums(folder)
	if err != nil {
		return err
	}
	return write(filepath.Join(folder, sumsFile), []byte(all))
}

// compile builds the program for each platform, and for this machine, whose
// program writes the manual pages.
func (b builder) compile(clone, scratch string) ([]program, error) {
	cache := ""
	if b.fresh {
		cache = filepath.Join(scratch, "cache")
		defer os.RemoveAll(cache)
	}
	if !slices.Contains(b.platforms, host()) {
		if err := b.source.compile(clone, hostProgram(scratch), host(), cache); err != nil {
			return nil, err
		}
	}
	var programs []program
	for _, p := range b.platforms {
		file := filepath.Join(scratch, p.os+"-"+p.arch, programFile)
		if p == host() {
			file = hostProgram(scratch)
		}
		if err := b.source.compile(clone, file, p, cache); err != nil {
			return nil, err
		}
		read, err := readProgram(file, p)
		if err != nil {
			return nil, err
		}
		if err := read.check(b.source); err != nil {
			return nil, err
		}
		programs = append(programs, read)
	}
	return programs, nil
}

func hostProgram(scratch string) string { return filepath.Join(scratch, "host", programFile) }

// common returns the files that the archives of all platforms have.
func (b builder) common(clone, scratch string, modules []module) (map[string][]byte, error) {
	files, err := b.source.manual(hostProgram(scratch), filepath.Join(scratch, "man1"))
	if err != nil {
		return nil, err
	}
	files["THIRD-PARTY-LICENSES.txt"] = notices(modules)
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		if files[name], err = os.ReadFile(filepath.Join(clone, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// pack writes the archive of one platform.
func (b builder) pack(folder, clone string, p program, common map[string][]byte) error {
	files := maps.Clone(common)
	files[programFile] = p.content
	if p.platform.os == "linux" {
		for _, name := range []string{"latchkey.service", "latchkey-backup.service", "latchkey-backup.timer"} {
			unit, err := os.ReadFile(filepath.Join(clone, "deploy", "systemd", name))
			if err != nil {
				return err
			}
			files["systemd/"+name] = unit
		}
	}
	name := b.archiveName(p.platform)
	packed, err := archive(name, files, b.source.at)
	if err != nil {
		return err
	}
	return write(filepath.Join(folder, name+archiveSuffix), packed)
}

const archiveSuffix, bomSuffix = ".tar.gz", ".cdx.json"

func (b builder) archiveName(p platform) string { return b.source.name() + "_" + p.os + "_" + p.arch }

// repeat checks a release, and that a second build makes the same bytes.
func (b builder) repeat(folder string) error {
	if err := checkSums(folder); err != nil {
		return err
	}
	if err := b.checkBill(folder); err != nil {
		return err
	}
	again, err := os.MkdirTemp("", "latchkey-again-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(again)
	if err := b.into(again); err != nil {
		return err
	}
	different, err := differences(folder, again)
	if err != nil {
		return err
	}
	if len(different) > 0 {
		return fmt.Errorf("a second build made other bytes: %s", strings.Join(different, ", "))
	}
	fmt.Printf("%s: the second build of %s is byte-identical\n", folder, b.source.version)
	return nil
}

// checkBill compares the bill of materials of a release with the programs in
// its archives.
func (b builder) checkBill(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, b.source.name()+bomSuffix))
	if err != nil {
		return fmt.Errorf("the release is of another commit, or has no bill of materials: %w", err)
	}
	var listed bill
	if err := json.Unmarshal(text, &listed); err != nil {
		return fmt.Errorf("the bill of materials: %w", err)
	}
	var faults []error
	for _, p := range b.platforms {
		packed, err := os.ReadFile(filepath.Join(folder, b.archiveName(p)+archiveSuffix))
		if err != nil {
			return err
		}
		content, err := programOf(packed)
		if err != nil {
			return fmt.Errorf("%s: %w", b.archiveName(p), err)
		}
		read, err := parseProgram(content, p)
		if err != nil {
			return err
		}
		faults = append(faults, listed.describes(read))
	}
	return errors.Join(faults...)
}

func write(file string, content []byte) error {
	return os.WriteFile(file, content, 0o644)
}
