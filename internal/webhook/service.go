package webhook

import (
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/clock"
	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

// Config has the dependencies of a Service.
type Config struct {
	Repository Repository
	Keys       *secret.Keyring
	// Random is a cryptographic source of randomness.
	Random io.Reader
	Now    clock.Clock
	// CheckURL returns fault.Invalid for a URL to which no requests may be sent.
	CheckURL func(ctx context.Context, text string) error
	// Max is the limit of webhooks of an account; 0 means DefaultMax.
	Max int
}

// Service manages the webhooks of the principal's account. Its principals are the account's owner, API tokens with the
// scopes account_webhooks_read and account_webhooks_write, and the operator; all others get fault.Forbidden.
type Service struct {
	repo     Repository
	keys     *secret.Keyring
	random   io.Reader
	now      clock.Clock
	checkURL func(ctx context.Context, text string) error
	most     int
}

// NewService returns a service.
func NewService(c Config) *Service {
	s := &Service{repo: c.Repository, keys: c.Keys, random: c.Random, now: c.Now, checkURL: c.CheckURL, most: c.Max}
	if s.most == 0 {
		s.most = DefaultMax
	}
	return s
}

// Now returns the service's current time in UTC, with the precision of the database.
func (s *Service) Now() time.Time { return s.now.Timestamp() }

// Created is a new webhook with its signing secret, which is not shown again.
type Created struct {
	Webhook Webhook
	Secret  secret.WebhookSecret
}

// Check checks a request without creating a webhook. It returns all rules that the request breaks.
func (s *Service) Check(ctx context.Context, by *auth.Principal, req Request) error {
	if err := MayChange(by); err != nil {
		return err
	}
	_, err := s.checkRequest(ctx, by, req)
	return err
}

// Create creates a webhook. It returns fault.Invalid for each rule that the request breaks, and fault.LimitReached if
// the account has as many webhooks as it may have.
func (s *Service) Create(ctx context.Context, by *auth.Principal, req Request) (Created, error) {
	if err := MayChange(by); err != nil {
		return Created{}, err
	}
	req, err := s.checkRequest(ctx, by, req)
	if err != nil {
		return Created{}, err
	}
	now := s.Now()
	w := Webhook{
		AccountID: by.AccountID, ID: uuid.Must(uuid.NewV7()), URL: req.URL, Description: req.Description,
		Types: req.Types, State: Enabled, CreatedAt: now, CreatedBy: audit.ActorOf(by.Subject()),
	}
	value, sealed, err := s.newSecret(w.ID)
	if err != nil {
		return Created{}, err
	}
	w.Secret = sealed
	event := newEvent(by, audit.WebhookCreated, w, now, createdDetails(w)...)
	if err := s.repo.Insert(ctx, by.Actor(), w, s.most, event); err != nil {
		return Created{}, err
	}
	return Created{w, value}, nil
}

func (s *Service) newSecret(id uuid.UUID) (secret.WebhookSecret, SigningSecret, error) {
	value, err := secret.GenerateWebhook(s.random)
	if err != nil {
		return secret.WebhookSecret{}, SigningSecret{}, err
	}
	sealed, err := seal(s.keys, s.random, id, value)
	return value, sealed, err
}

// Update describes a change to a webhook. Nil fields are left unchanged.
type Update struct {
	ID               uuid.UUID
	URL, Description *string
	Types            []string
	State            *State
}

// Update changes a webhook. Enabling it ends its failure, and disabling it makes its pending deliveries dead. An update
// that changes nothing succeeds. It returns fault.NotFound for a webhook that does not exist, and fault.Invalid for
// each rule that the update breaks. An API token can change the URL, and make events flow again, only if it may read
// all events that the webhook received until now.
func (s *Service) Update(ctx context.Context, by *auth.Principal, u Update) (Webhook, error) {
	if err := MayChange(by); err != nil {
		return Webhook{}, err
	}
	u, err := s.checkUpdate(ctx, by, u)
	if err != nil {
		return Webhook{}, err
	}
	var updated Webhook
	err = s.change(ctx, by, u.ID, func(w Webhook) (Webhook, []audit.Event, error) {
		if u.URL != nil && *u.URL != w.URL {
			if err := mayControl(by, w, "url"); err != nil {
				return Webhook{}, nil, err
			}
		}
		if u.resumes(w) {
			if err := mayControl(by, w, "state"); err != nil {
				return Webhook{}, nil, err
			}
		}
		updated = u.applied(by, w)
		return updated, changeEvents(by, w, updated, s.Now()), nil
	})
	if err != nil {
		return Webhook{}, err
	}
	return updated, nil
}

// checkUpdate returns the update in normal form, or an error for each rule that it breaks.
func (s *Service) checkUpdate(ctx context.Context, by *auth.Principal, u Update) (Update, error) {
	var faults fault.List
	if u.URL != nil {
		text, found := s.checkedURL(ctx, *u.URL)
		u.URL, faults = &text, append(faults, found...)
	}
	if u.Types != nil {
		types, found := checkTypes(by, u.Types)
		u.Types, faults = types, append(faults, found...)
	}
	if u.Description != nil {
		text, found := checkDescription(*u.Description)
		u.Description, faults = &text, append(faults, found...)
	}
	if u.State != nil && *u.State != Enabled && *u.State != Paused && *u.State != Disabled {
		faults = append(faults, fault.Errorf(fault.Invalid, "There is no state %.20q of webhooks.",
			*u.State).On("state"))
	}
	return u, faults.Err()
}

// resumes reports whether events are sent or recorded after the update that would not be without it.
func (u Update) resumes(w Webhook) bool {
	return u.State != nil && *u.State != w.State && (*u.State == Enabled || w.State == Disabled)
}

// applied returns the webhook after the update.
func (u Update) applied(by *auth.Principal, w Webhook) Webhook {
	if u.URL != nil {
		w.URL = *u.URL
	}
	if u.Description != nil {
		w.Description = *u.Description
	}
	if u.Types != nil {
		w.Types = u.Types
	}
	if u.State == nil || *u.State == w.State && w.State != Enabled {
		return w
	}
	w.State, w.StateReason = *u.State, ""
	switch w.State {
	case Enabled:
		w.FailingSince = time.Time{}
	case Disabled:
		_, _, name := by.Subject()
		w.StateReason = "Disabled by " + name + "."
	case Paused:
	}
	return w
}

// mayControl returns fault.Invalid unless the principal may read all events of the webhook. Otherwise it could send
// them to a URL of its own, or sign them, or send what the owner of the webhook has stopped.
func mayControl(by *auth.Principal, w Webhook, field string) error {
	for _, t := range audit.TypesOf(w.Types) {
		if !mayReceive(by, t) {
			return fault.Errorf(fault.Invalid, "This webhook receives %s, and this token does not hold %s.", t,
				ReadScope(t)).Requiring(ReadScope(t)).On(field)
		}
	}
	return nil
}

// change calls decide with a webhook in the transaction that stores its result.
func (s *Service) change(ctx context.Context, by *auth.Principal, id uuid.UUID,
	decide func(Webhook) (Webhook, []audit.Event, error)) error {
	return s.repo.Change(ctx, by.Actor(), by.AccountID, id, decide)
}

// Delete deletes a webhook with its deliveries. No request to it begins after Delete has returned.
func (s *Service) Delete(ctx context.Context, by *auth.Principal, id uuid.UUID) error {
	if err := MayChange(by); err != nil {
		return err
	}
	return s.repo.Delete(ctx, by.Actor(), by.AccountID, id, func(w Webhook) audit.Event {
		return newEvent(by, audit.WebhookDeleted, w, s.Now())
	})
}

// Rotation is a webhook with a new signing secret, which is not shown again.
type Rotation struct {
	Webhook Webhook
	Secret  secret.WebhookSecret
	// PreviousExpiresAt is when the previous secret stops signing.
	PreviousExpiresAt time.Time
}

// RotateSecret replaces the signing secret of a webhook. Requests are signed with the previous one, too, until the
// overlap ends; nil means DefaultOverlap, and 0 ends it at once. A secret from before that ends at once. RotateSecret
// returns errors as Update does.
func (s *Service) RotateSecret(ctx context.Context, by *auth.Principal, id uuid.UUID,
	overlap *time.Duration) (Rotation, error) {
	if err := MayChange(by); err != nil {
		return Rotation{}, err
	}
	lasts, err := checkOverlap(overlap)
	if err != nil {
		return Rotation{}, err
	}
	value, sealed, err := s.newSecret(id)
	if err != nil {
		return Rotation{}, err
	}
	rotation := Rotation{Secret: value}
	err = s.change(ctx, by, id, func(w Webhook) (Webhook, []audit.Event, error) {
		if err := mayControl(by, w, "id"); err != nil {
			return Webhook{}, nil, err
		}
		now := s.Now()
		rotation.PreviousExpiresAt = now.Add(lasts)
		w.Previous, w.PreviousExpiresAt = SigningSecret{}, time.Time{}
		if lasts > 0 {
			w.Previous, w.PreviousExpiresAt = w.Secret, rotation.PreviousExpiresAt
		}
		w.Secret = sealed
		rotation.Webhook = w
		details := []audit.Detail{{Name: "hint", Value: sealed.Hint},
			{Name: "previousExpiresAt", Value: rotation.PreviousExpiresAt.Format(time.RFC3339)}}
		return w, []audit.Event{newEvent(by, audit.WebhookUpdated, w, now, details...)}, nil
	})
	if err != nil {
		return Rotation{}, err
	}
	return rotation, nil
}

// SendTest sends the event webhook.test to a webhook of any types, and returns the event. It returns
// fault.NotFound for a webhook that does not exist, and fault.Conflict for one that is not enabled.
func (s *Service) SendTest(ctx context.Context, by *auth.Principal, id uuid.UUID) (audit.Event, error) {
	if err := MayChange(by); err != nil {
		return audit.Event{}, err
	}
	w, err := s.repo.Webhook(ctx, by.AccountID, id)
	if err != nil {
		return audit.Event{}, err
	}
	if w.State != Enabled {
		return audit.Event{}, fault.Errorf(fault.Conflict,
			"This webhook is not enabled, so nothing is sent to it. Enable it first.").On("id")
	}
	event := newEvent(by, audit.WebhookTest, w, s.Now())
	return event, s.repo.Test(ctx, by.Actor(), by.AccountID, id, event)
}

// Replay schedules deliveries of a webhook again, at most MaxReplay, and returns how many. It returns fault.NotFound
// for a webhook or an event that does not exist, fault.Conflict for a webhook that is disabled or while another replay
// of a time range is being scheduled in the account, and fault.Invalid for each rule that the request breaks. An API
// token can replay only if it may read all events that the webhook receives, and only events that it may read. If
// Replay fails after it has scheduled some of the deliveries, it returns their number with the error.
func (s *Service) Replay(ctx context.Context, by *auth.Principal, req ReplayRequest) (int, error) {
	if err := MayChange(by); err != nil {
		return 0, err
	}
	if err := req.check(); err != nil {
		return 0, err
	}
	w, err := s.repo.Webhook(ctx, by.AccountID, req.WebhookID)
	if err != nil {
		return 0, onWebhookID(err)
	}
	if err := mayControl(by, w, "webhookId"); err != nil {
		return 0, err
	}
	if w.State == Disabled {
		return 0, ErrDisabled()
	}
	r := Replay{AccountID: by.AccountID, WebhookID: req.WebhookID, Since: req.Since, Until: req.Until,
		States: req.States, Readable: receivable(by), Limit: MaxReplay}
	r.EventIDs = slices.Compact(slices.SortedFunc(slices.Values(req.EventIDs),
		func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }))
	scheduled, err := s.repo.Replay(ctx, by.Actor(), r, func(scheduled int) audit.Event {
		return newEvent(by, audit.WebhookReplayed, w, s.Now(),
			audit.Detail{Name: "scheduled", Value: strconv.Itoa(scheduled)})
	})
	return scheduled, onWebhookID(err)
}

// onWebhookID names the field of the error of a webhook that does not exist as the input of a replay does.
func onWebhookID(err error) error {
	if fault.KindOf(err) == fault.NotFound && fault.Flatten(err)[0].Field == "id" {
		return fault.Flatten(err)[0].On("webhookId")
	}
	return err
}
