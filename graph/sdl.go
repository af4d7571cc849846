package graph

import (
	"strings"

	"github.com/vektah/gqlparser/v2/formatter"

	"latchkey/graph/generated"
)

// SDL returns the schema of the API in GraphQL's schema language, with the
// descriptions and the directives that say which scopes a field needs.
func SDL() string {
	var text strings.Builder
	formatter.NewFormatter(&text, formatter.WithIndent("  ")).FormatSchema(
		generated.NewExecutableSchema(generated.Config{}).Schema())
	return text.String()
}
