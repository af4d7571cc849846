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
	"latchkey/internal/fault"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// Draft is a token about to be kept, with all that is kept in the same
// transaction.
type Draft struct {
	Token        Token
	ClientSecret secret.KeyedDigest
	Access       AccessDraft
	Event        audit.Event
	// MaxLive is the most live tokens that the token's owner may have, this
	// one included.
	MaxLive int
}

// AccessDraft is an access token about to be kept.
type AccessDraft struct {
	Record AccessToken
	Digest secret.KeyedDigest
	// SeenBy is the person who gets to see it, zero where it is no person.
	SeenBy uuid.UUID
	// SeenByToken is the API token that rotated and so gets to see it, zero
	// where it is none. It is not kept with a new API token, which says who
	// created it.
	SeenByToken uuid.UUID
}

// Repository keeps API tokens. Its writes take effect as a whole or not at
// all, and are durable and heard by every verifier of this process when they
// return. They return fault.Unauthenticated where the actor's credential does
// not work any more, and fault.Conflict where its rights changed.
type Repository interface {
	// Insert keeps the draft if fewer than MaxLive tokens of its owner live
	// at the draft's creation. It returns fault.LimitReached otherwise, and
	// no race of two inserts, in however many processes, passes both.
	Insert(ctx context.Context, by auth.Actor, d Draft) error
	// Revoke ends those of the tokens that are not revoked yet. It changes
	// nothing and returns the ids that are not in the account, or that
	// OnlyStores excludes, if there are any. With Issued it also returns the
	// tokens that it ended because those issued them.
	Revoke(ctx context.Context, by auth.Actor, e Ending) (Ended, error)
	// Change hands the token, locked against other writers, to decide, with
	// those of its access tokens that nothing has ended, expired or not, and
	// keeps what it returns in the same transaction. An error of decide changes
	// nothing and is returned.
	Change(ctx context.Context, by auth.Actor, accountID, id uuid.UUID, decide func(Token, []AccessToken) (Change, error)) error
	Lister
}

// Ending is the end of some of an account's tokens, about to be kept.
type Ending struct {
	AccountID uuid.UUID
	// IDs are the tokens, each once.
	IDs []uuid.UUID
	// OnlyStores are the stores whose tokens alone may be ended; nil is all
	// of the account.
	OnlyStores []uuid.UUID
	Revocation Revocation
	// Issued ends the tokens that these issued, at every depth, in the same
	// transaction.
	Issued bool
	// Event is what the log says of each token that ends. Its ID and its
	// target are each token's own and filled in where it is kept.
	Event audit.Event
}

// Ended is what came of an Ending.
type Ended struct {
	// Unknown are the ids that name no token in the account. If there are any,
	// nothing was changed.
	Unknown []uuid.UUID
	// Issued are the tokens that were ended because those of the Ending issued
	// them.
	Issued []uuid.UUID
}

// Change is what a decision does to a token.
type Change struct {
	// Token replaces name, scopes, expiry and ranges; nil leaves them.
	Token *Token
	// Ends sets the expiry of access tokens, by id.
	Ends map[uuid.UUID]time.Time
	// Ended are the access tokens that end at once, by every server's clock:
	// at the moment of Event.
	Ended []uuid.UUID
	// Access is an access token to add; nil adds none.
	Access *AccessDraft
	Event  audit.Event
}

// Service issues, narrows, rotates and revokes API tokens. It is the one path
// for the API, the panel and the commands (design: "Issuing").
type Service struct {
	repo   Repository
	policy Policy
	keys   *secret.Keyring
	random io.Reader
	now    func() time.Time
	// onIssue hears of the credentials that were issued; nil does not.
	onIssue func(Issued)
}

// NewService returns a service that judges by policy, keeps digests under
// keys and draws secrets from random, a cryptographic source.
func NewService(repo Repository, policy Policy, keys *secret.Keyring, random io.Reader, now func() time.Time) *Service {
	return &Service{repo: repo, policy: policy, keys: keys, random: random, now: now}
}

// OnIssue sets the function that is called with the credentials of each token
// that was created or rotated, once they work. A rotation issues no client
// secret. Set it before the service is used.
func (s *Service) OnIssue(issued func(Issued)) { s.onIssue = issued }

func (s *Service) tellIssued(i Issued) {
	if s.onIssue != nil {
		s.onIssue(i)
	}
}

// Now is the service's clock, in UTC with the precision that is kept:
// microseconds.
func (s *Service) Now() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// Check judges a request without issuing anything: every broken rule of the
// policy at once, or nil.
func (s *Service) Check(by *auth.Principal, req Request) error {
	_, err := s.policy.Check(by, req, s.Now())
	return err
}

// Create issues a token. It returns every broken rule of the policy at once,
// or fault.LimitReached when the owner has as many live tokens as it may.
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
	s.tellIssued(issued)
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
		ID: uuid.Must(uuid.NewV7()), AccountID: g.Owner.account.ID, StoreID: g.Owner.store.ID, StoreHash: g.Owner.store.Hash,
		Name: g.Name, ClientID: clientID, Scopes: g.Scopes, AllowedIPRanges: g.AllowedIPRanges,
		CreatedAt: now, CreatedBy: audit.ActorOf(by.Subject()), ExpiresAt: g.ExpiresAt,
	}
	value, access, err := s.accessToken(by, row.secretKind, t.ID, now)
	if err != nil {
		return Issued{}, Draft{}, err
	}
	draft := Draft{
		Token: t, ClientSecret: s.keys.Digest(clientSecret), Access: access,
		Event: newEvent(by, audit.APITokenCreated, t, now, grantDetails(t)...), MaxLive: s.policy.MaxLive[g.Owner.Level()],
	}
	return Issued{Token: t, AccessToken: value, ClientSecret: clientSecret}, draft, nil
}

func (s *Service) accessToken(by *auth.Principal, kind secret.Kind, tokenID uuid.UUID, now time.Time) (secret.Secret, AccessDraft, error) {
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

// Update narrows a token. It returns fault.Forbidden for a principal that
// manages no tokens, fault.NotFound for a token that the principal cannot see,
// fault.Conflict for one that is no longer live, and fault.Invalid for
// everything that would widen it, all at once.
func (s *Service) Update(ctx context.Context, by *auth.Principal, u Update) (Token, error) {
	var updated Token
	err := s.change(ctx, by, u.ID, func(t Token, _ []AccessToken) (Change, error) {
		now := s.Now()
		narrowed, err := s.policy.CheckUpdate(by, t, u, now)
		if err != nil {
			return Change{}, err
		}
		updated = narrowed
		return Change{Token: &narrowed, Event: newEvent(by, audit.APITokenUpdated, narrowed, now, changeDetails(t, narrowed)...)}, nil
	})
	if err != nil {
		return Token{}, err
	}
	return updated, nil
}

// Rotate gives a token a new access token and ends the previous one after
// overlap; nil is DefaultOverlap. What an earlier rotation left alive besides
// ends now, so that at most two access tokens live. Errors as for Update, and
// fault.Forbidden where the principal could not have issued the token or
// acts by an access token that is itself to end sooner.
func (s *Service) Rotate(ctx context.Context, by *auth.Principal, id uuid.UUID, overlap *time.Duration) (Rotation, error) {
	var rotation Rotation
	err := s.change(ctx, by, id, func(t Token, existing []AccessToken) (Change, error) {
		now, lasts := s.Now(), DefaultOverlap
		if overlap != nil {
			lasts = *overlap
		}
		if err := s.policy.CheckRotation(by, t, lasts, now); err != nil {
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
		details := []audit.Detail{{Name: "previousExpiresAt", Value: previous.Format(time.RFC3339)}, {Name: "hint", Value: access.Record.Hint}}
		ends, ended := endings(existing, now, previous)
		return Change{Ends: ends, Ended: ended, Access: &access, Event: newEvent(by, audit.APITokenRotated, t, now, details...)}, nil
	})
	if err != nil {
		return Rotation{}, err
	}
	s.tellIssued(Issued{Token: rotation.Token, AccessToken: rotation.AccessToken})
	return rotation, nil
}

// endings returns the ends of the access tokens that a rotation leaves behind:
// the current one, which no rotation has dated yet, ends at until if that is
// yet to come; all others end at once. It goes by that, and neither by which is
// newest nor by which have expired, since clocks of replicas differ.
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

// change runs decide on a token that the principal can see, if it manages any.
// A token that is not there and one out of sight get one and the same answer.
func (s *Service) change(ctx context.Context, by *auth.Principal, id uuid.UUID, decide func(Token, []AccessToken) (Change, error)) error {
	if _, err := storesWhere(by, auth.CreateTokens); err != nil {
		return err
	}
	err := s.repo.Change(ctx, by.Actor(), by.AccountID, id, func(t Token, existing []AccessToken) (Change, error) {
		if mayChange(by, t) != nil && !sees(by, t) {
			return Change{}, ErrNoToken()
		}
		return decide(t, existing)
	})
	if fault.KindOf(err) == fault.NotFound {
		return ErrNoToken().On("id")
	}
	return err
}

// Revoke ends tokens at once, all or none. Tokens that are revoked already stay
// as they are, so a repeat is safe. It returns fault.Forbidden for a principal
// that manages no tokens, fault.Invalid for a request out of bounds, and
// fault.NotFound for each id that is not of a token which the principal may
// revoke. What the tokens issued is for the caller to review (IssuedBy).
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
	ending := NewEnding(by, req.IDs, reason, now)
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

// IssuedBy returns the tokens, revoked or not, that tokens of the principal's
// account issued (Lister.IssuedBy). Whether the principal may see them is for
// the caller to judge.
func (s *Service) IssuedBy(ctx context.Context, by *auth.Principal, ids []uuid.UUID) ([]Token, error) {
	return s.repo.IssuedBy(ctx, by.AccountID, ids, s.Now())
}

// ToReview returns those of the tokens that tokens of the principal's account
// issued which work now or are among revoked, if the principal may see them:
// who knows the secrets of the tokens knows theirs.
func (s *Service) ToReview(ctx context.Context, by *auth.Principal, ids, revoked []uuid.UUID) ([]Token, error) {
	issued, err := s.IssuedBy(ctx, by, ids)
	now := s.Now()
	return slices.DeleteFunc(issued, func(t Token) bool {
		return !sees(by, t) || t.Status(now) != Active && !slices.Contains(revoked, t.ID)
	}), err
}

// NewEnding is the end of tokens of the principal's account at a moment, for
// any reason or none. Whether the principal may is for the caller to judge.
func NewEnding(by *auth.Principal, ids []uuid.UUID, reason string, at time.Time) Ending {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return Ending{
		AccountID: by.AccountID, IDs: slices.Compact(ids),
		Revocation: Revocation{At: at, By: audit.ActorOf(by.Subject()), Reason: reason},
		Event:      newEvent(by, audit.APITokenRevoked, Token{AccountID: by.AccountID}, at, reasonDetail(reason)...),
	}
}

// MayRevokeAll returns fault.Forbidden unless the principal may revoke every
// token of its account.
func MayRevokeAll(by *auth.Principal) error { return mayChange(by, Token{AccountID: by.AccountID}) }

// storesWhere returns the stores with whose tokens alone the principal may do
// what the permission says, nil for all of the account. It returns
// fault.Forbidden for one that may do it nowhere.
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
