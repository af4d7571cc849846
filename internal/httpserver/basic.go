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

// legacyPaths are where legacy API accounts work, below their store.
const legacyPaths = "/v2/"

// basicScheme leads what is presented by HTTP Basic.
const basicScheme = "Basic "

// triesBasic reports whether a request presents something by HTTP Basic, well
// formed or not.
func triesBasic(h http.Header) bool {
	return slices.ContainsFunc(h["Authorization"], func(value string) bool {
		_, is := cutScheme(value, strings.TrimSpace(basicScheme))
		return is
	})
}

// cutScheme returns what follows the scheme in the value of an Authorization
// header, and whether it has that scheme. Schemes have no case, and end at the
// first character that no scheme has (RFC 9110, section 11.1): a server behind
// the gateway may accept a tab there, so it does not make another scheme.
func cutScheme(value, scheme string) (rest string, is bool) {
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest = value[len(scheme):]
	return rest, rest == "" || !isTokenByte(rest[0])
}

// isTokenByte reports whether c may be part of a token (RFC 9110, section
// 5.6.2).
func isTokenByte(c byte) bool {
	return c-'0' < 10 || c-'A' < 26 || c-'a' < 26 || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// basic returns the user name and the token that a request presents by HTTP
// Basic (RFC 7617). It returns fault.Invalid for a request that presents
// another credential besides, since what is behind the gateway may look at the
// other one, and fault.Unauthenticated for what is not of the form.
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

var errMalformedBasic = malformed("Send \"Authorization: Basic\", a space, and the base64 of user name, colon and token (RFC 7617).")

// basicAuth returns the user name and the password that a request presents by
// HTTP Basic. Unlike net/http it takes any number of spaces behind the scheme
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

// legacyHeaders are those of answers to whoever presents HTTP Basic: since when
// they are deprecated (RFC 9745, section 2.1), and when they end (RFC 8594,
// section 3).
func legacyHeaders(c config.Legacy) []header {
	return []header{
		{"Deprecation", []string{"@" + strconv.FormatInt(c.DeprecatedAt.Unix(), 10)}},
		{"Sunset", []string{c.SunsetAt.UTC().Format(http.TimeFormat)}},
	}
}

// permitBasic answers for what a request presents by HTTP Basic. The answer
// has the dates of legacy API accounts whatever comes of it: they are about
// the way to authenticate, so they do not tell whose accounts there are.
func (p *public) permitBasic(ctx context.Context, x *exchange, h http.Header) (presented string, err error) {
	for _, one := range p.legacy {
		x.Header()[one.name] = one.values
	}
	username, token, err := basic(h)
	switch fault.KindOf(err) {
	case fault.Invalid:
		p.verified(x, "", err)
		return "", x.ambiguous(err)
	case fault.Unauthenticated:
		presented = basicScheme + h["Authorization"][0]
		if limited := p.rates.admit(ctx, x, presented); limited != nil {
			return presented, limited
		}
		p.judged(x, presented, err)
		return presented, err
	}
	return basicScheme + username + ":" + token, p.permitLegacy(ctx, x, h, username, token)
}

// permitLegacy says in the answer's header whose a user name and a token are,
// if they may do what is wanted: everything in version 2 of their store's API,
// since they are older than scopes. The store is part of what is verified, so
// that what is wanted is judged first.
func (p *public) permitLegacy(ctx context.Context, x *exchange, h http.Header, username, token string) error {
	match, err := p.match(x, h)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(match.Path, legacyPaths) {
		return x.deny("not version 2")
	}
	presented := basicScheme + username + ":" + token
	if err := p.rates.admit(ctx, x, presented); err != nil {
		return err
	}
	record, err := p.Verifier.VerifyBasic(ctx, match.Store, username, token, x.origin())
	p.judged(x, presented, err)
	if err != nil {
		return err
	}
	x.principal = &record.Principal
	x.tell(record, match.Store)
	return nil
}
