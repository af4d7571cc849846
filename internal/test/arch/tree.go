package arch

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Text that is valid only on the machine where it was written. The constants are concatenated so that this file does
// not match them.
var (
	registries = []string{"proxy.golang" + ".org", "sum.golang" + ".org", "registry.npmjs" + ".org",
		"registry.yarnpkg" + ".com",
		"deb.debian" + ".org", "security.debian" + ".org"}
	homes = []string{"/ho" + "me/", "/Us" + "ers/", "/ro" + "ot/"}
)

// scimUsers is the home folder that is also the path of a user in SCIM, where the ID is the last part of the path. A
// path on a machine goes on.
const scimUsers = "/Us" + "ers/"

var folderInHome = regexp.MustCompile(`^[A-Za-z][\w.-]*/`)

func checkNoMachineTraces(m Module) []Finding {
	var findings []Finding
	for _, text := range m.Texts {
		for _, host := range registries {
			if at := strings.Index(text.Content, host); at >= 0 {
				findings = append(findings, Finding{text.Path, lineAt(text.Content, at), "names a registry: " + host})
			}
		}
		for _, home := range homes {
			if at := startOfPath(text.Content, home); at >= 0 {
				findings = append(findings, Finding{text.Path, lineAt(text.Content, at),
					"names a folder of one machine: " + home})
			}
		}
	}
	return findings
}

// startOfPath returns where an absolute path with this prefix begins, or -1. A match within a URL does not count.
func startOfPath(content, prefix string) int {
	for from := 0; ; {
		at := strings.Index(content[from:], prefix)
		if at < 0 {
			return -1
		}
		at += from
		begins := at == 0 || strings.ContainsRune(" \t\n\"'`=:(", rune(content[at-1]))
		if begins && (prefix != scimUsers || folderInHome.MatchString(content[at+len(prefix):])) {
			return at
		}
		from = at + len(prefix)
	}
}

func lineAt(content string, at int) int { return strings.Count(content[:at], "\n") + 1 }

var (
	// makeCommand matches a command as guides write it: in backquotes, or as a line of a block.
	makeCommand = regexp.MustCompile("(?:`|^\\s*\\$? ?)make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
	makeTarget  = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

// checkMakeTargets checks that the make targets named in Markdown files exist. Without a Makefile it finds nothing.
func checkMakeTargets(m Module) []Finding {
	var targets []string
	for _, text := range m.Texts {
		if text.Path == "Makefile" {
			for _, match := range makeTarget.FindAllStringSubmatch(text.Content, -1) {
				targets = append(targets, match[1])
			}
		}
	}
	var findings []Finding
	for _, text := range m.Texts {
		if path.Ext(text.Path) != ".md" {
			continue
		}
		number := 0
		for line := range strings.Lines(text.Content) {
			number++
			for _, match := range makeCommand.FindAllStringSubmatch(line, -1) {
				if target, _, _ := strings.Cut(match[1], " "); !slices.Contains(targets, target) {
					findings = append(findings, Finding{text.Path, number, "the Makefile has no target " + target})
				}
			}
		}
	}
	return findings
}

// checkNoBinaries finds executables and large files, except for those that .gitignore excludes.
func checkNoBinaries(m Module) []Finding {
	var ignored []string
	for _, text := range m.Texts {
		if text.Path == ".gitignore" {
			ignored = strings.Fields(text.Content)
		}
	}
	var findings []Finding
	for _, file := range m.Heavy {
		if !slices.ContainsFunc(ignored, func(pattern string) bool { return matches(pattern, file) }) {
			findings = append(findings, Finding{file, 0, "is a program, or larger than 2 MB"})
		}
	}
	return findings
}

// matches reports whether a pattern of .gitignore matches a file: by its path if it begins with a slash, otherwise by
// its name.
func matches(pattern, file string) bool {
	name, anchored := strings.CutPrefix(pattern, "/")
	if !anchored {
		file = path.Base(file)
	}
	match, err := path.Match(name, file)
	return err == nil && match
}
