// Package httpserver is the HTTP layer of the program: a public listener for
// clients, an admin listener for monitoring, the processing common to all
// requests, and graceful shutdown.
//
// The state of a request is one value, the requestState, which is also the
// ResponseWriter passed to handlers. Only the principal is stored in the
// request context (package auth).
package httpserver
