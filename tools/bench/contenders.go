package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// contender is a program that does one kind of work for some time.
type contender struct {
	name string
	load func(ctx context.Context, d time.Duration) (measurement, error)
}

// The kinds of work and the yardsticks, as the report names them.
const (
	issueWork       = "issue over GraphQL"
	revokeWork      = "revoke one"
	revokeManyWork  = "revoke 50 in one call"
	usersWork       = "list of 50 users, 6 fields"
	deepWork        = "page 10,000 of 1,000,000 users"
	firstPageWork   = "page 1 of 1,000,000 users"
	totalWork       = "count of 1,000,000 users"
	totalFewWork    = "count of 51 users"
	viewerWork      = "`{viewer{scopes}}`, warm"
	issueSQLiteWork = "issue on SQLite, synchronous=FULL"
	checkWork       = "gateway check, warm"
	introspectWork  = "introspection, warm"
	coldWork        = "gateway check, cold, 1,000,000 tokens"
	coldFewWork     = "gateway check, cold, 1,000 tokens"
	mistypedWork    = "refusing a mistyped secret"
	trackedWork     = "gateway check, warm, last use on"
	untrackedWork   = "gateway check, warm, last use off"
	sampledWork     = "gateway check, warm, traces of 1 %"
	bareYardstick   = "bare"
	bareRefusal     = "bare, refusing"
	barePermission  = "bare, permitting"
	rawYardstick    = "raw"
	handYardstick   = "hand"
	rawSQLite       = "raw on SQLite"
	issueNoHookWork = "issue without webhooks"
	issueHookWork   = "issue with one webhook, not sent meanwhile"
	issueSentWork   = "issue with one webhook, sent meanwhile"
	deliverManyWork = "webhooks delivered, 16 webhooks"
	deliverOneWork  = "webhooks delivered, one webhook"
	postsYardstick  = "posts, 64 in flight"
	fewPosts        = "posts, 4 in flight"
	billWork        = "subscriptions billed in one run"
	copyYardstick   = "COPY of the same rows"
	chargeWork      = "createCharge over GraphQL"
	rawCharge       = "raw, charging"
	subsWork        = "list of 50 subscriptions, 12 fields"
	deepSubsWork    = "subscriptions, page 10,000"
	handSubs        = "hand, subscriptions"
	chargesWork     = "list of 50 charges, 11 fields"
	deepChargesWork = "charges, page 10,000"
	handCharges     = "hand, charges"
	userNameWork    = "SCIM, userName eq, 1,000,000 users"
	userNameFewWork = "SCIM, userName eq, 1,000 users"
	emailWork       = "user by address over GraphQL, 1,000,000 users"
	scimPageWork    = "SCIM, page of 100 users"
	usersPageWork   = "page of 100 users over GraphQL, 7 fields"
)

// contenders returns everything that is measured, in the order of a round. The contenders of a group take turns. What
// is compared is adjacent, so that little time passes between the two. pgbench and raw on SQLite connect anew each
// time, and tokens to revoke are created each time, so these and their counterparts get all of their time at once.
func (s *suite) contenders() [][]contender {
	return [][]contender{
		{{rawYardstick, s.raw}},
		{{issueWork, s.issue}},
		{{revokeWork, func(ctx context.Context, d time.Duration) (measurement, error) { return s.revoke(ctx, d, 1) }}},
		{{revokeManyWork, func(ctx context.Context, d time.Duration) (measurement,
			error) {
			return s.revoke(ctx, d, manyRevoked)
		}}},
		{
			{handYardstick, s.handUsers},
			{usersWork, s.users},
			{firstPageWork, s.firstPage},
			{deepWork, s.deepPage},
			{totalFewWork, s.totalOfFew},
			{totalWork, s.totalOfMany},
		},
		{
			{bareYardstick, s.bareAnswers},
			{bareRefusal, s.bareRefuses},
			{viewerWork, s.viewer},
			{barePermission, s.barePermits},
			{checkWork, s.checkWarm},
			{trackedWork, s.checkTracked},
			{untrackedWork, s.checkUntracked},
			{sampledWork, s.checkSampled},
			{introspectWork, s.introspect},
			{mistypedWork, s.checkMistyped},
			{coldFewWork, s.checkFew},
			{coldWork, s.checkMany},
		},
		{{rawSQLite, s.rawSQLite}},
		{{issueSQLiteWork, s.issueSQLite}},
		{{issueNoHookWork, s.issueWithoutWebhook}, {issueHookWork, s.issueQueued}},
		{{issueSentWork, s.issueSent}},
		{{postsYardstick, s.postMany}},
		{{deliverManyWork, s.deliverMany}},
		{{fewPosts, s.postOne}},
		{{deliverOneWork, s.deliverOne}},
		{{rawCharge, s.rawCharge}},
		{{chargeWork, s.charge}},
		{
			{handSubs, s.handSubscriptions},
			{subsWork, s.subscriptions},
			{deepSubsWork, s.deepSubscriptions},
			{handCharges, s.handCharges},
			{chargesWork, s.charges},
			{deepChargesWork, s.deepCharges},
		},
		{
			{emailWork, s.userByEmail},
			{userNameWork, s.userByUserName},
			{userNameFewWork, s.userByUserNameOfFew},
			{usersPageWork, s.pageOfUsers},
			{scimPageWork, s.scimPage},
		},
		// COPY inserts the rows that the run stored.
		{{billWork, s.bill}},
		{{copyYardstick, s.copyBilled}},
	}
}

// pairs returns the comparisons and their targets.
func pairs() []pair {
	return []pair{
		{work: checkWork, against: bareYardstick, target: 0.73, stretch: 0.85},
		{work: checkWork, against: barePermission, target: 0.87, stretch: 0.95},
		{work: introspectWork, against: bareYardstick, target: 0.68, stretch: 0.80},
		{work: coldFewWork, against: bareYardstick, target: 0.26, stretch: 0.35},
		{work: coldWork, against: coldFewWork, target: 0.88, stretch: 0.95},
		{work: mistypedWork, against: bareYardstick, target: 0.80, stretch: 0.90},
		{work: mistypedWork, against: bareRefusal, target: 0.80, stretch: 0.90},
		{work: trackedWork, against: untrackedWork, target: 0.97, stretch: 1.00},
		{work: sampledWork, against: trackedWork, target: 0.90, stretch: 0.95},
		{work: issueWork, against: rawYardstick, target: 0.42, stretch: 0.60},
		{work: revokeWork, against: rawYardstick, target: 0.45, stretch: 0.60},
		// Revoking 50 tokens may take three times as long as revoking one: three times the measured duration, and three
		// times the duration at the target.
		{work: revokeManyWork, against: rawYardstick, target: 0.11, stretch: 0.18},
		{work: revokeManyWork, against: revokeWork, target: 1.0 / 3, stretch: 1.0 / 3},
		{work: usersWork, against: handYardstick, target: 1.2, stretch: 1.5},
		{work: deepWork, against: firstPageWork, target: 0.92, stretch: 1.0},
		{work: totalWork, against: totalFewWork, target: 0.92, stretch: 1.0},
		{work: viewerWork, against: bareYardstick, target: 0.54, stretch: 0.65},
		{work: issueSQLiteWork, against: rawSQLite, target: 0.50, stretch: 0.75},
		{work: issueHookWork, against: issueNoHookWork, target: 0.95, stretch: 0.98},
		// Sending takes part of the cores, so this ratio has no target.
		{work: issueSentWork, against: issueNoHookWork},
		{work: deliverManyWork, against: postsYardstick, target: 0.35, stretch: 0.6},
		// That of one webhook is limited by its four requests in flight.
		{work: deliverOneWork, against: fewPosts},
		{work: billWork, against: copyYardstick, target: 0.15, stretch: 0.3},
		{work: chargeWork, against: rawCharge, target: 0.35, stretch: 0.5},
		{work: subsWork, against: handSubs, target: 0.6, stretch: 1.0},
		{work: chargesWork, against: handCharges, target: 0.6, stretch: 1.0},
		{work: deepSubsWork, against: subsWork, target: 0.67, stretch: 1.0},
		{work: deepChargesWork, against: chargesWork, target: 0.67, stretch: 1.0},
		{work: userNameWork, against: emailWork, target: 0.5, stretch: 0.8},
		{work: userNameWork, against: userNameFewWork, target: 0.85, stretch: 1.0},
		{work: scimPageWork, against: usersPageWork, target: 0.5, stretch: 0.8},
	}
}

// chosen returns the pairs whose work's name contains one of the comma-separated parts, and the contenders that they
// need, in their groups.
func chosen(parts string, all [][]contender) ([]pair, [][]contender) {
	pairs := slices.DeleteFunc(pairs(), func(p pair) bool {
		return !slices.ContainsFunc(strings.Split(parts, ","),
			func(part string) bool { return strings.Contains(p.work, part) })
	})
	needed := mapped(all, func(group []contender) []contender {
		return slices.DeleteFunc(group, func(c contender) bool {
			return !slices.ContainsFunc(pairs, func(p pair) bool { return c.name == p.work || c.name == p.against })
		})
	})
	return pairs, slices.DeleteFunc(needed, func(group []contender) bool { return len(group) == 0 })
}

const (
	issueDocument = `mutation($input: CreateApiTokenInput!) { apiToken { createApiToken(input: $input) {
		apiToken { id } credentials { clientId clientSecret accessToken apiPath } } } }`
	revokeDocument = `mutation($input: RevokeApiTokensInput!) { apiToken { revokeApiTokens(input: $input) { revokedIds revokedAt } } }`
	usersDocument  = `query($first: Int) { account { users(first: $first) { edges { cursor node { id email firstName lastName locale } } } } }`
	viewerDocument = `{ viewer { scopes } }`
)

// issueAccountToken issues the token that the reading loads use.
func (s *suite) issueAccountToken(ctx context.Context) (string, error) {
	return s.issueReader(ctx, s.postgres, s.accounts[0])
}

// issueReader issues a token of an account that may read users, over a server.
func (s *suite) issueReader(ctx context.Context, l *latchkey, a account) (string, error) {
	r, err := graphql(a, s.sessions[a.uuid], issueDocument,
		input("name", "Reader", "scopes", []string{"account_users_read"}))
	if err != nil {
		return "", err
	}
	var data struct {
		APIToken struct {
			CreateAPIToken struct{ Credentials struct{ AccessToken string } }
		}
	}
	err = l.query(ctx, r, &data)
	return data.APIToken.CreateAPIToken.Credentials.AccessToken, err
}

// input returns the variables of a mutation with these fields of its input.
func input(fields ...any) map[string]any {
	values := map[string]any{}
	for i := 0; i+1 < len(fields); i += 2 {
		values[fmt.Sprint(fields[i])] = fields[i+1]
	}
	return map[string]any{"input": values}
}

func (s *suite) raw(ctx context.Context, d time.Duration) (measurement, error) {
	script := pgbenchScript{program: s.pgbench, text: rawInsert, numbers: map[string]int{"owners": len(s.owners)}}
	return script.run(ctx, s.dir, s.rawDSN, d)
}

// issue issues store-level tokens, one store after the other.
func (s *suite) issue(ctx context.Context, d time.Duration) (measurement, error) {
	return s.issueOn(ctx, s.postgres, s.sessions, s.owners, d)
}

func (s *suite) issueOn(ctx context.Context, l *latchkey, sessions map[string]string, all []owner,
	d time.Duration) (measurement, error) {
	var requests []request
	for _, o := range all {
		r, err := issueOf(o, sessions[o.account])
		if err != nil {
			return measurement{}, err
		}
		requests = append(requests, r)
	}
	return wrk{url: l.url, expected: `"accessToken":"lks_`}.run(ctx, s.dir, requests, d)
}

// issueOf returns a request that issues a token for a store.
func issueOf(o owner, session string) (request, error) {
	return graphql(account{uuid: o.account}, session, issueDocument, input("name", "Order sync", "storeId",
		"bc/account/store/"+o.store, "scopes", []string{"store_v2_orders", "store_v2_products_read_only"}))
}

// manyRevoked is the number of tokens that one call revokes in the second revocation load.
const manyRevoked = 50

// Tokens are first created for this many calls a second, and later for this multiple of the last round's rate.
const (
	firstRevokeRate = 2000
	revokeMargin    = 2
)

// revoke revokes tokens created for it, each once, inOneCall at a time. If there are not enough tokens, it creates more
// and starts again.
func (s *suite) revoke(ctx context.Context, d time.Duration, inOneCall int) (measurement, error) {
	rate := float64(firstRevokeRate)
	if last, ok := s.revokeRates[inOneCall]; ok {
		rate = last * revokeMargin
	}
	for {
		requests, err := s.revocations(ctx, int(rate*d.Seconds()), inOneCall)
		if err != nil {
			return measurement{}, err
		}
		m, err := wrk{url: s.postgres.url, expected: `"revokedAt":"`, once: true}.run(ctx, s.dir, requests, d)
		if errors.Is(err, errExhausted) {
			rate *= revokeMargin
			continue
		}
		s.revokeRates[inOneCall] = m.perSecond
		return m, err
	}
}

// revocations creates tokens and the calls that revoke them. The accounts take turns.
func (s *suite) revocations(ctx context.Context, calls, inOneCall int) ([]request, error) {
	toRevoke, err := replaceTokensToRevoke(ctx, s.db, s.accounts, calls*inOneCall)
	if err != nil {
		return nil, err
	}
	var requests []request
	for first := 0; first+inOneCall <= len(toRevoke[0]); first += inOneCall {
		for i, a := range s.accounts {
			var ids []string
			for _, id := range toRevoke[i][first : first+inOneCall] {
				ids = append(ids, "bc/account/apiToken/"+id)
			}
			r, err := graphql(a, s.sessions[a.uuid], revokeDocument, input("ids", ids, "reason", "left"))
			if err != nil {
				return nil, err
			}
			requests = append(requests, r)
		}
	}
	return requests, nil
}

// users lists a full page of the account's users with a cached credential.
func (s *suite) users(ctx context.Context, d time.Duration) (measurement, error) {
	r, err := graphql(s.accounts[0], s.token, usersDocument, map[string]any{"first": listedUsers})
	if err != nil {
		return measurement{}, err
	}
	return wrk{url: s.postgres.url, expected: "person0@bench.example"}.run(ctx, s.dir, []request{r}, d)
}

func (s *suite) handUsers(ctx context.Context, d time.Duration) (measurement, error) {
	r := request{method: http.MethodGet, path: "/users/" + s.accounts[0].uuid}
	return wrk{url: s.handURL, expected: "person1@bench.example"}.run(ctx, s.dir, []request{r}, d)
}

func (s *suite) bareAnswers(ctx context.Context, d time.Duration) (measurement, error) {
	return wrk{url: s.bareURL, expected: bareWanted}.run(ctx, s.dir, []request{{method: http.MethodGet, path: "/"}}, d)
}

// bareRefuses requests the response that a mistyped secret gets.
func (s *suite) bareRefuses(ctx context.Context, d time.Duration) (measurement, error) {
	load := wrk{url: s.bareURL, status: http.StatusUnauthorized, expected: "UNAUTHENTICATED"}
	return load.run(ctx, s.dir, []request{{method: http.MethodGet, path: refusalPath, token: s.warm[0].value}}, d)
}

// barePermits requests the response that a gateway gets, with a gateway's request.
func (s *suite) barePermits(ctx context.Context, d time.Duration) (measurement, error) {
	requests := checks(s.warm, s.gatewayKey)
	for i := range requests {
		requests[i].path = permissionPath
	}
	return wrk{url: s.bareURL, status: http.StatusNoContent}.run(ctx, s.dir, requests, d)
}

// viewer runs the smallest query, with a cached credential.
func (s *suite) viewer(ctx context.Context, d time.Duration) (measurement, error) {
	r, err := graphql(s.accounts[0], s.token, viewerDocument, nil)
	if err != nil {
		return measurement{}, err
	}
	return wrk{url: s.postgres.url, expected: `"account_users_read"`}.run(ctx, s.dir, []request{r}, d)
}

func (s *suite) rawSQLite(ctx context.Context, d time.Duration) (measurement, error) {
	return insertIntoSQLite(ctx, s.rawFile, s.embeddedOwners, d)
}

func (s *suite) issueSQLite(ctx context.Context, d time.Duration) (measurement, error) {
	return s.issueOn(ctx, s.embedded, s.embeddedSessions, s.embeddedOwners, d)
}
