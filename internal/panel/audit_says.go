package panel

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/manifest/setup"
)

// topic groups the actions on related kinds of things. Its key is a part of message keys and a value of the filter.
type topic struct {
	Key, Icon string
	// things are the kinds of things (audit.Action.Thing).
	things []string
}

// topics has each kind of thing once.
var topics = []topic{
	{"tokens", "key", []string{"api_token", "access_token", "legacy_account"}},
	{"users", "users", []string{"user", "store_user", "ownership"}},
	{"security", "lock", []string{"sign_in", "session", "password", "totp", "recovery_codes", "recovery_code",
		"passkey", "identity"}},
	{"stores", "store", []string{"account", "store"}},
	{"apps", "code", []string{"app"}},
	{"webhooks", "webhook", []string{"webhook"}},
	{"billing", "invoice", []string{"checkout", "subscription", "charge", "invoice"}},
}

// topicOf returns the topic of an action. An action of a newer version of the program has only an icon.
func topicOf(a audit.Action) topic {
	i := slices.IndexFunc(topics, func(t topic) bool { return slices.Contains(t.things, a.Thing()) })
	if i < 0 {
		return topic{Icon: "log"}
	}
	return topics[i]
}

// Actions returns the topic's actions.
func (t topic) Actions() []audit.Action {
	return slices.DeleteFunc(audit.Actions(),
		func(a audit.Action) bool { return !slices.Contains(t.things, a.Thing()) })
}

// piece is a part of a sentence. Name reports whether it is a name.
type piece struct {
	Text string
	Name bool
}

// sentence describes an event.
func sentence(q *request, e audit.Event, there targets) []piece {
	names := map[string]string{}
	for _, d := range e.Details {
		names[d.Name] = d.Value
	}
	names["actor"], names["target"] = actorText(q, e.Actor, there), targetText(e.Target.Object(), there)
	names["store"] = storeName(e, there)
	return compose(saying(q, e), names, q.text("audit.unnamed"))
}

// saying returns the message of an event's action: the one under "self" if the target is the actor, otherwise the one
// under "other", if there are two. An action of a newer version of the program has no message.
func saying(q *request, e audit.Event) string {
	key, messages := "audit.says."+string(e.Action), loadViews().messages
	if text, err := messages.text(key + ".self"); err == nil && isOwn(e) {
		return text
	}
	for _, each := range []string{key + ".other", key} {
		if text, err := messages.text(each); err == nil {
			return text
		}
	}
	return q.text("audit.unknown", "action", e.Action)
}

// isOwn reports whether the actor is the target, or has the session that is the target.
func isOwn(e audit.Event) bool {
	of := e.Target.Object()
	switch {
	case e.Actor.Kind != audit.ActorUser:
		return false
	case of.Kind == audit.TargetSession:
		return of.Name == e.Actor.Name
	}
	return of.Kind == audit.TargetUser && of.Key == e.Actor.ID.String()
}

var (
	// optionalPart is a part of a sentence that is left out if a name in it is unknown.
	optionalPart = regexp.MustCompile(`\[([^\[\]]*)\]`)
	// namePart is a name, with the quotation marks around it.
	namePart = regexp.MustCompile(`“?\{(\w+)\}”?`)
)

// compose fills names into a message. A name that is unknown and not in brackets is replaced by unnamed. Names are
// text: braces and brackets in them have no meaning.
func compose(text string, names map[string]string, unnamed string) []piece {
	text = optionalPart.ReplaceAllStringFunc(text, func(part string) string {
		for _, match := range namePart.FindAllStringSubmatch(part, -1) {
			if names[match[1]] == "" {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	var pieces []piece
	end := 0
	for _, at := range namePart.FindAllStringSubmatchIndex(text, -1) {
		if at[0] > end {
			pieces = append(pieces, piece{Text: text[end:at[0]]})
		}
		whole, name := text[at[0]:at[1]], text[at[2]:at[3]]
		if names[name] == "" {
			pieces = append(pieces, piece{Text: unnamed})
		} else {
			pieces = append(pieces, piece{strings.Replace(whole, "{"+name+"}", names[name], 1), true})
		}
		end = at[1]
	}
	if end < len(text) {
		pieces = append(pieces, piece{Text: text[end:]})
	}
	return pieces
}

// actorText names an actor: a user who is still in the account by their current name.
func actorText(q *request, a audit.Actor, there targets) string {
	switch {
	case a.Kind == audit.ActorOperator && a.Name == setup.ActorName:
		return q.text("audit.first_start")
	case a.Kind == audit.ActorOperator && a.Name == audit.ServiceName:
		return q.text("audit.service")
	case a.Kind == audit.ActorOperator:
		return q.text("audit.operator")
	case a.Kind == audit.ActorAPIToken:
		return q.text("audit.token", "name", a.Name)
	}
	if found, known := there.users[a.ID]; known {
		return fullName(found)
	}
	return a.Name
}

// targetText names a target: a user who is still in the account, or whose session it is, by their current name, and
// anything else by the name that it had.
func targetText(t audit.Target, there targets) string {
	if t.Kind == audit.TargetSession {
		for _, u := range there.users {
			if u.Email == t.Name {
				return fullName(u)
			}
		}
	}
	if id, err := uuid.Parse(t.Key); err == nil && t.Kind == audit.TargetUser {
		if found, known := there.users[id]; known {
			return fullName(found)
		}
	}
	return t.Name
}

// storeHash returns the hash of the store that an event is about, or "" if it is about none, or about the store itself.
func storeHash(e audit.Event, there targets) string {
	if e.Target.Kind == audit.TargetStoreUser {
		_, hash, _ := strings.Cut(e.Target.Key, ":")
		return hash
	}
	for _, d := range e.Details {
		if d.Name == "storeHash" {
			return d.Value
		}
	}
	var data struct {
		Store struct {
			Hash string `json:"storeHash"`
		} `json:"store"`
	}
	if err := json.Unmarshal(e.Data, &data); err == nil && data.Store.Hash != "" {
		return data.Store.Hash
	}
	if id, err := uuid.Parse(e.Target.Key); err == nil {
		return there.tokens[id].StoreHash
	}
	return ""
}

// storeName names the store that an event is about. A store that the viewer cannot see is named by its hash.
func storeName(e audit.Event, there targets) string {
	hash := storeHash(e, there)
	if store, found := there.hashes[hash]; found {
		return store.Name
	}
	return hash
}
