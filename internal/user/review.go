package user

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// KnownToken is an API token whose secret a user knows, as the event of the user's removal or deactivation names it.
type KnownToken struct {
	ID   uuid.UUID
	Name string
	// Revoked reports whether the removal or deactivation revoked the token.
	Revoked bool
}

// Review revokes what the removal or deactivation of users revokes, and returns the tokens whose secrets each of them
// knows. It is called after their sessions have ended. Without a Review the events say nothing about tokens.
type Review func() (map[uuid.UUID][]KnownToken, error)

// maxListedTokens is the most tokens that an event of a removal or deactivation lists.
const maxListedTokens = 100

// events returns the event of each user, with the tokens to review.
func (r Review) events(by *auth.Principal, action audit.Action, persons []Person, now time.Time) ([]audit.Event,
	error) {
	events := make([]audit.Event, len(persons))
	if r == nil {
		for i, p := range persons {
			events[i] = PersonEvent(by, action, p, now)
		}
		return events, nil
	}
	known, err := r()
	if err != nil {
		return nil, err
	}
	for i, p := range persons {
		events[i] = PersonEvent(by, action, p, now, ReviewDetails(known[p.ID])...)
		events[i].Data = p.leavingData(known[p.ID])
	}
	return events, nil
}

// ReviewDetails returns the names of the tokens as event details: of those that still work, and of those that were
// revoked.
func ReviewDetails(known []KnownToken) []audit.Detail {
	var works, revoked []string
	for _, t := range known {
		if t.Revoked {
			revoked = append(revoked, fmt.Sprintf("%q", t.Name))
		} else {
			works = append(works, fmt.Sprintf("%q", t.Name))
		}
	}
	var details []audit.Detail
	for _, d := range []struct {
		name  string
		names []string
	}{{"apiTokensToReview", works}, {"revokedApiTokens", revoked}} {
		if n := len(d.names); n > 0 {
			text := strings.Join(d.names[:min(n, maxListedTokens)], ", ")
			if n > maxListedTokens {
				text += fmt.Sprintf(" and %d more", n-maxListedTokens)
			}
			details = append(details, audit.Detail{Name: d.name, Value: text})
		}
	}
	return details
}
