// Command graphgen generates the GraphQL layer: what gqlgen generates by the
// gqlgen.yml of the working directory or the nearest one above, and beside it
// the fast path for plain objects (package graph/plain).
//
//	go run latchkey/tools/graphgen
package main

import (
	"fmt"
	"os"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "graphgen:", err)
		os.Exit(1)
	}
}

func generate() error {
	cfg, err := config.LoadConfigFromDefaultLocations()
	if err != nil {
		return err
	}
	return api.Generate(cfg, api.AddPlugin(plugin{}))
}
