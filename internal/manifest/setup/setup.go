// Package setup creates the first account of an empty database. A server prints a link when it starts; the form behind
// it asks for the names of the account, its owner and its first store. The rows are created by a manifest, as when the
// operator applies one.
package setup

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// Repository stores the first account.
type Repository interface {
	// Empty reports whether there is no account.
	Empty(ctx context.Context) (bool, error)
	// First runs work in a transaction that excludes the creation of any other account, and revokes all setup links. It
	// returns fault.NotFound if an account exists, or if the link no longer exists.
	First(ctx context.Context, link uuid.UUID, work func(Change) error) error
}

// Change is the transaction of the first account.
type Change interface {
	manifest.Repository
	// SetPassword sets a user's password, by its hash in PHC string format.
	SetPassword(ctx context.Context, foldedEmail, hash string) error
}

// Service creates the first account.
type Service struct {
	repo      Repository
	signIn    *signin.Service
	manifests *manifest.Service
	// done reports that an account exists. Once true, it stays true.
	done atomic.Bool
}

// NewService returns a service.
func NewService(repo Repository, signIn *signin.Service, manifests *manifest.Service) *Service {
	return &Service{repo: repo, signIn: signIn, manifests: manifests}
}

// Needed reports whether there is no account yet.
func (s *Service) Needed(ctx context.Context) (bool, error) {
	if s.done.Load() {
		return false, nil
	}
	empty, err := s.repo.Empty(ctx)
	if err == nil && !empty {
		s.done.Store(true)
	}
	return empty, err
}

// Offer returns the URL at which the first account is created, including its secret, and its expiration time. It
// revokes the link that a server of that name offered before. It returns fault.Conflict if an account exists.
func (s *Service) Offer(ctx context.Context, server string) (address string, until time.Time, err error) {
	needed, err := s.Needed(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	if !needed {
		return "", time.Time{}, fault.Errorf(fault.Conflict, "An account already exists.")
	}
	return s.signIn.OfferSetup(ctx, server)
}

// Open returns the link for a secret. It returns fault.NotFound if the link does not work, and for every link once an
// account exists.
func (s *Service) Open(ctx context.Context, presented string) (signin.Link, error) {
	l, err := s.signIn.SetupLink(ctx, presented)
	if err != nil {
		return signin.Link{}, err
	}
	needed, err := s.Needed(ctx)
	if err == nil && !needed {
		err = signin.ErrNoLink()
	}
	return l, err
}

// First holds the values of the first account.
type First struct {
	AccountName, StoreName string
	// StoreHash identifies the store in URLs. If empty, it is derived from the store's name.
	StoreHash string
	Owner     user.Details
	Password  user.PasswordChoice
}

// ActorName is the actor in audit events for changes made with the link.
const ActorName = "first-start link"

// Finish creates the first account, its owner and its first store in one transaction. presented is the secret of the
// link, and from is where the request came from. No password is set where passwords are turned off. It returns the
// owner's proof of sign-in. It returns fault.NotFound for a link that does not work, and fault.Invalid on
// "accountName", "storeName", "storeHash", "firstName", "lastName", "locale", "email", "password" and
// "passwordConfirmation".
func (s *Service) Finish(ctx context.Context, presented string, from auth.Origin, f First) (signin.Proof, error) {
	l, err := s.Open(ctx, presented)
	if err != nil {
		return signin.Proof{}, err
	}
	if f.StoreHash == "" {
		f.StoreHash = HashFor(f.StoreName)
	}
	hash, err := s.hash(ctx, f)
	if fault.KindOf(err) == fault.Internal {
		return signin.Proof{}, err
	}
	if err := append(f.check(), fault.Flatten(err)...).Err(); err != nil {
		return signin.Proof{}, err
	}
	declared := f.manifest()
	by := auth.Principal{Kind: auth.Operator, Name: ActorName, Origin: from}
	err = s.repo.First(ctx, l.ID, func(c Change) error {
		if _, err := s.manifests.ApplyWithin(ctx, c, &by, declared); err != nil {
			return err
		}
		if hash == "" {
			return nil
		}
		return c.SetPassword(ctx, user.Fold(f.Owner.Email), hash)
	})
	if err != nil {
		return signin.Proof{}, err
	}
	return s.signIn.OperatorProof(ctx, f.Owner.Email)
}

// hash returns the hash of the owner's password, or "" where passwords are turned off.
func (s *Service) hash(ctx context.Context, f First) (string, error) {
	if s.signIn.NoPasswords {
		return "", nil
	}
	return s.signIn.HashPassword(ctx, f.Password, f.Owner.Email, f.Owner.FirstName, f.Owner.LastName, f.AccountName)
}

// check returns an error for every invalid field.
func (f First) check() fault.List {
	var faults fault.List
	for _, name := range []struct{ field, called, text string }{{"accountName", "account", f.AccountName},
		{"storeName", "store", f.StoreName}} {
		if !user.ValidName(name.text) {
			faults = append(faults, fault.Errorf(fault.Invalid,
				"Enter the name of the %s: one line of at most %d characters, without space around it.", name.called,
				user.MaxName).On(name.field))
		}
	}
	if !manifest.ValidHash(f.StoreHash) {
		faults = append(faults, fault.Errorf(fault.Invalid,
			"Write 4 to 32 lowercase letters and digits, such as acme1us.").On("storeHash"))
	}
	return append(faults, user.CheckDetails(f.Owner)...)
}

// manifest returns the values as a manifest.
func (f First) manifest() manifest.Manifest {
	id, owner := uuid.New(), user.Fold(f.Owner.Email)
	return manifest.Manifest{
		Users: []manifest.Person{{
			AccountID: id, Email: f.Owner.Email, FirstName: f.Owner.FirstName, LastName: f.Owner.LastName,
			Locale: f.Owner.Locale,
		}},
		Accounts: []manifest.Account{{
			ID: id, Name: f.AccountName, Owner: owner, Stores: []manifest.Store{{Hash: f.StoreHash, Name: f.StoreName}},
		}},
	}
}

// plainLetters are letters that have no accent to leave out.
var plainLetters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d", "ð", "d",
	"þ", "th")

// HashFor suggests a hash for a store of that name: its letters, without accents, and digits, with a number appended if
// they are too few.
func HashFor(name string) string {
	const least, most = 4, 32
	kept := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, norm.NFKD.String(plainLetters.Replace(strings.ToLower(name))))
	if len(kept) < least {
		kept = "store" + kept + "1"
	}
	return kept[:min(len(kept), most)]
}
