package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Three accounts continuously add and remove a thousand users each, while another account issues and revokes one token
// at a time.
const (
	bulkLoops          = 3
	bulkSize           = 1000
	revokedInBulk      = 300
	addManyDocument    = `mutation($input: ProvisionUsersInput!) { account { provisionUsers(input: $input) { counts { created failed } } } }`
	removeManyDocument = `mutation($input: DeprovisionUsersInput!) { account { deprovisionUsers(input: $input) { counts { removed failed } } } }`
)

// bulkCounts is the response to both documents.
type bulkCounts struct {
	Account struct {
		ProvisionUsers, DeprovisionUsers struct {
			Counts struct{ Created, Removed, Failed int }
		}
	}
}

// besideBulk returns the sorted durations of the given number of revocations on SQLite.
func (s *suite) besideBulk(ctx context.Context, revocations int) ([]time.Duration, error) {
	bulks, stop := context.WithCancel(ctx)
	defer stop()
	loops, bulks := errgroup.WithContext(bulks)
	for _, a := range s.accounts[1 : 1+bulkLoops] {
		loops.Go(func() error { return s.addAndRemove(bulks, a) })
	}
	var took []time.Duration
	var err error
	for len(took) < revocations && err == nil && bulks.Err() == nil {
		var one time.Duration
		one, err = s.revokeOne(ctx, s.accounts[0])
		took = append(took, one)
	}
	stop()
	slices.Sort(took)
	return took, errors.Join(err, loops.Wait())
}

// addAndRemove adds users to an account and removes them again until ctx ends.
func (s *suite) addAndRemove(ctx context.Context, a account) error {
	users := make([]map[string]any, bulkSize)
	for i := range users {
		users[i] = map[string]any{"email": fmt.Sprintf("bulk%d@bench.example", i)}
	}
	in, inErr := graphql(a, s.embeddedSessions[a.uuid], addManyDocument, input("users", users))
	out, outErr := graphql(a, s.embeddedSessions[a.uuid], removeManyDocument, input("users", users))
	if err := errors.Join(inErr, outErr); err != nil {
		return err
	}
	for ctx.Err() == nil {
		for _, r := range []request{in, out} {
			var done bulkCounts
			if err := s.embedded.query(ctx, r, &done); err != nil && ctx.Err() == nil {
				return err
			}
			counts := done.Account
			if n := counts.ProvisionUsers.Counts.Created + counts.DeprovisionUsers.Counts.Removed; n != bulkSize &&
				ctx.Err() == nil {
				return fmt.Errorf("a bulk ended with %+v", done)
			}
		}
	}
	return nil
}

// revokeOne issues an account-level token, and returns how long its revocation took.
func (s *suite) revokeOne(ctx context.Context, a account) (time.Duration, error) {
	issue, err := graphql(a, s.embeddedSessions[a.uuid], issueDocument,
		input("name", "Beside bulk", "scopes", []string{"account_users_read"}))
	if err != nil {
		return 0, err
	}
	var issued struct {
		APIToken struct {
			CreateAPIToken struct{ APIToken struct{ ID string } }
		}
	}
	if err := s.embedded.query(ctx, issue, &issued); err != nil {
		return 0, err
	}
	revoke, err := graphql(a, s.embeddedSessions[a.uuid], revokeDocument,
		input("ids", []string{issued.APIToken.CreateAPIToken.APIToken.ID}))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = s.embedded.query(ctx, revoke, &struct{}{})
	return time.Since(began), err
}
