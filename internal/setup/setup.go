// Package setup makes the first account of an empty database: a server prints
// a link when it starts, and whoever opens it says what the account, its owner
// and its first store are called. The rows are those of a manifest, applied as
// the operator applies one.
package setup

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/manifest"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// Repository keeps the first account.
type Repository interface {
	// Empty reports whether there is no account.
	Empty(ctx context.Context) (bool, error)
	// First runs work in a transaction during which nobody else makes an
	// account, and ends all links of the setup. It returns fault.NotFound when
	// there is an account, or the link is gone.
	First(ctx context.Context, link uuid.UUID, work func(Change) error) error
}

// Change is the transaction of the first account.
type Change interface {
	manifest.Repository
	// SetPassword gives somebody a password, by its hash in PHC's form.
	SetPassword(ctx context.Context, foldedEmail, hash string) error
}

// Service makes the first account.
type Service struct {
	repo      Repository
	signIn    *signin.Service
	manifests *manifest.Service
	// done says that there is an account, which is so for good.
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

// Offer returns the address at which the first account is made, with its
// secret, and until when it works. The one that the server of that name offered
// before ends. It returns fault.Conflict when there is an account.
func (s *Service) Offer(ctx context.Context, server string) (address string, until time.Time, err error) {
	needed, err := s.Needed(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	if !needed {
		return "", time.Time{}, fault.Errorf(fault.Conflict, "There is an account already.")
	}
	return s.signIn.OfferSetup(ctx, server)
}

// Open returns the link of a secret. It returns fault.NotFound for one that
// does not work, as none does once there is an account.
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

// First says what the first account is.
type First struct {
	AccountName, StoreName string
	// StoreHash names the store in addresses of the platform; empty for one that
	// follows from the store's name.
	StoreHash string
	Owner     user.Details
	Password  user.PasswordChoice
}

// ActorName is whom the audit log names for what is done by the link.
const ActorName = "first-start link"

// Finish makes the first account, its owner and its first store, all at once,
// for whoever comes from that origin with the secret of the link. Where
// passwords are turned off it sets none. It returns the proof of the owner;
// fault.NotFound for a link that does not work, and
// fault.Invalid on "accountName", "storeName", "storeHash", "firstName",
// "lastName", "locale", "email", "password" and "passwordConfirmation".
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

// hash returns the hash of the owner's password; empty where passwords are
// turned off.
func (s *Service) hash(ctx context.Context, f First) (string, error) {
	if s.signIn.NoPasswords {
		return "", nil
	}
	return s.signIn.HashPassword(ctx, f.Password, f.Owner.Email, f.Owner.FirstName, f.Owner.LastName, f.AccountName)
}

// check returns every field that breaks a rule.
func (f First) check() fault.List {
	var faults fault.List
	for _, name := range []struct{ field, called, text string }{{"accountName", "account", f.AccountName}, {"storeName", "store", f.StoreName}} {
		if !user.ValidName(name.text) {
			faults = append(faults, fault.Errorf(fault.Invalid, "Enter the name of the %s: one line of at most %d characters, without space around it.", name.called, user.MaxName).On(name.field))
		}
	}
	if !manifest.ValidHash(f.StoreHash) {
		faults = append(faults, fault.Errorf(fault.Invalid, "Write 4 to 32 lowercase letters and digits, such as acme1us.").On("storeHash"))
	}
	return append(faults, user.CheckDetails(f.Owner)...)
}

// manifest is what is said, as the operator would declare it.
func (f First) manifest() manifest.Manifest {
	id, owner := uuid.New(), user.Fold(f.Owner.Email)
	return manifest.Manifest{
		People: []manifest.Person{{
			AccountID: id, Email: f.Owner.Email, FirstName: f.Owner.FirstName, LastName: f.Owner.LastName, Locale: f.Owner.Locale,
		}},
		Accounts: []manifest.Account{{
			ID: id, Name: f.AccountName, Owner: owner, Stores: []manifest.Store{{Hash: f.StoreHash, Name: f.StoreName}},
		}},
	}
}

// HashFor suggests the hash of a store of that name: its letters and digits, and
// a number where they are too few.
func HashFor(name string) string {
	const least, most = 4, 32
	kept := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if len(kept) < least {
		kept = "store" + kept + "1"
	}
	return kept[:min(len(kept), most)]
}
