// Package graph is the GraphQL transport: it decodes requests, decides by the
// schema what a principal may ask for, and calls the capabilities. Resolvers
// decode, make one call, and encode.
//
// What gqlgen generates from the schema is in generated and model. It is never
// edited; `go generate ./graph` makes it anew.
package graph

//go:generate go run latchkey/internal/graphgen
