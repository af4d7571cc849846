package scalar

import (
	"encoding/hex"
	"io"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/fault"
)

// Kind is the kind of object that an ID refers to, as written in the ID.
type Kind string

// The kinds of IDs.
const (
	Account      Kind = "account"
	User         Kind = "user"
	Store        Kind = "store"
	App          Kind = "app"
	APIToken     Kind = "apiToken"
	AccessToken  Kind = "accessToken"
	AuditEvent   Kind = "auditEvent"
	Checkout     Kind = "checkout"
	Subscription Kind = "subscription"
	Product      Kind = "product"
	Scope        Kind = "scope"
	Session      Kind = "session"
	EventSource  Kind = "eventSource"
	StoreUser    Kind = "storeUser"
	Webhook      Kind = "webhook"
	Event        Kind = "event"
	Delivery     Kind = "delivery"
	Charge       Kind = "charge"
	Invoice      Kind = "invoice"
)

// NodeID is the ID of an object with a UUID, as the scalar ID:
// "bc/account/user/{uuid}". The zero NodeID is null.
type NodeID struct {
	Kind Kind
	Key  uuid.UUID
}

// AppID is the ID of an app, which has a number, as the scalar ID:
// "bc/account/app/4711".
type AppID int64

// MarshalNodeID writes an id.
func MarshalNodeID(id NodeID) graphql.Marshaler {
	if id == (NodeID{}) {
		return graphql.Null
	}
	return written(func(b []byte) ([]byte, bool) { return AppendNodeID(b, id) })
}

// AppendNodeID appends what MarshalNodeID writes.
func AppendNodeID(b []byte, id NodeID) ([]byte, bool) {
	if id == (NodeID{}) {
		return b, false
	}
	b = append(b, '"')
	b = id.append(b)
	return append(b, '"'), true
}

// String returns the ID as the API writes it.
func (id NodeID) String() string { return string(id.append(nil)) }

func (id NodeID) append(b []byte) []byte {
	b = append(b, account.IDPrefix...)
	b = append(b, id.Kind...)
	b = append(b, '/')
	b = hex.AppendEncode(b, id.Key[:4])
	for i := 4; i < 10; i += 2 {
		b = append(b, '-')
		b = hex.AppendEncode(b, id.Key[i:i+2])
	}
	b = append(b, '-')
	return hex.AppendEncode(b, id.Key[10:])
}

// UnmarshalNodeID reads an ID of any kind with a UUID. It returns fault.Invalid
// for any other value.
func UnmarshalNodeID(v any) (NodeID, error) {
	text, _ := v.(string)
	kind, key, err := SplitID(text)
	if err != nil {
		return NodeID{}, err
	}
	id, parseErr := uuid.Parse(key)
	if parseErr != nil || len(key) != len(uuid.Nil.String()) {
		return NodeID{}, errID()
	}
	return NodeID{kind, id}, nil
}

// SplitID splits an ID into its kind and its key, in which UUIDs are in lower case,
// as they are stored. The form of the key is not checked otherwise. SplitID returns
// fault.Invalid for a text that is not an ID.
func SplitID(text string) (Kind, string, error) {
	rest, isOurs := strings.CutPrefix(text, account.IDPrefix)
	kind, key, ok := strings.Cut(rest, "/")
	if !isOurs || !ok || key == "" {
		return "", "", errID()
	}
	switch k := Kind(kind); k {
	case Account, User, Store, App, APIToken, AccessToken, AuditEvent, Checkout, Subscription, Product, Scope, Session,
		StoreUser, EventSource, Webhook, Event, Delivery, Charge, Invoice:
		return k, lowerUUIDs(key), nil
	default:
		return "", "", errID()
	}
}

// lowerUUIDs returns a key with its UUIDs in lower case. Keys of several UUIDs have
// colons between them. Other keys, such as hashes of stores, are left unchanged.
func lowerUUIDs(key string) string {
	parts := strings.Split(key, ":")
	for i, part := range parts {
		if id, err := uuid.Parse(part); err == nil && len(part) == len(uuid.Nil.String()) {
			parts[i] = id.String()
		}
	}
	return strings.Join(parts, ":")
}

func errID() error {
	return fault.Errorf(fault.Invalid,
		"This is not an ID such as bc/account/user/0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01. Pass an ID exactly as this API returned it.")
}

// MarshalAppID writes the id of an app.
func MarshalAppID(id AppID) graphql.Marshaler {
	return written(func(b []byte) ([]byte, bool) { return AppendAppID(b, id) })
}

// AppendAppID appends what MarshalAppID writes.
func AppendAppID(b []byte, id AppID) ([]byte, bool) {
	b = append(b, '"')
	b = append(b, account.IDPrefix...)
	b = append(b, App...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(id), 10)
	return append(b, '"'), true
}

// UnmarshalAppID reads the ID of an app, or its number. It returns fault.Invalid
// for any other value.
func UnmarshalAppID(v any) (AppID, error) {
	text, _ := v.(string)
	text = strings.TrimPrefix(text, account.IDPrefix+string(App)+"/")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, errID()
	}
	return AppID(n), nil
}

// written returns a Marshaler that writes the output of an Append function.
func written(appendTo func([]byte) ([]byte, bool)) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b, _ := appendTo(nil)
		_, _ = w.Write(b) // a Marshaler cannot return an error
	})
}
