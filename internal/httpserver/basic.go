package httpserver

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/config"
	"latchkey/internal/fault"
)

// legacyPaths is the prefix of the paths, below a store, that legacy API
// accounts may use.
const legacyPaths = "/v2/"

// basicScheme is the prefix of a credential presented by HTTP Basic.
const basicScheme = "Basic "

// hasBasicScheme reports whether a request has an Authorization header with the
// Basic scheme, well formed or not.
func hasBasicScheme(h http.Header) bool {
	return slices.ContainsFunc(h["Authorization"], func(value string) bool {
		_, is := cutScheme(value, strings.TrimSpace(basicScheme))
		return is
	})
}

// cutScheme returns the part of an Authorization header after the scheme, and
// whether the header has that scheme. Schemes are case-insensitive and end at
// the first byte that is not a token character (RFC 9110, section 11.1). A tab
// therefore ends a scheme too: a server behind the gateway may accept one
// there.
func cutScheme(value, scheme string) (rest string, is bool) {
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest = value[len(scheme):]
	return rest, rest == "" || !isTokenByte(rest[0])
}

// isTokenByte reports whether c is a token character (RFC 9110, section 5.6.2).
func isTokenByte(c byte) bool {
	return c-'0' < 10 || c-'A' < 26 || c-'a' < 26 || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// basic returns the user name and token that a request presents by HTTP Basic
// (RFC 7617). It returns fault.Invalid if the request has a second credential,
// because the server behind the gateway may read that one, and
// fault.Unauthenticated if the header is malformed.
func basic(h http.Header) (username, token string, err error) {
	if len(h["X-Auth-Token"]) > 0 || len(h["Authorization"]) > 1 {
		return "", "", errDiffer()
	}
	username, token, is := basicAuth(h)
	if !is {
		return "", "", errMalformedBasic
	}
	return username, token, nil
}

var errMalformedBasic = malformed(
	"Send \"Authorization: Basic\", a space, and the base64 of user name, colon and token (RFC 7617).")

// basicAuth returns the user name and password of the request's HTTP Basic
// credentials. Unlike net/http it accepts any number of spaces after the scheme
// (RFC 9110, section 11.4).
func basicAuth(h http.Header) (username, password string, ok bool) {
	encoded, is := cutScheme(h.Get("Authorization"), strings.TrimSpace(basicScheme))
	if !is || !strings.HasPrefix(encoded, " ") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(encoded, " "))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(decoded), ":")
}

// legacyHeaders returns the headers of responses to requests with HTTP Basic:
// the date of deprecation (RFC 9745, section 2.1) and the sunset date (RFC
// 8594, section 3).
func legacyHeaders(c config.Legacy) []header {
	return []header{
		{"Deprecation", []string{"@" + strconv.FormatInt(c.DeprecatedAt.Unix(), 10)}},
		{"Sunset", []string{c.SunsetAt.UTC().Format(http.TimeFormat)}},
	}
}

// permitBasic checks a request that uses HTTP Basic. Every response has the
// dates of legacy API accounts, also if the credential is refused: they
// describe the authentication method and do not reveal which accounts exist.
func (g *gatewayCheck) permitBasic(ctx context.Context, rs *requestState, h http.Header) (presented string, err error) {
	for _, one := range g.legacy {
		rs.Header()[one.name] = one.values
	}
	username, token, err := basic(h)
	switch fault.KindOf(err) {
	case fault.Invalid:
		g.recordUncounted(rs, "", err)
		return "", rs.ambiguous(err)
	case fault.Unauthenticated:
		presented = basicScheme + h["Authorization"][0]
		if limited := g.rates.admit(ctx, rs, presented); limited != nil {
			return presented, limited
		}
		g.record(rs, presented, err)
		return presented, err
	}
	return basicScheme + username + ":" + token, g.permitLegacy(ctx, rs, h, username, token)
}

// permitLegacy verifies a legacy API account and describes it in the response
// headers if it may make the request. Legacy API accounts have no scopes: they
// may use all of version 2 of their store's API. The store is part of the
// credential, so the route is matched first.
func (g *gatewayCheck) permitLegacy(ctx context.Context, rs *requestState, h http.Header, username,
	token string) error {
	match, err := g.match(rs, h)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(match.Path, legacyPaths) {
		return rs.deny("not version 2")
	}
	presented := basicScheme + username + ":" + token
	if err := g.rates.admit(ctx, rs, presented); err != nil {
		return err
	}
	record, err := g.verifier.VerifyBasic(ctx, match.Store, username, token, rs.origin())
	g.record(rs, presented, err)
	if err != nil {
		return err
	}
	rs.principal = &record.Principal
	rs.describe(record, match.Store)
	return nil
}
