package httpserver

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/config"
)

// legacyPaths are where legacy API accounts work, below their store.
const legacyPaths = "/v2/"

// basicScheme leads what is presented by HTTP Basic.
const basicScheme = "Basic "

// basic returns the user name and the token that a request presents by HTTP
// Basic (RFC 7617), if it does. It returns fault.Invalid for a request that
// presents another credential besides: what is behind the gateway may look at
// the other one.
func basic(h http.Header) (username, token string, is bool, err error) {
	values := h["Authorization"]
	if !slices.ContainsFunc(values, func(value string) bool { return hasScheme(value, basicScheme) }) {
		return "", "", false, nil
	}
	if len(h["X-Auth-Token"]) > 0 || len(values) > 1 {
		return "", "", false, errDiffer()
	}
	r := http.Request{Header: h}
	username, token, is = r.BasicAuth()
	return username, token, is, nil
}

// hasScheme says whether a value begins with the scheme, in whatever case (RFC
// 9110, section 11.1).
func hasScheme(value, scheme string) bool {
	return len(value) >= len(scheme) && strings.EqualFold(value[:len(scheme)], scheme)
}

// legacyHeaders are those of answers made for legacy API accounts: since when
// they are deprecated (RFC 9745, section 2.1), and when they end (RFC 8594,
// section 3).
func legacyHeaders(c config.Legacy) []header {
	return []header{
		{"Deprecation", []string{"@" + strconv.FormatInt(c.DeprecatedAt.Unix(), 10)}},
		{"Sunset", []string{c.SunsetAt.UTC().Format(http.TimeFormat)}},
	}
}

// permitLegacy says in the answer's header whose a user name and a token are,
// if they may do what is wanted: everything in version 2 of their store's API,
// since they are older than scopes. The store is part of what is verified, so
// that what is wanted is judged first. It returns what was presented whatever
// comes of it.
func (p *public) permitLegacy(ctx context.Context, x *exchange, h http.Header, username, token string) (presented string, err error) {
	presented = basicScheme + username + ":" + token
	match, err := p.match(x, h)
	if err != nil {
		return presented, err
	}
	if !strings.HasPrefix(match.Path, legacyPaths) {
		return presented, x.deny("not version 2")
	}
	if err := p.rates.admit(ctx, x, presented); err != nil {
		return presented, err
	}
	record, err := p.Verifier.VerifyBasic(ctx, match.Store, username, token, x.origin())
	p.rates.judged(x, presented, err)
	p.metrics.verified(presented, err)
	if err != nil {
		return presented, err
	}
	x.principal = &record.Principal
	x.tell(record, match.Store)
	for _, one := range p.legacy {
		x.Header()[one.name] = one.values
	}
	return presented, nil
}
