package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// bill is a software bill of materials of CycloneDX 1.6, with the parts
// that releases use.
type bill struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber,omitempty"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp  string      `json:"timestamp"`
	Lifecycles []lifecycle `json:"lifecycles"`
	Component  component   `json:"component"`
}

type lifecycle struct {
	Phase string `json:"phase"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []licensed `json:"licenses,omitempty"`
	URL        string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// licensed has an identifier of one license, or an expression.
type licensed struct {
	License    *licenseID `json:"license,omitempty"`
	Expression string     `json:"expression,omitempty"`
}

type licenseID struct {
	ID string `json:"id"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// sumProperty is the property with the hash of a module in go.sum.
const sumProperty = "latchkey:go:h1"

// billOfMaterials lists the programs of a release, and the modules in each.
// The same programs give the same bill: its time is that of the commit, and
// its serial number is derived from the rest.
func billOfMaterials(s source, programs []program, modules []module) bill {
	product := component{Type: "application", Ref: packageURL("latchkey", s.version), Name: "latchkey",
		Version: s.version, Licenses: licenses("Apache-2.0"), URL: packageURL("latchkey", s.version),
		Properties: []property{{"latchkey:vcs:revision", s.commit}}}
	b := bill{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{
		s.at.Format(time.RFC3339), []lifecycle{{"build"}}, product}}
	contains := dependency{Ref: product.Ref}
	for _, p := range programs {
		part := p.component()
		contains.DependsOn = append(contains.DependsOn, part.Ref)
		b.Components = append(b.Components, part)
	}
	for _, m := range modules {
		b.Components = append(b.Components, m.component())
	}
	b.Dependencies = []dependency{contains}
	for _, p := range programs {
		uses := dependency{Ref: p.ref()}
		for _, m := range p.modules() {
			uses.DependsOn = append(uses.DependsOn, packageURL(m.path, m.version))
		}
		b.Dependencies = append(b.Dependencies, uses)
	}
	for _, m := range modules {
		b.Dependencies = append(b.Dependencies, dependency{Ref: packageURL(m.path, m.version)})
	}
	b.Serial = b.serial()
	return b
}

func (b bill) serial() string {
	b.Serial = ""
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // a bill has only strings
	}
	return "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, text).String()
}

func (p program) ref() string { return "program:" + p.platform.String() }

func (p program) component() component {
	return component{Type: "file", Ref: p.ref(), Name: programFile, Hashes: []hash{{"SHA-256", digest(p.content)}},
		Properties: []property{{"latchkey:go:os", p.platform.os}, {"latchkey:go:arch", p.platform.arch}}}
}

func (m module) component() component {
	address := packageURL(m.path, m.version)
	c := component{Type: "library", Ref: address, Name: m.path, Version: m.version, Scope: "required",
		Licenses: licenses(m.license), URL: address}
	// The sum is the hash of the list of the module's files with their hashes. Tools expect it as the module's hash.
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:")); err == nil && len(sum) == 32 {
		c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		c.Properties = []property{{sumProperty, m.sum}}
	}
	return c
}

// packageURL returns the package URL of a module, in which names are in lower
// case.
func packageURL(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + url.QueryEscape(version)
}

func licenses(expression string) []licensed {
	switch {
	case expression == "":
		return nil
	case strings.Contains(expression, " "):
		return []licensed{{Expression: expression}}
	}
	return []licensed{{License: &licenseID{expression}}}
}

// describes returns an error unless the bill has the hash of a program and
// exactly the modules in it.
func (b bill) describes(p program) error {
	want := map[string]bool{}
	for _, m := range p.modules() {
		want[packageURL(m.path, m.version)] = true
	}
	if b.serial() != b.Serial {
		return fmt.Errorf("the bill of materials: its serial number does not belong to its content")
	}
	known := map[string]component{}
	for _, c := range b.Components {
		known[c.Ref] = c
	}
	listed := known[p.ref()]
	if len(listed.Hashes) != 1 || listed.Hashes[0].Content != digest(p.content) {
		return fmt.Errorf("the bill of materials has another hash of the program for %s", p.platform)
	}
	for _, d := range b.Dependencies {
		if d.Ref != p.ref() {
			continue
		}
		for _, ref := range d.DependsOn {
			if !want[ref] || known[ref].Ref == "" {
				return fmt.Errorf("the bill of materials has %s, which is not in the program for %s", ref, p.platform)
			}
			delete(want, ref)
		}
	}
	for ref := range want {
		return fmt.Errorf("the bill of materials has no %s, which is in the program for %s", ref, p.platform)
	}
	return nil
}
