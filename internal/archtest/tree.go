package archtest

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// machineTraces match what only means something on the machine where it was written. They are put together from parts
// so that they do not match themselves.
var machineTraces = regexp.MustCompile(`(?i)\b(proxy|sum)\.golang\` + `.org|\bregistry\.npmjs\` + `.org|\bregistry\.yarnpkg\` + `.com|` +
	`\b(deb|security)\.debian\` + `.org|(^|[\s"'=:(])/(home|Users|root)/\w`)

func checkNoMachineTraces(m Module) []Finding {
	var findings []Finding
	for _, text := range m.Texts {
		number := 0
		for line := range strings.Lines(text.Content) {
			number++
			if trace := machineTraces.FindString(line); trace != "" {
				findings = append(findings, Finding{text.Path, number, "speaks of one machine: " + strings.TrimSpace(trace)})
			}
		}
	}
	return findings
}

var (
	// makeCommand matches a command as guides write it: in backquotes, or as a line of a block.
	makeCommand = regexp.MustCompile("(?:`|^\\s*\\$? ?)make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
	makeTarget  = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

// checkMakeTargets holds the guides to the Makefile. Without one there is nothing that guides could name.
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
