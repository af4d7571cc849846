package graph

import (
	"log/slog"
	"time"

	"latchkey/graph/object"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/billing"
	"latchkey/internal/eventsource"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
	"latchkey/internal/token"
	"latchkey/internal/user"
	"latchkey/internal/webhook"
)

// Resolver resolves the fields of the schema that are not plain fields. It holds
// only the services that they call.
type Resolver struct {
	accounts    *account.Service
	users       *user.Service
	tokens      *token.Service
	memberships *membership.Service
	audit       audit.Reader
	sources     *eventsource.Service
	webhooks    *webhook.Service
	events      *webhook.Events
	billing     *billing.Service
	runner      *billing.Runner
	replicas    Replicas
	log         *slog.Logger
	catalogue   *scope.Catalogue
	publicURL   string
	rules       *Rules
}

func newResolver(c Config, rules *Rules) *Resolver {
	return &Resolver{
		accounts: c.Accounts, users: c.Users, tokens: c.Tokens, memberships: c.Memberships, audit: c.Audit,
		sources:  c.EventSources,
		webhooks: c.Webhooks, events: c.Events, billing: c.Billing, runner: c.Runner,
		replicas: c.Replicas, log: c.Log,
		catalogue: c.Catalogue, publicURL: c.PublicURL, rules: rules,
	}
}

// view returns the view of API tokens at the current time.
func (r *Resolver) view() object.View {
	return object.View{PublicURL: r.publicURL, Now: r.tokens.Now()}
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func isTrue(b *bool) bool { return b != nil && *b }

// optionalTime returns nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// onField sets the input field of the errors of a lookup that have none.
func onField(err error, field string) error {
	if err == nil || fault.KindOf(err) == fault.Internal {
		return err
	}
	var list fault.List
	for _, e := range fault.Flatten(err) {
		if e.Field == "" {
			e = e.On(field)
		}
		list = append(list, e)
	}
	return list.Err()
}

func faultsOn(err error, field string) fault.List {
	if err == nil {
		return nil
	}
	return fault.List{fault.Flatten(err)[0].On(field)}
}

func inInput(err error) error { return fault.Under(err, "input") }

// renamed returns err with the field renamed, for an input that has its own
// name for it.
func renamed(err error, from, to string) error {
	for _, f := range fault.Flatten(err) {
		if f.Field == from {
			return f.On(to)
		}
	}
	return err
}
