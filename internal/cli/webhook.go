package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/paging"
	"latchkey/internal/webhook"
)

// webhookCommands are the commands for webhooks.
type webhookCommands struct{ *program }

func (p webhookCommands) group() *cobra.Command {
	return group("webhook", "Webhooks of an account", p.create(), p.list(), p.delete(), p.test(), p.replay())
}

// webhookCommand is the common part of the commands that act on the webhooks of
// one account.
type webhookCommand struct {
	*program
	in        inputs
	accountID string
}

func newWebhookCommand(p *program, c *cobra.Command) *webhookCommand {
	w := &webhookCommand{program: p}
	c.Flags().StringVar(&w.accountID, "account", "", "the account's UUID")
	must(c.MarkFlagRequired("account"))
	offer(c, config.Storage)
	return w
}

// act opens the backend and calls work for the account. It reports errors of
// the flags first.
func (w *webhookCommand) act(c *cobra.Command, work func(*backend, *auth.Principal) error) error {
	by := operator(w.in.id("--account", w.accountID))
	if err := w.in.faults.Err(); err != nil {
		return err
	}
	return w.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
		if err := b.requireAccount(c.Context(), by.AccountID); err != nil {
			return err
		}
		return work(b, by)
	})
}

const (
	webhookPrefix = account.IDPrefix + "webhook/"
	eventPrefix   = account.IDPrefix + "event/"
)

func (p webhookCommands) create() *cobra.Command {
	var req webhook.Request
	c := &cobra.Command{
		Use: "create --account UUID --url URL --type TYPE", Short: "Create a webhook and print its signing secret",
		Args: cobra.NoArgs,
		Example: "  SECRET=$(latchkey webhook create --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --url https://hooks.example.com/latchkey " +
			"--type 'api_token.*')",
	}
	w := newWebhookCommand(p.program, c)
	offer(c, config.Receivers)
	c.Flags().StringVar(&req.URL, "url", "", "the receiver's URL")
	listFlag(c, &req.Types, "type",
		"a type of events, such as api_token.revoked, api_token.* or *; repeatable, or several separated by commas")
	c.Flags().StringVar(&req.Description, "description", "", "a description, 255 characters at most")
	must(c.MarkFlagRequired("url"))
	must(c.MarkFlagRequired("type"))
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return w.act(c, func(b *backend, by *auth.Principal) error { return w.create(c.Context(), b, by, req) })
	})
	return c
}

func (w *webhookCommand) create(ctx context.Context, b *backend, by *auth.Principal, req webhook.Request) error {
	created, err := b.webhooks.Create(ctx, by, req)
	if err != nil {
		return err
	}
	id := created.Webhook.ID
	view := webhookViewOf(created.Webhook, b.webhooks.Now())
	view.Secret = created.Secret.Reveal()
	err = w.reveal(view, view.Secret+"\n", func() {
		w.say("created webhook %s; its signing secret cannot be shown again", view.ID)
	})
	if err == nil {
		return nil
	}
	// The secret was not shown, so no receiver could verify what is sent.
	if failed := b.webhooks.Delete(context.WithoutCancel(ctx), by, id); failed != nil {
		return fmt.Errorf("%w; the signing secret is lost, and webhook %s could not be deleted; delete it: %s", err,
			view.ID, failed.Error())
	}
	return fmt.Errorf("%w; the signing secret is lost and the webhook was deleted: create another", err)
}

// webhookView is a webhook as JSON, named as in the API.
type webhookView struct {
	ID           string     `json:"id"`
	URL          string     `json:"url"`
	Description  string     `json:"description"`
	EventTypes   []string   `json:"eventTypes"`
	State        string     `json:"state"`
	StateReason  string     `json:"stateReason,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"`
	CreatedAt    time.Time  `json:"createdAt"`
	CreatedBy    string     `json:"createdBy"`
	SecretHints  []string   `json:"secretHints"`
	// Secret is the signing secret. Only webhook create sets it.
	Secret string `json:"secret,omitempty"`
}

func webhookViewOf(w webhook.Webhook, now time.Time) webhookView {
	return webhookView{ID: webhookPrefix + w.ID.String(), URL: w.URL, Description: w.Description, EventTypes: w.Types,
		State: string(w.State), StateReason: w.StateReason, FailingSince: timeOrNil(w.FailingSince),
		CreatedAt: w.CreatedAt, CreatedBy: w.CreatedBy.Name, SecretHints: w.SecretHints(now)}
}

func (v webhookView) row() []string {
	state := v.State
	if v.FailingSince != nil && v.State == string(webhook.Enabled) {
		state = "FAILING"
	}
	return []string{v.ID, v.URL, state, dayOf(v.FailingSince), dayOf(&v.CreatedAt), strings.Join(v.EventTypes, " ")}
}

func (p webhookCommands) list() *cobra.Command {
	c := &cobra.Command{Use: "list --account UUID", Short: "List the webhooks of an account, newest first",
		Args: cobra.NoArgs}
	w := newWebhookCommand(p.program, c)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return w.act(c, func(b *backend, by *auth.Principal) error {
			webhooks, err := every(func(window paging.Window) (paging.Page[webhook.Webhook], error) {
				return b.webhooks.Webhooks(c.Context(), by, paging.Request{First: &window.Size, After: cursor(window)})
			})
			if err != nil {
				return err
			}
			views := []webhookView{}
			for _, one := range webhooks {
				views = append(views, webhookViewOf(one, b.webhooks.Now()))
			}
			return w.printed(map[string][]webhookView{"webhooks": views},
				table("ID\tURL\tSTATE\tFAILING SINCE\tCREATED\tTYPES", views), func() {})
		})
	})
	return c
}

func (p webhookCommands) delete() *cobra.Command {
	c := &cobra.Command{Use: "delete ID --account UUID",
		Short: "Delete a webhook with its deliveries; nothing is sent to it any more", Args: takes("ID", 1, 1)}
	w := newWebhookCommand(p.program, c)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id := w.in.apiID("ID", webhookPrefix, args[0])
		return w.act(c, func(b *backend, by *auth.Principal) error {
			if err := b.webhooks.Delete(c.Context(), by, id); err != nil {
				return err
			}
			return w.printed(map[string]string{"deletedId": webhookPrefix + id.String()}, "",
				func() { w.say("deleted webhook %s%s", webhookPrefix, id) })
		})
	})
	return c
}

func (p webhookCommands) test() *cobra.Command {
	c := &cobra.Command{Use: "test ID --account UUID",
		Short: "Send the event webhook.test to a webhook, through a running server", Args: takes("ID", 1, 1)}
	w := newWebhookCommand(p.program, c)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		id := w.in.apiID("ID", webhookPrefix, args[0])
		return w.act(c, func(b *backend, by *auth.Principal) error {
			e, err := b.webhooks.SendTest(c.Context(), by, id)
			if err != nil {
				return err
			}
			return w.printed(map[string]string{"eventId": eventPrefix + e.ID.String()}, "",
				func() { w.say("scheduled event %s%s; a running server sends it", eventPrefix, e.ID) })
		})
	})
	return c
}

func (p webhookCommands) replay() *cobra.Command {
	var events, states []string
	var since, until string
	c := &cobra.Command{Use: "replay ID --account UUID (--event ID | --since TIME)",
		Short: "Send events to a webhook again, through a running server", Args: takes("ID", 1, 1),
		Example: "  latchkey webhook replay bc/account/webhook/… --account … --since 2027-01-31T00:00:00Z --state dead"}
	w := newWebhookCommand(p.program, c)
	listFlag(c, &events, "event", "the ID of an event; repeatable, or several separated by commas")
	c.Flags().StringVar(&since, "since", "", "send the events from this time on, such as 2027-01-31T00:00:00Z")
	c.Flags().StringVar(&until, "until", "", "only events before this time (default: now)")
	listFlag(c, &states, "state",
		"only events whose delivery is pending, delivered or dead; several separated by commas (default: all, and events without a delivery)")
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		r := w.replayRequest(c, args[0], events, states)
		return w.act(c, func(b *backend, by *auth.Principal) error {
			n, err := b.webhooks.Replay(c.Context(), by, r)
			if err != nil {
				return err
			}
			hook, err := b.webhooks.Webhook(c.Context(), by, r.WebhookID)
			return w.printed(map[string]int{"scheduled": n}, "",
				func() { w.say("%s", scheduled(n, err == nil && hook.State == webhook.Paused)) })
		})
	})
	return c
}

// scheduled returns what webhook replay says about n deliveries.
func scheduled(n int, paused bool) string {
	what, sent := "deliveries", "a running server sends them"
	if paused {
		sent = "they wait until the webhook is enabled"
	}
	switch n {
	case 0:
		return "scheduled 0 deliveries"
	case 1:
		what = "delivery"
		sent = strings.NewReplacer("sends them", "sends it", "they wait", "it waits").Replace(sent)
	}
	return fmt.Sprintf("scheduled %d %s; %s", n, what, sent)
}

// replayRequest parses the flags of webhook replay.
func (w *webhookCommand) replayRequest(c *cobra.Command, id string, events, states []string) webhook.ReplayRequest {
	r := webhook.ReplayRequest{WebhookID: w.in.apiID("ID", webhookPrefix, id)}
	for _, text := range events {
		r.EventIDs = append(r.EventIDs, w.in.apiID("--event", eventPrefix, text))
	}
	at := func(flag string) time.Time {
		if !c.Flags().Changed(flag) {
			return time.Time{}
		}
		return w.in.time("--"+flag, c.Flags().Lookup(flag).Value.String())
	}
	r.Since, r.Until = at("since"), at("until")
	for _, text := range states {
		switch state := webhook.DeliveryState(strings.ToUpper(text)); state {
		case webhook.Pending, webhook.Delivered, webhook.Dead:
			r.States = append(r.States, state)
		default:
			w.in.wrong("--state", fmt.Sprintf("must be pending, delivered or dead, and not %.40q.", text))
		}
	}
	return r
}
