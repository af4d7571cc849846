package audit

import (
	"slices"
	"strings"
)

// Type is the type of an event as webhooks and account.events show it.
type Type string

// types are the types of events, grouped by what they are about. Every one is also an action.
var types = []Type{
	"api_token.created", "api_token.updated", "api_token.rotated", "api_token.revoked", "api_token.expiring",
	"api_token.expired", "api_token.leaked",
	"user.added", "user.updated", "user.deactivated", "user.reactivated", "user.removed",
	"store_user.added", "store_user.updated", "store_user.removed",
	"account.updated", "account.restored",
	"store.added", "store.updated", "store.suspended",
	"webhook.created", "webhook.updated", "webhook.deleted", "webhook.failing", "webhook.disabled",
	WebhookTestType,
	"checkout.created", "checkout.approved", "checkout.declined",
	"subscription.created", "subscription.updated", "subscription.cancelled", "subscription.ended",
	"subscription.suspended", "subscription.resumed",
	"charge.created", "charge.deleted", "charge.invoiced",
	"invoice.issued",
}

// WebhookTestType is the type of test events, which only the webhook that is tested receives.
const WebhookTestType Type = "webhook.test"

// renamed are the actions whose type has another name. UserCreated has no type: a user who is created in an account is
// also added to it, which is the event UserAdded of the same transaction.
var renamed = map[Action]Type{UserAccepted: "user.updated", StoreCreated: "store.added"}

// Types returns the types of events, grouped by what they are about.
func Types() []Type { return slices.Clone(types) }

// Type returns the type of the action's events. It is empty for actions that only the audit log shows.
func (a Action) Type() Type {
	if t, is := renamed[a]; is {
		return t
	}
	if t := Type(a); slices.Contains(types, t) {
		return t
	}
	return ""
}

// ActionsOf returns the actions whose events have the type.
func ActionsOf(t Type) []Action {
	if !slices.Contains(types, t) {
		return nil
	}
	all := []Action{Action(t)}
	for a, other := range renamed {
		if other == t {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return all
}

// AllTypes is the pattern that matches every type.
const AllTypes = "*"

// Patterns returns what a webhook's types contain if they select events of the type: the type itself, the pattern of
// its resource, such as "api_token.*", and AllTypes.
func (t Type) Patterns() []string {
	thing, _, _ := strings.Cut(string(t), ".")
	return []string{string(t), thing + ".*", AllTypes}
}

// TypesOf returns the types that a webhook's types select: exact types, and patterns such as "api_token.*" and "*".
func TypesOf(patterns []string) []Type {
	return slices.DeleteFunc(Types(), func(t Type) bool {
		return !slices.ContainsFunc(t.Patterns(), func(p string) bool { return slices.Contains(patterns, p) })
	})
}
