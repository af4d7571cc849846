package signin

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// FlowLifetime is how long somebody may take between two steps of proving who
// they are.
const FlowLifetime = 10 * time.Minute

// purpose is what a flow is for. One that was begun for one thing is good for
// no other.
type purpose string

// The purposes of flows.
const (
	forCode       purpose = "code"
	forProvider   purpose = "provider"
	forPasskey    purpose = "passkey"
	forTOTP       purpose = "totp"
	forNewPasskey purpose = "new passkey"
)

// Flow is what is kept between two steps of proving who somebody is, by the
// digest of a secret that the browser holds. Any server that shares the
// database goes on with it.
type Flow struct {
	Digest  secret.KeyedDigest
	Purpose string
	// Content is sealed: it holds what the browser must not know or change.
	Content   secret.Sealed
	ExpiresAt time.Time
}

// FlowRepository keeps flows. A look-up returns fault.NotFound when there is
// none of that purpose under one of the digests that lives at the moment.
type FlowRepository interface {
	// KeepFlow keeps a flow, and drops those that are over at the moment.
	KeepFlow(ctx context.Context, by auth.Actor, f Flow, at time.Time) error
	// Flow returns a flow.
	Flow(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)
	// TakeFlow returns a flow and deletes it. Of several at once one gets it.
	TakeFlow(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)
}

// beginFlow keeps content for the next step, and returns the secret that it is
// found by.
func (s *Service) beginFlow(ctx context.Context, by auth.Actor, p purpose, content any) (secret.Secret, error) {
	value, err := secret.Generate(s.Random, secret.Flow)
	if err != nil {
		return secret.Secret{}, err
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("keep a flow: %w", err)
	}
	now := s.moment()
	flow := Flow{Digest: s.Keys.Digest(value), Purpose: string(p), ExpiresAt: now.Add(FlowLifetime)}
	if flow.Content, err = s.Keys.Seal(s.Random, plain, sealedFlow(flow)); err != nil {
		return secret.Secret{}, err
	}
	return value, s.Repository.KeepFlow(ctx, by, flow, now)
}

// lookFlow reads the content of a flow, which goes on.
func (s *Service) lookFlow(ctx context.Context, p purpose, presented string, content any) error {
	return s.openFlow(ctx, p, presented, content, s.Repository.Flow)
}

// takeFlow reads the content of a flow, which is over then: it is good for one
// use.
func (s *Service) takeFlow(ctx context.Context, p purpose, presented string, content any) error {
	return s.openFlow(ctx, p, presented, content, s.Repository.TakeFlow)
}

type flowFinder func(ctx context.Context, purpose string, candidates []secret.KeyedDigest, at time.Time) (Flow, error)

// openFlow returns Refused with WhyOver for a flow that is not there.
func (s *Service) openFlow(ctx context.Context, p purpose, presented string, content any, find flowFinder) error {
	value, err := secret.Parse(presented)
	if err != nil || value.Kind() != secret.Flow {
		return refused(WhyOver, nil)
	}
	flow, err := find(ctx, string(p), s.Keys.Candidates(value), s.moment())
	if fault.KindOf(err) == fault.NotFound {
		return refused(WhyOver, err)
	}
	if err != nil {
		return err
	}
	plain, err := s.Keys.Open(flow.Content, sealedFlow(flow))
	if err != nil {
		return refused(WhyOver, err)
	}
	return json.Unmarshal(plain, content)
}

// sealedFlow is what the content of a flow is sealed as: it fits no other.
func sealedFlow(f Flow) string { return fmt.Sprintf("flow %s %x", f.Purpose, f.Digest.Digest) }

// Why is why somebody could not prove who they are, apart from a wrong password
// or code.
type Why string

// The reasons.
const (
	// WhyOver: the flow took too long, was finished already, or was begun in
	// another browser.
	WhyOver Why = "over"
	// WhyState: an answer that belongs to another question.
	WhyState Why = "state"
	// WhyDenied: the person said no at the provider.
	WhyDenied Why = "denied"
	// WhyProvider: the provider answered an error.
	WhyProvider Why = "provider"
	// WhyAway: the provider cannot be reached.
	WhyAway Why = "away"
	// WhyUntrusted: what the provider says is not proved, or is for others.
	WhyUntrusted Why = "untrusted"
	// WhyUnverified: the provider does not say that the address is theirs.
	WhyUnverified Why = "unverified"
	// WhyUnknown: nobody here has the address.
	WhyUnknown Why = "unknown"
	// WhyTaken: whoever has the address is somebody else at the provider.
	WhyTaken Why = "taken"
	// WhyLinked: whoever it is at the provider is somebody else here.
	WhyLinked Why = "linked"
	// WhyUnlinked: the user removed this link, and makes it again in the panel.
	WhyUnlinked Why = "unlinked"
	// WhyOther: it is somebody, but not the one who is signed in.
	WhyOther Why = "other"
	// WhyStale: the provider did not ask again who it is.
	WhyStale Why = "stale"
	// WhyChanged: what it rests on was changed or removed since it was begun.
	WhyChanged Why = "changed"
	// WhyPasskey: the passkey is not known here, or did not sign what it should.
	WhyPasskey Why = "passkey"
)

// Whys returns all reasons.
func Whys() []Why {
	return []Why{
		WhyOver, WhyState, WhyDenied, WhyProvider, WhyAway, WhyUntrusted, WhyUnverified, WhyUnknown,
		WhyTaken, WhyLinked, WhyUnlinked, WhyOther, WhyStale, WhyChanged, WhyPasskey,
	}
}

// Refused is the error of somebody who could not prove who they are. Its cause
// is for the log.
type Refused struct {
	Why   Why
	cause error
}

// Refuse returns a Refused, for providers.
func Refuse(why Why, cause error) *Refused { return &Refused{why, cause} }

func refused(why Why, cause error) error { return Refuse(why, cause) }

// Error is the reason and the cause.
func (r *Refused) Error() string {
	if r.cause == nil {
		return "not proved: " + string(r.Why)
	}
	return fmt.Sprintf("not proved: %s: %v", r.Why, r.cause)
}

// Unwrap returns the cause.
func (r *Refused) Unwrap() error { return r.cause }
