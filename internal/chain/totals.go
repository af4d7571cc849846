package chain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/secret"
)

// Totals bind the chains of all accounts together. They are signed as a whole, and only as a continuation of totals
// whose signature was verified.
type Totals struct {
	// Epoch identifies the beginning of the chains.
	Epoch   uuid.UUID
	BegunAt time.Time
	// Version counts the signatures.
	Version int64
	// Events is the number of events that were sealed, and the place of the last one.
	Events int64
	// Restarts counts how often an operator began the chains again.
	Restarts int64
	// Sum is the sum of all heads: for each head a pseudorandom number, which depends on the server's key. So nobody
	// without the key can find other heads with the same sum. A number that depends on Nonce, which every signature
	// changes, is added. So differences between sums reveal nothing about the numbers of heads: with many of those,
	// other heads could be found. (MSet-Add-Hash in Clarke and others, Incremental Multiset Hash Functions, 2003.)
	Sum   Sum
	Nonce uuid.UUID
	Mark  secret.KeyedDigest
}

// Sum is a number modulo 2^256, the most significant byte first.
type Sum [sha256.Size]byte

func (s Sum) plus(other Sum) (sum Sum) {
	var carry uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var word uint64
		word, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(other[i:]), carry)
		binary.BigEndian.PutUint64(sum[i:], word)
	}
	return sum
}

func (s Sum) minus(other Sum) (difference Sum) {
	var borrow uint64
	for i := len(s) - 8; i >= 0; i -= 8 {
		var word uint64
		word, borrow = bits.Sub64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(other[i:]), borrow)
		binary.BigEndian.PutUint64(difference[i:], word)
	}
	return difference
}

func (t Totals) text() string {
	return fmt.Sprintf("%s %d %d %d %d %x %s", t.Epoch, t.BegunAt.UnixMicro(), t.Version, t.Events, t.Restarts, t.Sum,
		t.Nonce)
}

// Signed reports whether the totals were signed with a key of the keyring.
func (t Totals) Signed(keys *secret.Keyring) bool { return keys.Signed(useTotals, t.text(), t.Mark) }

// NewTotals returns the signed totals of chains that begin at a time, without an event.
func NewTotals(keys *secret.Keyring, at time.Time, restarts int64) Totals {
	l := Ledger{Totals{Epoch: uuid.New(), BegunAt: at, Restarts: restarts}, keys, keys.IDs()[0], Sum{}}
	return l.Sign()
}

// Broken is the error of chains that are not as the server signed them. Nothing is sealed until an operator has looked.
type Broken struct {
	// AccountID is zero if it is not about one account.
	AccountID uuid.UUID
	Problem   string
}

// Error implements error.
func (b *Broken) Error() string {
	if b.AccountID == uuid.Nil {
		return b.Problem
	}
	return fmt.Sprintf("account %s: %s", b.AccountID, b.Problem)
}

// IsBroken reports whether the error is a Broken.
func IsBroken(err error) bool {
	var b *Broken
	return errors.As(err, &b)
}

// Continues returns Broken unless the totals are signed, and are last or signed after it. A zero last is continued by
// all.
func (t Totals) Continues(last Totals, keys *secret.Keyring) error {
	switch {
	case !t.Signed(keys):
		return &Broken{Problem: unsigned}
	case last.Epoch == uuid.Nil, t.Epoch == last.Epoch && t.Version >= last.Version,
		t.Epoch != last.Epoch && t.Restarts > last.Restarts:
		return nil
	}
	return &Broken{Problem: "the totals of the audit chains are older than those that this server has seen: the database was set back"}
}

const unsigned = "the totals of the audit chains are not signed by this server's keys"

// Ledger changes totals. It is not safe for concurrent use.
type Ledger struct {
	totals Totals
	keys   *secret.Keyring
	key    secret.KeyID
	// sum is not hidden.
	sum Sum
}

// Open verifies totals and returns a ledger that continues them, under their key.
func (t Totals) Open(keys *secret.Keyring) (*Ledger, error) {
	if !t.Signed(keys) {
		return nil, &Broken{Problem: unsigned}
	}
	l := &Ledger{t, keys, t.Mark.Key, t.Sum}
	l.sum = t.Sum.minus(l.number(useHiding, t.Nonce.String()))
	return l, nil
}

// number returns the pseudorandom number of a text.
func (l *Ledger) number(use, text string) Sum {
	d, _ := l.keys.SignAs(l.key, use, text) // Open checked the key
	return Sum(d.Digest)
}

// Append appends an event to the chain of a head, which must be part of the totals already. Replace must follow.
func (l *Ledger) Append(h *Head, r Record) (link Link, place int64) {
	l.totals.Events++
	r.Place = l.totals.Events
	return h.Append(r), r.Place
}

// Replace replaces a head by its successor. before is zero for the first head of a chain.
func (l *Ledger) Replace(before, after Head) {
	if before.Number > 0 {
		l.sum = l.sum.minus(l.number(useSum, before.text()))
	}
	l.sum = l.sum.plus(l.number(useSum, after.text()))
}

// Sign returns the changed totals.
func (l *Ledger) Sign() Totals {
	l.totals.Version++
	l.totals.Nonce = uuid.New()
	l.totals.Sum = l.sum.plus(l.number(useHiding, l.totals.Nonce.String()))
	l.totals.Mark, _ = l.keys.SignAs(l.key, useTotals, l.totals.text())
	return l.totals
}

// Renewed is the verification of all heads against the totals, and the sum of the same heads under the current key.
type Renewed struct {
	*Ledger

	found, next Ledger
	// Numbers is the sum of the numbers of the heads that were added.
	Numbers int64
	forged  uuid.UUID
}

// Recount begins to compute the sum of all heads. Add must be called for each.
func (l *Ledger) Recount() *Renewed {
	next := Ledger{l.totals, l.keys, l.keys.IDs()[0], Sum{}}
	return &Renewed{Ledger: l, found: Ledger{l.totals, l.keys, l.key, Sum{}}, next: next}
}

// Add adds a head.
func (r *Renewed) Add(h Head) {
	if !h.Signed(r.keys) && r.forged == uuid.Nil {
		r.forged = h.AccountID
	}
	r.Numbers += h.Number
	r.found.Replace(Head{}, h)
	if r.next.key != r.key {
		r.next.Replace(Head{}, h)
	}
}

// Err returns Broken unless the heads that were added are those that the totals bind.
func (r *Renewed) Err() error {
	switch {
	case r.forged != uuid.Nil:
		return &Broken{r.forged, "the head of the audit chain is not signed by this server's keys"}
	case r.Numbers != r.totals.Events:
		return &Broken{Problem: fmt.Sprintf("all audit chains together have %d events, but %d were sealed", r.Numbers, r.totals.Events)}
	case r.sum != r.found.sum:
		return &Broken{Problem: "the heads of the audit chains are not those that were signed together: one was set back, removed or added"}
	}
	return nil
}

// Next returns a ledger with the same totals under the current key.
func (r *Renewed) Next() *Ledger { return &r.next }

// CheckHeads reads all heads, and returns Broken unless they are those that the totals bind.
func CheckHeads(ctx context.Context, repo Reader, keys *secret.Keyring) (Totals, error) {
	var all *Renewed
	var opened error
	totals, err := repo.Heads(ctx, func(t Totals, h Head) {
		if all == nil && opened == nil {
			var l *Ledger
			if l, opened = t.Open(keys); opened == nil {
				all = l.Recount()
			}
		}
		if all != nil {
			all.Add(h)
		}
	})
	switch {
	case err != nil:
		return totals, err
	case opened != nil:
		return totals, opened
	case all == nil: // there is no head
		l, err := totals.Open(keys)
		if err != nil {
			return totals, err
		}
		all = l.Recount()
	}
	return totals, all.Err()
}
