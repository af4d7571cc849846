package paging

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/google/uuid"

	"latchkey/internal/fault"
)

// Position is the position of an event in the event log of its account. The order is that of the fields.
type Position struct {
	// Era is the number of the database cluster, from 1 on: it increases with each restore into another one.
	Era int64
	// Commit orders commits within an era.
	Commit uint64
	// Sequence is the number of the event among those of its subject.
	Sequence int64
	ID       uuid.UUID
}

// positionSize is the size of an encoded position in bytes. It differs from that of a UUID, so that a list refuses the
// cursors of the other kind.
const positionSize = 8 + 8 + 8 + len(uuid.UUID{})

func (p Position) cursor() string {
	raw := make([]byte, 0, positionSize)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.Era))
	raw = binary.BigEndian.AppendUint64(raw, p.Commit)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.Sequence))
	return base64.RawURLEncoding.EncodeToString(append(raw, p.ID[:]...))
}

func parsePosition(cursor string) (Position, *fault.Error) {
	raw, ok := decode(cursor, positionSize)
	if !ok {
		return Position{}, errNoCursor()
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(raw[8*i:]) }
	era, commit, sequence := number(0), number(1), number(2)
	for _, n := range []uint64{era, commit, sequence} {
		if n == 0 || n > math.MaxInt64 {
			return Position{}, errNoCursor()
		}
	}
	return Position{int64(era), commit, int64(sequence), uuid.UUID(raw[positionSize-len(uuid.UUID{}):])}, nil
}

// Before reports whether the position comes before q.
func (p Position) Before(q Position) bool {
	return cmp.Or(cmp.Compare(p.Era, q.Era), cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Sequence, q.Sequence),
		bytes.Compare(p.ID[:], q.ID[:])) < 0
}

// ErrRemoved is the error of a cursor after which events were removed because they were old.
func ErrRemoved() *fault.Error {
	return fault.Errorf(fault.Invalid,
		"Events after this cursor were removed because they were too old. Begin without a cursor.").On("after")
}
