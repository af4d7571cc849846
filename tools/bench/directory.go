package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// The size of the small account that the large one is compared with, the number of addresses that are looked up, and
// the number of users on a page.
const (
	smallCrowd    = 1000
	lookedUp      = 500
	directoryPage = 100
)

const (
	userDocument = `query($emails: [String!]) { account { users(first: 1, filter: {emails: $emails}) {
		edges { node { id email firstName lastName locale createdAt } } } } }`
	pageDocument = `query($first: Int) { account { users(first: $first) {
		edges { node { id email firstName lastName locale createdAt externalId } } } } }`
)

// addresses returns addresses of random users of a crowd of that size.
func addresses(size int) []string {
	all := make([]string, lookedUp)
	for i := range all {
		all[i] = fmt.Sprintf("crowd%d@bench.example", 1+rand.IntN(size))
	}
	return all
}

// userByEmail looks users up by address over GraphQL, in the large account.
func (s *suite) userByEmail(ctx context.Context, d time.Duration) (measurement, error) {
	token, err := s.directoryToken(ctx, s.many.latchkey)
	if err != nil {
		return measurement{}, err
	}
	var requests []request
	for _, email := range addresses(crowdSize) {
		r, err := graphql(s.crowdAccount(), token, userDocument, map[string]any{"emails": []string{email}})
		if err != nil {
			return measurement{}, err
		}
		requests = append(requests, r)
	}
	return wrk{url: s.many.url, expected: `"email":"crowd`}.run(ctx, s.dir, requests, d)
}

// userByUserName looks the same users up over SCIM.
func (s *suite) userByUserName(ctx context.Context, d time.Duration) (measurement, error) {
	return s.byUserName(ctx, s.many.latchkey, crowdSize, d)
}

// userByUserNameOfFew is userByUserName in the small account.
func (s *suite) userByUserNameOfFew(ctx context.Context, d time.Duration) (measurement, error) {
	return s.byUserName(ctx, s.few.latchkey, smallCrowd, d)
}

func (s *suite) byUserName(ctx context.Context, l *latchkey, size int, d time.Duration) (measurement, error) {
	token, err := s.directoryToken(ctx, l)
	if err != nil {
		return measurement{}, err
	}
	var requests []request
	for _, email := range addresses(size) {
		filter := url.QueryEscape(`userName eq "` + email + `"`)
		requests = append(requests, request{method: http.MethodGet, token: token,
			path: "/accounts/" + s.crowdAccount().uuid + "/scim/v2/Users?filter=" + filter})
	}
	return wrk{url: l.url, expected: `"userName":"crowd`}.run(ctx, s.dir, requests, d)
}

// pageOfUsers lists users of the large account over GraphQL.
func (s *suite) pageOfUsers(ctx context.Context, d time.Duration) (measurement, error) {
	token, err := s.directoryToken(ctx, s.many.latchkey)
	if err != nil {
		return measurement{}, err
	}
	r, err := graphql(s.crowdAccount(), token, pageDocument, map[string]any{"first": directoryPage})
	if err != nil {
		return measurement{}, err
	}
	return wrk{url: s.many.url, expected: `@bench.example"`}.run(ctx, s.dir, []request{r}, d)
}

// scimPage lists users of the large account over SCIM.
func (s *suite) scimPage(ctx context.Context, d time.Duration) (measurement, error) {
	token, err := s.directoryToken(ctx, s.many.latchkey)
	if err != nil {
		return measurement{}, err
	}
	path := fmt.Sprintf("/accounts/%s/scim/v2/Users?count=%d", s.crowdAccount().uuid, directoryPage)
	r := request{method: http.MethodGet, path: path, token: token}
	return wrk{url: s.many.url, expected: fmt.Sprintf(`"itemsPerPage":%d`, directoryPage)}.run(ctx, s.dir, []request{r},
		d)
}

// directoryToken returns an access token of the account with the crowd on a server, issued at the first call.
func (s *suite) directoryToken(ctx context.Context, l *latchkey) (string, error) {
	if token, issued := s.directoryTokens[l]; issued {
		return token, nil
	}
	a := s.crowdAccount()
	token, err := s.issueReader(ctx, l, a)
	if err != nil {
		return "", err
	}
	if s.directoryTokens == nil {
		s.directoryTokens = map[*latchkey]string{}
	}
	s.directoryTokens[l] = token
	return token, nil
}
