package signin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// FlowLifetime is the time limit between two steps of a sign-in.
const FlowLifetime = 10 * time.Minute

// purpose is the purpose of a flow. A flow can be used for no other purpose.
type purpose string

// The purposes of flows.
const (
	forCode       purpose = "code"
	forProvider   purpose = "provider"
	forPasskey    purpose = "passkey"
	forTOTP       purpose = "totp"
	forNewPasskey purpose = "new passkey"
)

// Flow is the state between two steps of a sign-in, stored under the digest of
// a secret that the browser holds. Any server that shares the database can
// continue it.
type Flow struct {
	Digest  secret.KeyedDigest
	Purpose string
	// Content is sealed: the browser must not read or change it.
	Content   secret.Sealed
	ExpiresAt time.Time
}

// FlowRepository stores flows. A lookup returns fault.NotFound unless a flow
// with this purpose and one of the digests is live at the given time.
type FlowRepository interface {
	// SaveFlow saves a flow, and deletes those that have expired at the given
	// time.
	SaveFlow(ctx context.Context, by auth.Actor, f Flow, at time.Time) error
	// Flow returns a flow.
	Flow(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)
	// TakeFlow returns a flow and deletes it. Of concurrent calls, one gets it.
	TakeFlow(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)
}

// flows keeps the state between the steps of sign-ins.
type flows struct {
	repo   FlowRepository
	keys   *secret.Keyring
	random io.Reader
	now    clock.Clock
}

// begin saves content for the next step and returns the secret of the flow.
func (f *flows) begin(ctx context.Context, by auth.Actor, p purpose, content any) (secret.Secret, error) {
	value, err := secret.Generate(f.random, secret.Flow)
	if err != nil {
		return secret.Secret{}, err
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("keep a flow: %w", err)
	}
	now := f.now.Timestamp()
	flow := Flow{Digest: f.keys.Digest(value), Purpose: string(p), ExpiresAt: now.Add(FlowLifetime)}
	if flow.Content, err = f.keys.Seal(f.random, plain, sealedFlow(flow)); err != nil {
		return secret.Secret{}, err
	}
	return value, f.repo.SaveFlow(ctx, by, flow, now)
}

// peek reads the content of a flow without ending it.
func (f *flows) peek(ctx context.Context, p purpose, presented string, content any) error {
	return f.open(ctx, p, presented, content, f.repo.Flow)
}

// take reads the content of a flow and deletes the flow, which works once.
func (f *flows) take(ctx context.Context, p purpose, presented string, content any) error {
	return f.open(ctx, p, presented, content, f.repo.TakeFlow)
}

type flowFinder func(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)

// open returns Refused with ReasonEnded if the flow does not exist.
func (f *flows) open(ctx context.Context, p purpose, presented string, content any, find flowFinder) error {
	value, err := secret.Parse(presented)
	if err != nil || value.Kind() != secret.Flow {
		return refused(ReasonEnded, nil)
	}
	flow, err := find(ctx, string(p), f.keys.Candidates(value), f.now.Timestamp())
	if fault.KindOf(err) == fault.NotFound {
		return refused(ReasonEnded, err)
	}
	if err != nil {
		return err
	}
	plain, err := f.keys.Open(flow.Content, sealedFlow(flow))
	if err != nil {
		return refused(ReasonEnded, err)
	}
	return json.Unmarshal(plain, content)
}

// sealedFlow returns the context that the content of a flow is sealed with. It
// opens for no other flow.
func sealedFlow(f Flow) string { return fmt.Sprintf("flow %s %x", f.Purpose, f.Digest.Digest) }

// Reason is the reason for a refused sign-in, other than a wrong password or code.
type Reason string

// The reasons.
const (
	// ReasonEnded: the flow has expired, was finished already, or began in another
	// browser.
	ReasonEnded Reason = "over"
	// ReasonState: the answer belongs to another request.
	ReasonState Reason = "state"
	// ReasonDenied: the user denied access at the provider.
	ReasonDenied Reason = "denied"
	// ReasonProvider: the provider returned an error.
	ReasonProvider Reason = "provider"
	// ReasonUnreachable: the provider is unreachable.
	ReasonUnreachable Reason = "away"
	// ReasonUntrusted: the provider's claims are not verified, or are for another
	// client.
	ReasonUntrusted Reason = "untrusted"
	// ReasonUnverified: the provider has not verified the address.
	ReasonUnverified Reason = "unverified"
	// ReasonUnknown: no user here has the address.
	ReasonUnknown Reason = "unknown"
	// ReasonTaken: the user with the address is linked to another identity at the
	// provider.
	ReasonTaken Reason = "taken"
	// ReasonLinked: the identity is linked to another user here.
	ReasonLinked Reason = "linked"
	// ReasonUnlinked: the user removed this identity, and must link it again in
	// the panel.
	ReasonUnlinked Reason = "unlinked"
	// ReasonOther: the proof is of another user than the one who is signed in.
	ReasonOther Reason = "other"
	// ReasonStale: the provider did not authenticate the user again.
	ReasonStale Reason = "stale"
	// ReasonChanged: what the proof rests on has changed or was removed since the
	// flow began.
	ReasonChanged Reason = "changed"
	// ReasonPasskey: the passkey is unknown here, or its signature is not valid.
	ReasonPasskey Reason = "passkey"
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonEnded, ReasonState, ReasonDenied, ReasonProvider, ReasonUnreachable, ReasonUntrusted, ReasonUnverified,
		ReasonUnknown,
		ReasonTaken, ReasonLinked, ReasonUnlinked, ReasonOther, ReasonStale, ReasonChanged, ReasonPasskey,
	}
}

// Refused is the error of a sign-in that failed for the reason Why. Its cause
// is for the log only.
type Refused struct {
	Reason Reason
	cause  error
}

// Refuse returns a Refused, for providers.
func Refuse(r Reason, cause error) *Refused { return &Refused{r, cause} }

func refused(r Reason, cause error) error { return Refuse(r, cause) }

// Error returns the reason and the cause.
func (r *Refused) Error() string {
	if r.cause == nil {
		return "not proved: " + string(r.Reason)
	}
	return fmt.Sprintf("not proved: %s: %v", r.Reason, r.cause)
}

// Unwrap returns the cause.
func (r *Refused) Unwrap() error { return r.cause }
