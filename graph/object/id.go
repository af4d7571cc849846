package object

import (
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"latchkey/graph/scalar"
	"latchkey/internal/account"
	"latchkey/internal/fault"
)

const idPrefix = "bc/account/"

func id(kind scalar.Kind, key uuid.UUID) scalar.NodeID { return scalar.NodeID{Kind: kind, Key: key} }

// ParseKey returns the key of an id of the kind. Besides the id it takes the
// bare key. It returns fault.Invalid for what cannot be one.
func ParseKey(kind scalar.Kind, text string) (uuid.UUID, error) {
	bare := strings.TrimPrefix(text, idPrefix+string(kind)+"/")
	key, err := uuid.Parse(bare)
	if err != nil || len(bare) != 36 {
		return uuid.UUID{}, fault.Errorf(fault.Invalid, "%.64q is no id of this kind: %s%s/….", text, idPrefix, kind)
	}
	return key, nil
}

// ParseKeys is ParseKey for a list. It returns every fault, each with the
// field and the index.
func ParseKeys(kind scalar.Kind, field string, texts []string) ([]uuid.UUID, error) {
	keys := make([]uuid.UUID, len(texts))
	var faults fault.List
	for i, text := range texts {
		key, err := ParseKey(kind, text)
		if err != nil {
			faults = append(faults, fault.Flatten(err)[0].On(field+"."+strconv.Itoa(i)))
		}
		keys[i] = key
	}
	return keys, faults.Err()
}

// ParseStore reads the name of a store in any form seen in the wild: the
// store's id, the id made of its hash, or either without the prefix.
func ParseStore(text string) account.StoreRef {
	bare := strings.TrimPrefix(text, idPrefix+string(scalar.Store)+"/")
	if key, err := uuid.Parse(bare); err == nil && len(bare) == 36 {
		return account.StoreRef{ID: key}
	}
	return account.StoreRef{Hash: bare}
}

// ParseStores is ParseStore for a list.
func ParseStores(texts []string) []account.StoreRef {
	if texts == nil {
		return nil
	}
	refs := make([]account.StoreRef, 0, len(texts))
	for _, text := range texts {
		if ref := ParseStore(text); !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// TokenIDs are the ids of API tokens, in their order and each once.
func TokenIDs(keys []uuid.UUID) []string {
	ids := make([]string, 0, len(keys))
	for i, key := range keys {
		if !slices.Contains(keys[:i], key) {
			ids = append(ids, id(scalar.APIToken, key).String())
		}
	}
	return ids
}

// ParseActor returns the key of the id of a user or an API token: whoever can
// have done something.
func ParseActor(text string) (uuid.UUID, error) {
	kind, _, err := scalar.SplitID(text)
	if err == nil && kind == scalar.APIToken {
		return ParseKey(scalar.APIToken, text)
	}
	return ParseKey(scalar.User, text)
}
