package token

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Draft is a new token with everything that is stored in the same transaction.
type Draft struct {
	Token        Token
	ClientSecret secret.KeyedDigest
	Access       AccessDraft
	Event        audit.Event
	// MaxLive is the limit of active tokens of the token's owner, including this
	// one.
	MaxLive int
}

// AccessDraft is a new access token to store.
type AccessDraft struct {
	Record AccessToken
	Digest secret.KeyedDigest
	// SeenBy is the user who sees the secret, or zero if the principal is not a
	// user.
	SeenBy uuid.UUID
	// SeenByToken is the API token that rotated and so received the secret, or zero
	// for other principals. It is not stored with a new API token, whose creator it is.
	SeenByToken uuid.UUID
}

// Repository stores API tokens. A write is atomic. When it returns, it is durable
// and every verifier in this process has processed it. It returns
// fault.Unauthenticated if the actor's credential no longer works, and
// fault.Conflict if its rights changed.
type Repository interface {
	// Insert stores the draft if its owner has fewer than MaxLive active tokens
	// when the draft is created, and returns fault.LimitReached otherwise.
	// Concurrent inserts, also in several processes, cannot exceed the limit.
	Insert(ctx context.Context, by auth.Actor, d Draft) error
	// Revoke revokes the tokens that are not revoked yet. If some of the IDs are
	// not in the account, or are excluded by OnlyStores, it returns those and
	// changes nothing. With Issued it also returns the issued tokens that it
	// revoked.
	Revoke(ctx context.Context, by auth.Actor, e RevocationDraft) (RevocationOutcome, error)
	// Change calls decide with the token, locked against other writers, and its
	// access tokens that were not ended, including expired ones. It stores the result of
	// decide in the same transaction. An error of decide is returned, and nothing
	// changes.
	Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID,
		decide func(Token, []AccessToken) (Change, error)) error
	Lister
}

// RevocationDraft is a revocation of tokens of an account, to be stored.
type RevocationDraft struct {
	AccountID uuid.UUID
	// IDs are the tokens' IDs, without duplicates.
	IDs []uuid.UUID
	// OnlyStores are the stores whose tokens may be revoked. If it is nil, all
	// tokens of the account may be.
	OnlyStores []uuid.UUID
	Revocation Revocation
	// Issued also revokes the tokens that these issued, at every depth, in the same
	// transaction.
	Issued bool
	// Event is the template of the audit event of each revoked token. The
	// repository sets its ID, target and data (EventOf).
	Event audit.Event
}

// RevocationOutcome is the result of a RevocationDraft.
type RevocationOutcome struct {
	// Unknown are the IDs of tokens that do not exist in the account. If there are
	// any, nothing was changed.
	Unknown []uuid.UUID
	// Issued are the IDs of the tokens that were revoked because tokens of the
	// draft issued them.
	Issued []uuid.UUID
}

// Change is a change to a token, to be stored.
type Change struct {
	// Token has the new name, scopes, expiration time, address ranges and charge
	// limit. If it is nil, they are left unchanged.
	Token *Token
	// Ends maps IDs of access tokens to their new expiration times.
	Ends map[uuid.UUID]time.Time
	// Ended are the IDs of access tokens that end immediately under every server's
	// clock, at the time of Event.
	Ended []uuid.UUID
	// Access is an access token to add, or nil.
	Access *AccessDraft
	Event  audit.Event
}

// Service issues, restricts, rotates and revokes API tokens. The API, the panel and
// the commands all use it (docs/architecture.md: "Issuing").
type Service struct {
	repo   Repository
	policy Policy
	keys   *secret.Keyring
	random io.Reader
	now    clock.Clock
	// onIssue is called with issued credentials if it is not nil.
	onIssue func(Issued)
}

// NewService returns a service that applies the policy, stores digests under keys,
// and generates secrets from random, a cryptographic source.
func NewService(repo Repository, policy Policy, keys *secret.Keyring, random io.Reader, now clock.Clock) *Service {
	return &Service{repo: repo, policy: policy, keys: keys, random: random, now: now}
}

// OnIssue sets a function to call with the credentials of each token that was
// created or rotated, after they work. A rotation has no client secret. OnIssue
// must be called before the service is used.
func (s *Service) OnIssue(issued func(Issued)) { s.onIssue = issued }

func (s *Service) notifyIssued(i Issued) {
	if s.onIssue != nil {
		s.onIssue(i)
	}
}

// Now returns the service's current time in UTC, with the precision of the
// database.
func (s *Service) Now() time.Time { return s.now.Timestamp() }

// Check checks a request without issuing a token. It returns all rules of the
// policy that the request breaks.
func (s *Service) Check(by *auth.Principal, req Request) error {
	_, err := s.policy.Check(by, req, s.Now())
	return err
}

// Create issues a token. It returns an error for each rule of the policy that the
// request breaks, or fault.LimitReached if the owner has as many active tokens as
// it may have.
func (s *Service) Create(ctx context.Context, by *auth.Principal, req Request) (Issued, error) {
	now := s.Now()
	grant, err := s.policy.Check(by, req, now)
	if err != nil {
		return Issued{}, err
	}
	issued, draft, err := s.draft(by, grant, now)
	if err != nil {
		return Issued{}, err
	}
	if err := s.repo.Insert(ctx, by.Actor(), draft); err != nil {
		return Issued{}, err
	}
	s.notifyIssued(issued)
	return issued, nil
}

func (s *Service) draft(by *auth.Principal, g Grant, now time.Time) (Issued, Draft, error) {
	row := rowOf(g.Owner.Level())
	clientSecret, err := secret.Generate(s.random, secret.ClientSecret)
	if err != nil {
		return Issued{}, Draft{}, err
	}
	clientID, err := newClientID(s.random)
	if err != nil {
		return Issued{}, Draft{}, err
	}
	t := Token{
		ID: uuid.Must(uuid.NewV7()), AccountID: g.Owner.account.ID, StoreID: g.Owner.store.ID,
		StoreHash: g.Owner.store.Hash,
		Name:      g.Name, ClientID: clientID, Scopes: g.Scopes, AllowedIPRanges: g.AllowedIPRanges,
		ChargeLimit: g.ChargeLimit,
		CreatedAt:   now, CreatedBy: audit.ActorOf(by.Subject()), ExpiresAt: g.ExpiresAt,
	}
	value, access, err := s.accessToken(by, row.secretKind, t.ID, now)
	if err != nil {
		return Issued{}, Draft{}, err
	}
	draft := Draft{
		Token: t, ClientSecret: s.keys.Digest(clientSecret), Access: access,
		Event:   newEvent(by, audit.APITokenCreated, t, now, grantDetails(t)...),
		MaxLive: s.policy.MaxLive[g.Owner.Level()],
	}
	return Issued{Token: t, AccessToken: value, ClientSecret: clientSecret}, draft, nil
}

func (s *Service) accessToken(by *auth.Principal, kind secret.Kind, tokenID uuid.UUID, now time.Time) (secret.Secret,
	AccessDraft, error) {
	value, err := secret.Generate(s.random, kind)
	if err != nil {
		return secret.Secret{}, AccessDraft{}, err
	}
	record := AccessToken{ID: uuid.Must(uuid.NewV7()), APITokenID: tokenID, Hint: value.Hint(), CreatedAt: now}
	draft := AccessDraft{Record: record, Digest: s.keys.Digest(value)}
	switch by.Kind {
	case auth.Session:
		draft.SeenBy = by.ID
	case auth.APIToken:
		draft.SeenByToken = by.ID
	}
	return value, draft, nil
}

// Update restricts a token. It returns fault.Forbidden for a principal that cannot
// manage tokens, fault.NotFound for a token that the principal may not see,
// fault.Conflict for a token that is not active, and fault.Invalid for every change
// that would give it more rights.
func (s *Service) Update(ctx context.Context, by *auth.Principal, u Update) (Token, error) {
	var updated Token
	err := s.change(ctx, by, u.ID, func(t Token, _ []AccessToken) (Change, error) {
		now := s.Now()
		narrowed, err := s.policy.CheckUpdate(by, t, u, now)
		if err != nil {
			return Change{}, err
		}
		updated = narrowed
		return Change{Token: &narrowed, Event: newEvent(by, audit.APITokenUpdated, narrowed, now,
			changeDetails(t, narrowed)...)}, nil
	})
	if err != nil {
		return Token{}, err
	}
	return updated, nil
}

// Rotate adds an access token to a token and ends the previous one after the
// overlap; nil means DefaultOverlap. If an earlier rotation left an even older access
// token working, that one ends immediately, so that at most two work. Rotate returns
// errors as Update does, and fault.Forbidden if the principal could not have issued
// the token or uses an access token that expires before the token does.
func (s *Service) Rotate(ctx context.Context, by *auth.Principal, id uuid.UUID, overlap *time.Duration) (Rotation,
	error) {
	var rotation Rotation
	err := s.change(ctx, by, id, func(t Token, existing []AccessToken) (Change, error) {
		now, lasts := s.Now(), DefaultOverlap
		if overlap != nil {
			lasts = *overlap
		}
		if err := s.policy.CheckRotation(by, t, existing, lasts, now); err != nil {
			return Change{}, err
		}
		value, access, err := s.accessToken(by, rowOf(t.Level()).secretKind, t.ID, now)
		if err != nil {
			return Change{}, err
		}
		previous := now.Add(lasts)
		if !t.ExpiresAt.IsZero() && t.ExpiresAt.Before(previous) {
			previous = t.ExpiresAt
		}
		rotation = Rotation{Token: t, AccessToken: value, PreviousExpiresAt: previous}
		details := []audit.Detail{{Name: "previousExpiresAt", Value: previous.Format(time.RFC3339)},
			{Name: "hint", Value: access.Record.Hint}}
		ends, ended := endings(existing, now, previous)
		return Change{Ends: ends, Ended: ended, Access: &access,
			Event: newEvent(by, audit.APITokenRotated, t, now, details...)}, nil
	})
	if err != nil {
		return Rotation{}, err
	}
	s.notifyIssued(Issued{Token: rotation.Token, AccessToken: rotation.AccessToken})
	return rotation, nil
}

// endings returns which access tokens a rotation ends. The current one, which no
// rotation has given an expiration time, ends at until if that is in the future.
// All others end immediately. The age of the tokens and whether they have expired
// do not matter, since the clocks of replicas differ.
func endings(existing []AccessToken, now, until time.Time) (ends map[uuid.UUID]time.Time, ended []uuid.UUID) {
	ends = map[uuid.UUID]time.Time{}
	for _, a := range existing {
		if a.ExpiresAt.IsZero() && until.After(now) {
			ends[a.ID] = until
		} else {
			ended = append(ended, a.ID)
		}
	}
	return ends, ended
}

// change calls decide with a token if the principal manages tokens and may see this
// one. It returns the same error for a token that does not exist and for one that
// the principal may not see.
func (s *Service) change(ctx context.Context, by *auth.Principal, id uuid.UUID,
	decide func(Token, []AccessToken) (Change, error)) error {
	if _, err := storesWhere(by, auth.CreateTokens); err != nil {
		return err
	}
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, id, func(t Token, existing []AccessToken) (Change, error) {
		if mayWrite(by, t) != nil && !sees(by, t) {
			return Change{}, ErrNoToken()
		}
		return decide(t, existing)
	})
	if fault.KindOf(err) == fault.NotFound {
		return ErrNoToken().On("id")
	}
	return err
}

// Revoke revokes tokens immediately, all or none. Tokens that are already revoked
// are left unchanged, so a request can be repeated. It returns fault.Forbidden for
// a principal that cannot manage tokens, fault.Invalid for a request out of bounds,
// and fault.NotFound for each ID of a token that the principal may not revoke. The
// caller can review the tokens that these issued with IssuedBy.
func (s *Service) Revoke(ctx context.Context, by *auth.Principal, req RevokeRequest) (RevokeResult, error) {
	now := s.Now()
	only, err := storesWhere(by, auth.DeleteTokens)
	if err != nil {
		return RevokeResult{}, err
	}
	if err := MayRevokeAll(by); err != nil && req.Issued {
		return RevokeResult{}, fault.Under(err, "revokeIssued")
	}
	reason, err := checkRevocation(req)
	if err != nil {
		return RevokeResult{}, err
	}
	ending := NewRevocationDraft(by, req.IDs, reason, now)
	ending.OnlyStores, ending.Issued = only, req.Issued
	ended, err := s.repo.Revoke(ctx, by.Actor(), ending)
	if err != nil {
		return RevokeResult{}, err
	}
	var faults fault.List
	for i, id := range req.IDs {
		if slices.Contains(ended.Unknown, id) {
			faults = append(faults, ErrNoToken().On("ids."+strconv.Itoa(i)))
		}
	}
	if err := faults.Err(); err != nil {
		return RevokeResult{}, err
	}
	return RevokeResult{At: now, IDs: ending.IDs, Issued: ended.Issued}, nil
}

// IssuedBy returns the tokens that tokens of the principal's account issued
// (Lister.IssuedBy). The caller checks whether the principal may see them.
func (s *Service) IssuedBy(ctx context.Context, by *auth.Principal, ids []uuid.UUID) ([]Token, error) {
	return s.repo.IssuedBy(ctx, by.AccountID, ids, s.Now())
}

// ToReview returns those tokens issued by the given ones that are active or in revoked,
// and that the principal may see. A user who knows the secrets of the
// given tokens may know theirs too.
func (s *Service) ToReview(ctx context.Context, by *auth.Principal, ids, revoked []uuid.UUID) ([]Token, error) {
	issued, err := s.IssuedBy(ctx, by, ids)
	now := s.Now()
	return slices.DeleteFunc(issued, func(t Token) bool {
		return !sees(by, t) || t.Status(now) != Active && !slices.Contains(revoked, t.ID)
	}), err
}

// NewRevocationDraft returns the revocation of tokens of the principal's account at a time.
// The reason may be empty. The caller checks whether the principal may revoke them.
func NewRevocationDraft(by *auth.Principal, ids []uuid.UUID, reason string, at time.Time) RevocationDraft {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return RevocationDraft{
		AccountID: by.AccountID, IDs: slices.Compact(ids),
		Revocation: Revocation{At: at, By: audit.ActorOf(by.Subject()), Reason: reason},
		Event:      newEvent(by, audit.APITokenRevoked, Token{AccountID: by.AccountID}, at, reasonDetail(reason)...),
	}
}

// MayRevokeAll returns fault.Forbidden unless the principal may revoke every
// token of its account.
func MayRevokeAll(by *auth.Principal) error { return mayWrite(by, Token{AccountID: by.AccountID}) }

// storesWhere returns the stores in which the principal has the permission for
// tokens, or nil for the whole account. It returns fault.Forbidden if there are
// none.
func storesWhere(by *auth.Principal, what auth.Permission) ([]uuid.UUID, error) {
	denied := may(by, Token{AccountID: by.AccountID}, what, scope.AccountAPITokensWrite)
	if denied == nil {
		return nil, nil
	}
	if by.Kind == auth.Session && by.MaySomewhere(what) {
		return by.StoresWhere(what), nil
	}
	return nil, denied
}

func checkRevocation(req RevokeRequest) (reason string, err error) {
	var faults fault.List
	if len(req.IDs) == 0 || len(req.IDs) > MaxRevocations {
		faults = append(faults, fault.Errorf(fault.Invalid, "Name 1 to %d API tokens.", MaxRevocations).On("ids"))
	}
	reason, found := checkReason(req.Reason)
	return reason, append(faults, found...).Err()
}
