package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/token"
)

// tokenCounts counts the changes of API tokens by this process: by the API, the
// control panel or a command.
type tokenCounts struct{ issued, rotated, revoked prometheus.Counter }

func newTokenCounts() tokenCounts {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "latchkey_api_tokens_" + name + "_total", Help: help})
	}
	return tokenCounts{
		issued:  counter("issued", "API tokens issued by this server."),
		rotated: counter("rotated", "Rotations of API tokens by this server."),
		revoked: counter("revoked", "API tokens revoked by this server; a repeated revocation counts again."),
	}
}

func (c tokenCounts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.issued, c.rotated, c.revoked}
}

// tokens wraps the repository to count its successful writes.
func (c tokenCounts) tokens(r token.Repository) token.Repository { return countedTokens{r, c} }

// memberships wraps the repository to count its successful writes.
func (c tokenCounts) memberships(r membership.Repository) membership.Repository {
	return countedOffboard{r, c}
}

type countedTokens struct {
	token.Repository
	counts tokenCounts
}

// Insert counts an issued token.
func (t countedTokens) Insert(ctx context.Context, by auth.Actor, d token.Draft) error {
	err := t.Repository.Insert(ctx, by, d)
	if err == nil {
		t.counts.issued.Inc()
	}
	return err
}

// Revoke counts the revoked tokens.
func (t countedTokens) Revoke(ctx context.Context, by auth.Actor, e token.RevocationDraft) (token.RevocationOutcome,
	error) {
	ended, err := t.Repository.Revoke(ctx, by, e)
	if err == nil && len(ended.Unknown) == 0 {
		t.counts.revoked.Add(float64(len(e.IDs) + len(ended.Issued)))
	}
	return ended, err
}

// Change counts a rotation.
func (t countedTokens) Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
	decide func(token.Token, []token.AccessToken) (token.Change, error)) error {
	rotates := false
	err := t.Repository.Change(ctx, by, accountID, id,
		func(old token.Token, existing []token.AccessToken) (token.Change, error) {
			change, err := decide(old, existing)
			rotates = change.Access != nil
			return change, err
		})
	if err == nil && rotates {
		t.counts.rotated.Inc()
	}
	return err
}

type countedOffboard struct {
	membership.Repository
	counts tokenCounts
}

// Change counts the tokens revoked with users who are removed.
func (o countedOffboard) Change(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	return o.counted(ctx, o.Repository.Change, by, accountID, work)
}

// ChangeSlice counts the tokens revoked with users who are removed in bulk.
func (o countedOffboard) ChangeSlice(ctx context.Context, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	return o.counted(ctx, o.Repository.ChangeSlice, by, accountID, work)
}

type changing func(ctx context.Context, by auth.Actor, accountID uuid.UUID, work func(membership.Change) error) error

func (o countedOffboard) counted(ctx context.Context, change changing, by auth.Actor, accountID uuid.UUID,
	work func(membership.Change) error) error {
	revoked := 0
	err := change(ctx, by, accountID, func(c membership.Change) error {
		revoked = 0 // the transaction may be retried
		return work(countedChange{c, &revoked})
	})
	if err == nil {
		o.counts.revoked.Add(float64(revoked))
	}
	return err
}

type countedChange struct {
	membership.Change
	revoked *int
}

// RevokeTokens counts the revoked tokens.
func (c countedChange) RevokeTokens(ctx context.Context, e token.RevocationDraft) ([]uuid.UUID, error) {
	ended, err := c.Change.RevokeTokens(ctx, e)
	*c.revoked += len(ended)
	return ended, err
}

// graphCounts counts the operations of the Account API and the errors in its
// responses. All labels are names of the schema and error codes, so clients cannot
// create new ones.
type graphCounts struct{ operations, errors *prometheus.CounterVec }

func newGraphCounts() graphCounts {
	c := graphCounts{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_graphql_operations_total",
			Help: "Executed operations of the Account API, by operation: query or mutation.",
		}, []string{"operation"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_graphql_errors_total",
			Help: "Errors in responses of the Account API, by operation (query or mutation), root field and code.",
		}, []string{"operation", "group", "code"}),
	}
	for _, operation := range []string{"query", "mutation"} {
		c.operations.WithLabelValues(operation) // 0 and not absent before the first operation
	}
	return c
}

func (c graphCounts) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.operations, c.errors}
}

func (c graphCounts) onOperation(operation string) { c.operations.WithLabelValues(operation).Inc() }

func (c graphCounts) onError(operation, group string, code fault.Kind) {
	c.errors.WithLabelValues(operation, group, string(code)).Inc()
}
