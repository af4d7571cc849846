// Package httpserver is the program's edge to HTTP: two listeners, the public
// one for clients and the admin one for whoever watches the program; what
// every request passes through; and an orderly stop.
//
// What a request needs on its way is one value, the exchange, which is also
// the ResponseWriter that handlers get. The principal alone rides in the
// context (package auth).
package httpserver
