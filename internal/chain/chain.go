// Package chain makes changes of the audit log evident. Each account's events form a hash chain: the hash of an event
// covers its content and the hash before it. The last hash of each chain, its head, is signed with the server's key,
// and the heads of all accounts are bound together by signed totals (totals.go). So an attacker with the database's
// password, but without the key, cannot change, remove or reorder sealed events unless Verify finds it (docs/audit.md).
//
// Events are sealed after they are committed, by Sealer, so that no write waits for the chain of its account.
package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/secret"
)

// Hash is the hash of an event in its chain.
type Hash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Record is an event with its place in the event log.
type Record struct {
	audit.Event

	Era      int64
	Position uint64
	// Place counts the sealed events of all accounts.
	Place int64
}

// form begins the text that is hashed. A later form needs another one.
const form = "latchkey audit chain 2\n"

// hash returns the hash of the record as the event with the number in its account's chain, after the previous hash.
// Every field is preceded by its length, so that no two records have the same text.
func (r Record) hash(previous Hash, number int64) Hash {
	text := append([]byte(form), previous[:]...)
	add := func(field string) {
		text = binary.BigEndian.AppendUint64(text, uint64(len(field)))
		text = append(text, field...)
	}
	add(strconv.FormatInt(number, 10))
	add(r.AccountID.String())
	add(r.ID.String())
	add(strconv.FormatInt(r.At.UnixMicro(), 10))
	add(string(r.Actor.Kind))
	add(r.Actor.ID.String())
	add(r.Actor.Name)
	add(string(r.Action))
	add(string(r.Target.Kind))
	add(r.Target.Key)
	add(r.Target.Name)
	add(r.IP)
	add(r.RequestID)
	add(strconv.Itoa(len(r.Details)))
	for _, d := range r.Details {
		add(d.Name)
		add(d.Value)
	}
	add(strconv.Itoa(r.Version))
	add(strconv.FormatInt(r.Sequence, 10))
	add(string(r.Data))
	add(strconv.FormatInt(r.Era, 10))
	add(strconv.FormatUint(r.Position, 10))
	add(strconv.FormatInt(r.Place, 10))
	return sha256.Sum256(text)
}

// Link is an event in the chain of its account. Numbers count from 1 on.
type Link struct {
	Number  int64
	EventID uuid.UUID
	Hash    Hash
}

// Head is the end of an account's chain.
type Head struct {
	AccountID uuid.UUID
	Number    int64
	Hash      Hash
	// SealedAt is when the last event was sealed.
	SealedAt time.Time
	// SignedNumber is the number of the last checkpoint, and SignedAt its time. They are zero if there is none.
	SignedNumber int64
	SignedAt     time.Time
	// Mark signs the other fields.
	Mark secret.KeyedDigest
}

// Append appends an event to the chain. Sign must sign the head afterwards.
func (h *Head) Append(r Record) Link {
	h.Number++
	h.Hash = r.hash(h.Hash, h.Number)
	return Link{h.Number, r.ID, h.Hash}
}

// The uses of signatures.
const (
	useHead       = "audit head"
	useCheckpoint = "audit checkpoint"
	useTotals     = "audit totals"
	useSum        = "audit head sum"
	useHiding     = "audit head sum hidden"
	usePosition   = "audit stream"
)

func (h Head) text() string {
	return fmt.Sprintf("%s %d %s %d %d %d", h.AccountID, h.Number, h.Hash, h.SealedAt.UnixMicro(), h.SignedNumber,
		h.SignedAt.UnixMicro())
}

// Sign signs the head with the current key.
func (h *Head) Sign(keys *secret.Keyring) { h.Mark = keys.Sign(useHead, h.text()) }

// Signed reports whether the head was signed with a key of the keyring.
func (h Head) Signed(keys *secret.Keyring) bool { return keys.Signed(useHead, h.text(), h.Mark) }

// Checkpoint is a signed statement that the chain of an account had a hash at a number.
type Checkpoint struct {
	AccountID uuid.UUID
	Number    int64
	Hash      Hash
	At        time.Time
	// Previous is the number of the account's checkpoint before this one; 0 if there was none.
	Previous int64
	// Pruned says that the events up to the number were removed because they were old. The chain begins after it.
	Pruned    bool
	Signature secret.KeyedDigest
}

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s %d %s %d %d %t", c.AccountID, c.Number, c.Hash, c.At.UnixMicro(), c.Previous, c.Pruned)
}

// Sign signs the checkpoint with the current key.
func (c *Checkpoint) Sign(keys *secret.Keyring) { c.Signature = keys.Sign(useCheckpoint, c.text()) }

// Signed reports whether the checkpoint was signed with a key of the keyring.
func (c Checkpoint) Signed(keys *secret.Keyring) bool {
	return keys.Signed(useCheckpoint, c.text(), c.Signature)
}

// Position is how far a stream of sealed events is.
type Position struct {
	// Epoch is that of the totals.
	Epoch  uuid.UUID
	Target string
	// Place is of the last event that arrived.
	Place int64
	Mark  secret.KeyedDigest
}

func (p Position) text() string { return fmt.Sprintf("%s %d %s", p.Epoch, p.Place, p.Target) }

// Sign signs the position with the current key.
func (p *Position) Sign(keys *secret.Keyring) { p.Mark = keys.Sign(usePosition, p.text()) }

// Signed reports whether the position was signed with a key of the keyring.
func (p Position) Signed(keys *secret.Keyring) bool {
	return keys.Signed(usePosition, p.text(), p.Mark)
}
