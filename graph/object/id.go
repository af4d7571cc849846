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

func id(kind scalar.Kind, key uuid.UUID) scalar.NodeID { return scalar.NodeID{Kind: kind, Key: key} }

// lists are the fields that list the objects of a kind, where clients find their
// IDs.
var lists = map[scalar.Kind]string{
	scalar.APIToken: "Account.apiTokens", scalar.User: "Account.users", scalar.Webhook: "Account.webhooks",
	scalar.Event: "Account.events", scalar.EventSource: "App.eventSources", scalar.Delivery: "Webhook.deliveries",
	scalar.Subscription: "Account.subscriptions", scalar.Charge: "Account.charges", scalar.Invoice: "Account.invoices",
	scalar.Store: "Account.stores",
}

// ParseKey returns the key of an ID of the kind. It also accepts the key without
// the ID's prefix. It returns fault.Invalid for any other text.
func ParseKey(kind scalar.Kind, text string) (uuid.UUID, error) {
	bare := strings.TrimPrefix(text, account.IDPrefix+string(kind)+"/")
	key, err := uuid.Parse(bare)
	if err != nil || len(bare) != 36 {
		hint := ""
		if list := lists[kind]; list != "" {
			hint = " Take it from the field id in " + list + "."
		}
		return uuid.UUID{}, fault.Errorf(fault.Invalid, "%.64q is not an ID of this kind: %s%s/….%s", text,
			account.IDPrefix, kind, hint)
	}
	return key, nil
}

// ParseKeys is ParseKey for a list. It returns all errors, each on the field and
// its index.
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

// ParseStore parses a reference to a store: the store's ID, the ID form of its
// hash, or either without the prefix.
func ParseStore(text string) account.StoreRef {
	bare := strings.TrimPrefix(text, account.IDPrefix+string(scalar.Store)+"/")
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

// ParseScope parses a reference to the store that is the scope of a subscription: the ID of a scope, or what ParseStore
// parses.
func ParseScope(text string) account.StoreRef {
	return ParseStore(strings.TrimPrefix(text, account.IDPrefix+string(scalar.Scope)+"/"))
}

// ParseProduct returns the app of the ID of a product or an app, or of its number. It returns fault.Invalid for any
// other text.
func ParseProduct(text string) (int64, error) {
	app, err := scalar.UnmarshalAppID(strings.TrimPrefix(text, account.IDPrefix+string(scalar.Product)+"/"))
	return int64(app), err
}

// TokenIDs returns the IDs of API tokens in the order of the keys, without
// duplicates.
func TokenIDs(keys []uuid.UUID) []string {
	ids := make([]string, 0, len(keys))
	for i, key := range keys {
		if !slices.Contains(keys[:i], key) {
			ids = append(ids, id(scalar.APIToken, key).String())
		}
	}
	return ids
}

// ParseActor returns the key of the ID of an actor: a user or an API token.
func ParseActor(text string) (uuid.UUID, error) {
	kind, _, err := scalar.SplitID(text)
	if err == nil && kind == scalar.APIToken {
		return ParseKey(scalar.APIToken, text)
	}
	return ParseKey(scalar.User, text)
}
