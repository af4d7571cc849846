package httpserver

import (
	"net/http"
	"strings"

	"latchkey/internal/access"
	"latchkey/internal/fault"
)

// credential returns the secret that a request presents in X-Auth-Token or as a
// bearer token (RFC 6750, section 2.1). It returns fault.Invalid for two
// different secrets, and fault.Unauthenticated for none or for a malformed
// Authorization header; in the last case it also returns the header's value.
func credential(h http.Header) (string, error) {
	token, bearer := "", ""
	for _, value := range h["X-Auth-Token"] {
		if token != "" && value != token {
			return "", errDiffer()
		}
		token = value
	}
	for _, value := range h["Authorization"] {
		rest, is := cutScheme(value, "Bearer")
		if !is {
			continue
		}
		spaced := strings.HasPrefix(rest, " ")
		rest = strings.TrimLeft(rest, " ")
		if !spaced || !b64token(rest) {
			return value, errMalformedBearer
		}
		if bearer != "" && rest != bearer {
			return "", errDiffer()
		}
		bearer = rest
	}
	switch {
	case token != "" && bearer != "" && token != bearer:
		return "", errDiffer()
	case token != "":
		return token, nil
	case bearer != "":
		return bearer, nil
	}
	return "", errNoCredential
}

var errMalformedBearer = malformed("Send \"Authorization: Bearer\", a space, and the token.")

// malformed returns the error for a malformed Authorization header.
func malformed(message string) error {
	return fault.Errorf(fault.Unauthenticated, "%s", message).Because(&access.Refusal{Reason: access.ReasonMalformed})
}

var errNoCredential = fault.Errorf(fault.Unauthenticated, "Send a credential in X-Auth-Token or Authorization: Bearer.")

// errDiffer returns the error for a request with two different credentials (RFC
// 6750, section 2: a client must not use more than one method).
func errDiffer() error {
	return fault.Errorf(fault.Invalid, "The request carries two different credentials. Send one.")
}

// b64token reports whether text is a b64token (RFC 6750, section 2.1).
func b64token(text string) bool {
	body := strings.TrimRight(text, "=")
	for i := range len(body) {
		c := body[i]
		if c-'0' >= 10 && c-'A' >= 26 && c-'a' >= 26 && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return body != ""
}

// challenge returns the WWW-Authenticate header of a 401: Basic (RFC 7617,
// section 2) if that is what the request presented, or else Bearer (RFC 6750,
// section 3), with the error invalid_token if a credential was presented.
func challenge(presented string) []string {
	switch {
	case strings.HasPrefix(presented, basicScheme):
		return challengeBasic
	case presented != "":
		return challengeInvalid
	}
	return challengeBearer
}

// All responses share these header values, which must not be modified.
var (
	challengeBasic   = []string{`Basic realm="latchkey", charset="UTF-8"`}
	challengeInvalid = []string{`Bearer realm="latchkey", error="invalid_token"`}
	challengeBearer  = []string{`Bearer realm="latchkey"`}
	challengeGateway = []string{`Latchkey-Gateway realm="latchkey"`}
)
