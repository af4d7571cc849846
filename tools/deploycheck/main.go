// Command deploycheck checks files of deploy with the code of the programs that
// read them: manifests with the types of Kubernetes, a Compose file with the
// loader of Docker Compose, a Dockerfile with the parser of BuildKit. It prints
// what it understood as JSON. It is a module of its own, so that Latchkey does
// not depend on theirs.
//
//	deploycheck kubernetes FILE…
//	deploycheck compose FILE
//	deploycheck dockerfile FILE
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "deploycheck:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("give kubernetes, compose or dockerfile, and a file")
	}
	var understood []any
	for _, file := range args[1:] {
		one, err := read(args[0], file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		understood = append(understood, one)
	}
	return json.NewEncoder(os.Stdout).Encode(understood)
}

func read(kind, file string) (any, error) {
	switch kind {
	case "kubernetes":
		return manifest(file)
	case "compose":
		return project(file)
	case "dockerfile":
		return stages(file)
	}
	return nil, fmt.Errorf("there is no check for %q", kind)
}

// objects returns an empty object of a kind, by its version and kind.
var objects = map[string]func() any{
	"v1 Namespace":                       func() any { return new(core.Namespace) },
	"v1 ServiceAccount":                  func() any { return new(core.ServiceAccount) },
	"v1 ConfigMap":                       func() any { return new(core.ConfigMap) },
	"v1 Service":                         func() any { return new(core.Service) },
	"apps/v1 Deployment":                 func() any { return new(apps.Deployment) },
	"batch/v1 Job":                       func() any { return new(batch.Job) },
	"policy/v1 PodDisruptionBudget":      func() any { return new(policy.PodDisruptionBudget) },
	"networking.k8s.io/v1 NetworkPolicy": func() any { return new(networking.NetworkPolicy) },
}

// manifest reads a file with one object, and refuses fields and values that its
// type does not have.
func manifest(file string) (any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var meta struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(text, &meta); err != nil {
		return nil, err
	}
	empty, ok := objects[meta.APIVersion+" "+meta.Kind]
	if !ok {
		return nil, fmt.Errorf("%s %s is not a kind that is checked", meta.APIVersion, meta.Kind)
	}
	object := empty()
	return object, yaml.UnmarshalStrict(text, object)
}

// project reads a Compose file, with the environment for its variables.
func project(file string) (any, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithOsEnv,
		cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	loaded, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	text, err := loaded.MarshalJSON()
	return json.RawMessage(text), err
}

// stage is a stage of a Dockerfile with the names and texts of its
// instructions.
type stage struct {
	Name, Base   string
	Instructions []instruction
}

type instruction struct{ Name, Text string }

func stages(file string) (any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, warning := range parsed.Warnings {
		return nil, errors.New(warning.Short)
	}
	var faults []error
	checks := linter.New(&linter.Config{Warn: func(rule, description, _, message string, _ []parser.Range) {
		faults = append(faults, fmt.Errorf("%s: %s (%s)", rule, message, description))
	}})
	read, _, err := instructions.Parse(parsed.AST, checks)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	var all []stage
	for _, s := range read {
		one := stage{Name: s.Name, Base: s.BaseName}
		for _, c := range s.Commands {
			line := c.Location()[0].Start.Line
			one.Instructions = append(one.Instructions, instruction{c.Name(), lineOf(text, line)})
		}
		all = append(all, one)
	}
	return all, nil
}

// lineOf returns a line of a text; the first is 1.
func lineOf(text []byte, number int) string {
	return string(bytes.Split(text, []byte("\n"))[number-1])
}
