package scope

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"latchkey/internal/strictyaml"
)

// Preset is a set of scopes for a common kind of program.
type Preset struct {
	// Key is the name for programs.
	Key string
	// Name and Description are for display.
	Name, Description string
	// Scopes are the scopes, sorted.
	Scopes []string

	// every is the name of a permission: the preset has all scopes with it.
	every string
}

// IdentityProvider is the key of the preset for identity providers, which provision users over SCIM.
const IdentityProvider = "identity_provider"

//go:embed presets.yaml
var builtInPresets string

var defaultPresets = sync.OnceValue(func() []Preset {
	presets, err := parsePresets(strings.NewReader(builtInPresets))
	if err != nil {
		panic(fmt.Sprintf("the built-in presets of scopes: %v", err))
	}
	return presets
})

// Presets returns the presets of which a token that can have permissions on the
// resources can have all scopes, in display order.
func Presets(offered []Resource) []Preset {
	var fitting []Preset
	for _, p := range defaultPresets() {
		if p, fits := p.of(offered); fits {
			fitting = append(fitting, p)
		}
	}
	return fitting
}

// of returns the preset with the scopes that it has among the resources, and reports whether there are any and none is
// missing.
func (p Preset) of(offered []Resource) (Preset, bool) {
	var there []string
	chosen := slices.Clone(p.Scopes)
	for _, r := range offered {
		for _, each := range r.Permissions {
			there = append(there, each.Scope)
			if p.every != "" && each.Name == p.every {
				chosen = append(chosen, each.Scope)
			}
		}
	}
	p.Scopes = NewSet(chosen...).Names()
	return p, len(p.Scopes) > 0 && NewSet(there...).HasAll(p.Scopes...)
}

// parsePresets parses presets in the format that the built-in file explains.
func parsePresets(r io.Reader) ([]Preset, error) {
	root, err := strictyaml.Read(r, "presets of scopes", catalogueLimit)
	if err != nil {
		return nil, err
	}
	var faults strictyaml.Faults
	var presets []Preset
	keys := strictyaml.Seen[string]{}
	for _, n := range faults.Mapping(root, "the presets", "presets").Some("presets") {
		m := faults.Mapping(n, "a preset", "key", "name", "description", "scopes", "every")
		if !m.Is() {
			continue
		}
		p := Preset{Key: text(m, "key"), Name: text(m, "name"), Description: text(m, "description")}
		if p.every = m.OptionalText("every", notBlank, blankRule); p.every == "" {
			for _, one := range m.Some("scopes") {
				p.Scopes = append(p.Scopes, faults.Text(one, "a scope", notBlank, blankRule))
			}
		}
		keys.Again(&faults, p.Key, n.Line, fmt.Sprintf("preset %q", p.Key))
		presets = append(presets, p)
	}
	return presets, faults.Err()
}
