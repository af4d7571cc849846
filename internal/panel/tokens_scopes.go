package panel

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"latchkey/internal/scope"
)

// scopePrefix is the prefix of the fields that select scopes. A resource's key follows it.
const scopePrefix = "scopes."

// scopeSection is a group of resources.
type scopeSection struct {
	Name      string
	Resources []scopeResource
}

// Anchor returns the ID of the section's heading.
func (s scopeSection) Anchor() string {
	return "section-" + strings.ToLower(strings.ReplaceAll(s.Name, " ", "-"))
}

// Chosen returns the number of resources with a selected permission.
func (s scopeSection) Chosen() int {
	n := 0
	for _, r := range s.Resources {
		if !r.None {
			n++
		}
	}
	return n
}

// scopeResource is a resource with its permissions.
type scopeResource struct {
	Key, Name, Description string
	Permissions            []scopeChoice
	// None reports whether no permission is selected.
	None bool
}

// Field returns the name of the resource's fields.
func (r scopeResource) Field() string { return scopePrefix + r.Key }

// Exclusive reports whether one permission is chosen at most: each implies the one before it.
func (r scopeResource) Exclusive() bool {
	for i := 1; i < len(r.Permissions); i++ {
		if !slices.Contains(r.Permissions[i].Implies, r.Permissions[i-1].Scope) {
			return false
		}
	}
	return true
}

// Words returns what the filter over the scopes searches.
func (r scopeResource) Words() string {
	words := []string{r.Name, r.Description}
	for _, p := range r.Permissions {
		words = append(words, p.Scope)
	}
	return strings.ToLower(strings.Join(words, " "))
}

// scopeChoice is one permission.
type scopeChoice struct {
	scope.Permission

	Chosen bool
}

// Parts returns the scope in parts between which its ID may break.
func (c scopeChoice) Parts() []string { return strings.SplitAfter(c.Scope, "_") }

// Implied returns the scopes that the permission implies, separated by spaces.
func (c scopeChoice) Implied() string { return strings.Join(c.Implies, " ") }

// sectionsOf returns the resources by section, or by the part of a long one, with the chosen scopes selected. Of
// permissions that exclude each other it selects the last one, which implies the others.
func sectionsOf(resources []scope.Resource, chosen []string) []scopeSection {
	var all []scopeSection
	for _, r := range resources {
		line := scopeResource{Key: r.Key, Name: r.Name, Description: r.Description, None: true}
		for _, p := range r.Permissions {
			isChosen := slices.Contains(chosen, p.Scope)
			line.None = line.None && !isChosen
			line.Permissions = append(line.Permissions, scopeChoice{p, isChosen})
		}
		if line.Exclusive() {
			selectLast(line.Permissions)
		}
		name := cmp.Or(r.Group, r.Section)
		at := slices.IndexFunc(all, func(s scopeSection) bool { return s.Name == name })
		if at < 0 {
			at, all = len(all), append(all, scopeSection{Name: name})
		}
		all[at].Resources = append(all[at].Resources, line)
	}
	return all
}

// selectLast leaves only the last selected choice selected.
func selectLast(choices []scopeChoice) {
	later := false
	for i := len(choices) - 1; i >= 0; i-- {
		choices[i].Chosen, later = choices[i].Chosen && !later, later || choices[i].Chosen
	}
}

// chosenScopes returns the scopes that a form selects, without validating them.
func (f *form) chosenScopes() []string {
	var chosen []string
	for _, field := range slices.Sorted(maps.Keys(f.Values)) {
		if !strings.HasPrefix(field, scopePrefix) {
			continue
		}
		for _, name := range f.Values[field] {
			if name != "" {
				chosen = append(chosen, name)
			}
		}
	}
	return chosen
}

// offersCharges reports whether the sections have the permission to charge, which a charge limit requires.
func offersCharges(sections []scopeSection) bool {
	for _, s := range sections {
		for _, r := range s.Resources {
			for _, p := range r.Permissions {
				if p.Scope == scope.AccountChargesWrite {
					return true
				}
			}
		}
	}
	return false
}

// shownPreset is a preset of scopes with the address of the form that starts with it.
type shownPreset struct {
	scope.Preset

	Address string
	Current bool
}

// Names returns the scopes, separated by spaces.
func (p shownPreset) Names() string { return strings.Join(p.Scopes, " ") }

// Tip returns what the preset is for, and its scopes.
func (p shownPreset) Tip() string { return p.Description + "\n" + strings.Join(p.Scopes, "\n") }

// Reach returns a part of a message key that says where the scopes work: in the "account", in its "stores" or in
// "both".
func (p shownPreset) Reach() string {
	ofAccount := 0
	for _, name := range p.Scopes {
		if strings.HasPrefix(name, "account_") {
			ofAccount++
		}
	}
	switch ofAccount {
	case 0:
		return "stores"
	case len(p.Scopes):
		return "account"
	}
	return "both"
}

// presetGroup is the presets whose scopes work in the same place.
type presetGroup struct {
	Reach   string
	Presets []shownPreset
}

// presetsOf returns the presets for a token with permissions on the resources, by where their scopes work. current is
// the key of the chosen one.
func presetsOf(resources []scope.Resource, form, current string) []presetGroup {
	groups := []presetGroup{{Reach: "both"}, {Reach: "account"}, {Reach: "stores"}}
	for _, p := range scope.Presets(resources) {
		shown := shownPreset{p, form + "?preset=" + p.Key, p.Key == current}
		for i := range groups {
			if groups[i].Reach == shown.Reach() {
				groups[i].Presets = append(groups[i].Presets, shown)
			}
		}
	}
	return slices.DeleteFunc(groups, func(g presetGroup) bool { return len(g.Presets) == 0 })
}
