package webhook

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/plaintext"
	"latchkey/internal/secret"
)

// Limits of a webhook's fields and of requests.
const (
	// MaxURL and MaxDescription are the most characters of a URL and of a description.
	MaxURL         = 2048
	MaxDescription = 255
	// MaxTypes is the most event types in a request. There are fewer.
	MaxTypes = 100
	// DefaultMax is the default limit of webhooks of an account.
	DefaultMax = 20
	// DefaultOverlap is the time for which the previous secret signs after a rotation, and MaxOverlap the longest.
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
	// MaxReplay is the most deliveries that one replay schedules, and MaxReplayEvents the most events that it names.
	MaxReplay       = 10_000
	MaxReplayEvents = 250
)

// Request describes a webhook to create.
type Request struct {
	URL, Description string
	// Types are event types, and patterns such as "api_token.*" and "*".
	Types []string
}

// checkRequest returns the request in normal form, or an error for each rule that it breaks.
func (s *Service) checkRequest(ctx context.Context, by *auth.Principal, req Request) (Request, error) {
	var faults, found fault.List
	req.URL, found = s.checkedURL(ctx, req.URL)
	faults = append(faults, found...)
	req.Types, found = checkTypes(by, req.Types)
	faults = append(faults, found...)
	req.Description, found = checkDescription(req.Description)
	return req, append(faults, found...).Err()
}

func (s *Service) checkedURL(ctx context.Context, text string) (string, fault.List) {
	text = strings.TrimSpace(text)
	if f := checkText("A URL", text, 1, MaxURL); f != nil {
		return "", fault.List{f.On("url")}
	}
	if err := s.checkURL(ctx, text); err != nil {
		return "", fault.List{fault.Flatten(err)[0].On("url")}
	}
	return text, nil
}

func checkDescription(text string) (string, fault.List) {
	text = strings.TrimSpace(text)
	if f := checkText("A description", text, 0, MaxDescription); f != nil {
		return "", fault.List{f.On("description")}
	}
	return text, nil
}

// checkTypes returns the types sorted and without duplicates. Each must exist, and the principal must be able to read
// the events that it selects.
func checkTypes(by *auth.Principal, types []string) ([]string, fault.List) {
	switch n := len(types); {
	case n == 0:
		return nil, fault.List{fault.Errorf(fault.Invalid, "Choose at least one event type.").On("eventTypes")}
	case n > MaxTypes:
		return nil, fault.List{fault.Errorf(fault.Invalid, "Choose at most %d event types.", MaxTypes).On("eventTypes")}
	}
	types = slices.Compact(slices.Sorted(slices.Values(types)))
	var faults fault.List
	for _, name := range types {
		if f := checkType(by, name); f != nil {
			faults = append(faults, f.On("eventTypes"))
		}
	}
	return types, faults
}

func checkType(by *auth.Principal, name string) *fault.Error {
	selected := audit.TypesOf([]string{name})
	if len(selected) == 0 {
		return errNoType(name)
	}
	for _, t := range selected {
		if !mayReceive(by, t) {
			return fault.Errorf(fault.Invalid, "This token does not hold %s, so its webhooks cannot receive %s.",
				ReadScope(t), t).Requiring(ReadScope(t))
		}
	}
	return nil
}

func errNoType(name string) *fault.Error {
	return fault.Errorf(fault.Invalid, "There is no event type %.64q. Query.eventTypes lists all.", name)
}

// checkText checks a text that is stored and later shown unchanged.
func checkText(what, text string, least, most int) *fault.Error {
	switch n := utf8.RuneCountInString(text); {
	case n < least || n > most:
		return fault.Errorf(fault.Invalid, "%s has %d to %d characters.", what, least, most)
	case !plaintext.OneLine(text):
		return fault.Errorf(fault.Invalid, "%s is one line of plain text.", what)
	case secret.In(text):
		return fault.Errorf(fault.Invalid, "%s must not contain a credential. Rotate one that others may have seen.",
			what)
	}
	return nil
}

// checkOverlap returns the overlap of a rotation. Nil means DefaultOverlap.
func checkOverlap(overlap *time.Duration) (time.Duration, error) {
	if overlap == nil {
		return DefaultOverlap, nil
	}
	if *overlap < 0 || *overlap > MaxOverlap {
		return 0, fault.Errorf(fault.Invalid, "An overlap lasts 0 to %d seconds.",
			int(MaxOverlap/time.Second)).On("overlapSeconds")
	}
	return *overlap, nil
}

// ReplayRequest selects deliveries to send again: those of the events with the IDs, delivered or not, or those of a
// time range (Replay).
type ReplayRequest struct {
	WebhookID uuid.UUID
	EventIDs  []uuid.UUID
	// Until is the current time if it is zero.
	Since, Until time.Time
	States       []DeliveryState
}

// check returns an error for each rule that the request breaks.
func (r ReplayRequest) check() error {
	var faults fault.List
	broken := func(field, format string, args ...any) {
		faults = append(faults, fault.Errorf(fault.Invalid, format, args...).On(field))
	}
	ranged := !r.Since.IsZero() || !r.Until.IsZero()
	switch n := len(r.EventIDs); {
	case n == 0 && r.EventIDs != nil:
		broken("eventIds", "Name at least one event, or give a time instead.")
	case n > MaxReplayEvents:
		broken("eventIds", "Name at most %d events, or give a time instead.", MaxReplayEvents)
	case n > 0 && ranged:
		broken("since", "Name events or give a time, not both.")
	case n == 0 && r.Since.IsZero():
		broken("since", "Name events, or give the time from which on to replay.")
	}
	if len(r.EventIDs) > 0 && len(r.States) > 0 {
		broken("states", "Events that are named are sent again in every state.")
	}
	if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
		broken("until", "The end must be after the start.")
	}
	for _, state := range r.States {
		if state != Pending && state != Delivered && state != Dead {
			broken("states", "There is no state %.20q of deliveries.", state)
		}
	}
	return faults.Err()
}
