package token

import (
	"context"
	"time"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
)

// ExpiryNotice is how long before its expiration a token is reported as expiring.
const ExpiryNotice = 7 * 24 * time.Hour

// expirationInterval is the interval at which tokens are checked.
const expirationInterval = time.Minute

// ExpiryStage is what was reported of a token's expiration. It only increases.
type ExpiryStage int64

// The stages.
const (
	// Unreported: the token was reported neither as expiring nor as expired.
	Unreported ExpiryStage = iota
	// ReportedExpiring: the token was reported as expiring, or was issued for at most ExpiryNotice and therefore never
	// is.
	ReportedExpiring
	// ReportedExpired: the token was reported as expired.
	ReportedExpired
)

// StageOfNew returns the stage of a token that is issued.
func StageOfNew(t Token) ExpiryStage {
	if !t.ExpiresAt.IsZero() && t.ExpiresAt.Sub(t.CreatedAt) <= ExpiryNotice {
		return ReportedExpiring
	}
	return Unreported
}

// ExpirationRepository stores what was reported of the tokens' expirations.
type ExpirationRepository interface {
	// ReportExpirations finds tokens of all accounts that are not revoked and either have expired at now and were not
	// reported as expired, or expire within ExpiryNotice and were not reported at all. It stores their new stages with
	// the events in one transaction, for a limited number of tokens, and reports whether there may be more.
	// Concurrent calls, also in several processes, report each token once.
	ReportExpirations(ctx context.Context, now time.Time, event func(Token, ExpiryStage) audit.Event) (more bool,
		err error)
}

// Expirations reports tokens that are about to expire or have expired. Every server runs it.
type Expirations struct {
	repo ExpirationRepository
	now  clock.Clock
}

// NewExpirations returns a job over the repository.
func NewExpirations(repo ExpirationRepository, now clock.Clock) *Expirations {
	return &Expirations{repo: repo, now: now}
}

// Run reports expirations at once and then every minute until ctx is done. It calls failed with errors.
func (e *Expirations) Run(ctx context.Context, failed func(error)) {
	ticker := time.NewTicker(expirationInterval)
	defer ticker.Stop()
	for {
		if err := e.Report(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Report reports all expirations until now.
func (e *Expirations) Report(ctx context.Context) error {
	now := e.now.Timestamp()
	by := auth.Principal{Kind: auth.Operator, Name: audit.ServiceName}
	event := func(t Token, stage ExpiryStage) audit.Event {
		action := audit.APITokenExpiring
		if stage == ReportedExpired {
			action = audit.APITokenExpired
		}
		return newEvent(&by, action, t, now,
			audit.Detail{Name: "expiresAt", Value: t.ExpiresAt.Format(time.RFC3339Nano)})
	}
	for {
		more, err := e.repo.ReportExpirations(ctx, now, event)
		if err != nil || !more {
			return err
		}
	}
}
