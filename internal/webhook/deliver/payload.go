package deliver

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
)

// MaxBody is the maximum size of a request's body in bytes. An event with more data is sent without it.
const MaxBody = 20_000

// EventID returns the ID of an event as the API writes it. It is the webhook-id of requests and the id in their body.
func EventID(e audit.Event) string { return apiID("event", e.ID.String()) }

func apiID(kind, key string) string { return account.IDPrefix + kind + "/" + key }

// Body returns the body of requests for an event: a JSON object with the fields in this order. Every attempt for every
// webhook has the same bytes.
func Body(e audit.Event) ([]byte, error) {
	data := []byte(e.Data)
	if len(data) == 0 {
		data = []byte("{}")
	}
	if len(data) <= MaxBody {
		text, err := bodyWith(e, data, "}")
		if err != nil || len(text) <= MaxBody {
			return text, err
		}
	}
	id, err := quote(apiID(string(e.Target.Kind), e.Target.Key))
	if err != nil {
		return nil, err
	}
	return bodyWith(e, append(append([]byte(`{"id":`), id...), '}'), `,"truncated":true}`)
}

// room is more than the size of a body without its data and the actor's name.
const room = 512

// bodyWith returns the body with this data and end. Nothing but the actor's name and the data can need an escape. The
// data is written without the spaces between its tokens.
func bodyWith(e audit.Event, data []byte, end string) ([]byte, error) {
	actor, err := actorOf(e.Actor)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.Grow(room + len(actor) + len(data))
	for _, part := range []string{
		`{"id":"`, EventID(e), `","type":"`, string(e.Action.Type()), `","version":`, strconv.Itoa(e.Version),
		`,"timestamp":"`, e.At.UTC().Format(time.RFC3339Nano), `","accountId":"`,
		apiID("account", e.AccountID.String()), `","sequence":`, strconv.FormatInt(e.Sequence, 10), `,"actor":`, actor,
		`,"data":`,
	} {
		text.WriteString(part)
	}
	if err := json.Compact(&text, data); err != nil {
		return nil, err
	}
	text.WriteString(end)
	return text.Bytes(), nil
}

func actorOf(a audit.Actor) (string, error) {
	id := "null"
	if a.ID != uuid.Nil {
		kind := audit.TargetUser
		if a.Kind == audit.ActorAPIToken {
			kind = audit.TargetAPIToken
		}
		id = `"` + apiID(string(kind), a.ID.String()) + `"`
	}
	name, err := quote(a.Name)
	return `{"kind":"` + string(a.Kind) + `","id":` + id + `,"name":` + name + `}`, err
}

// quote returns the JSON of a text without the escapes for HTML that json.Marshal writes.
func quote(s string) (string, error) {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return `"` + s + `"`, nil
	}
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(text.String(), "\n"), err
}
