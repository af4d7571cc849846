// Package graph is the Account API in GraphQL. Package server decodes requests;
// this package authorizes them by the directives of the schema, charges for them,
// and calls the capabilities. A resolver decodes its arguments, makes one call,
// and encodes the result.
//
// gqlgen generates the packages generated and model from the schema. Do not
// edit them: run `go generate ./graph`.
package graph

//go:generate go run latchkey/tools/graphgen
