package panel

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// errorHandler answers errors with pages.
type errorHandler struct {
	users    *user.Service
	signIn   *signin.Service
	accounts *accountHandler
	log      *slog.Logger
}

// fail answers an error with a page.
func (h *errorHandler) fail(q *request, err error) {
	if h.refused(q, err) {
		return
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		h.log.LogAttrs(q.r.Context(), slog.LevelError, "a page of the control panel failed",
			slog.String("route", q.r.Pattern), slog.String("request_id", q.origin.RequestID), slog.Any("error", err))
	}
	if kind == fault.Unauthenticated {
		_ = q.dropSession()
		return
	}
	status := statuses[kind]
	if errors.Is(err, fault.ErrUnavailable) {
		status = http.StatusServiceUnavailable
		q.w.Header().Set("Retry-After", "1")
		q.by = nil // the account cannot be read either
	}
	h.load(q)
	shown := h.problem(q, kind, q.explainLimit(err))
	if err := errorTemplate.show(q, status, shown); err != nil {
		h.log.LogAttrs(q.r.Context(), slog.LevelError, "the page of an error failed", slog.Any("error", err))
	}
}

// statuses are the HTTP status codes of the kinds of faults.
var statuses = map[fault.Kind]int{
	fault.Forbidden: http.StatusForbidden, fault.NotFound: http.StatusNotFound,
	fault.Invalid:  http.StatusUnprocessableEntity,
	fault.Conflict: http.StatusConflict, fault.LimitReached: http.StatusConflict,
	fault.RateLimited: http.StatusTooManyRequests,
	fault.Internal:    http.StatusInternalServerError,
}

// problem is the data of an error page.
type problem struct {
	Title, Text string
	// Contacts are the users who can help.
	Contacts []contact
	// RequestID finds the request in the logs. It is set only for internal errors.
	RequestID string
}

// contact is a user who can help the visitor.
type contact struct{ Name, Email string }

func (h *errorHandler) problem(q *request, kind fault.Kind, err error) problem {
	switch kind {
	case fault.Forbidden:
		return problem{Title: q.text("errors.forbidden.title"), Text: forbiddenText(q, err),
			Contacts: contactsOf(q, h.users)}
	case fault.NotFound:
		return problem{Title: q.text("errors.not_found.title"), Text: fault.Flatten(err)[0].Message}
	case fault.Internal:
		if errors.Is(err, fault.ErrUnavailable) {
			return problem{Title: q.text("errors.unavailable.title"), Text: q.text("errors.unavailable.text")}
		}
		return problem{Title: q.text("errors.internal.title"), Text: q.text("errors.internal.text"),
			RequestID: q.origin.RequestID}
	}
	return problem{Title: q.text("errors.other.title"), Text: fault.Flatten(err)[0].Message}
}

// forbiddenText returns why a request is denied. The API's general message is replaced by the panel's.
func forbiddenText(q *request, err error) string {
	if message := fault.Flatten(err)[0].Message; message != auth.Denied().Message {
		return q.reword(message)
	}
	return q.text("errors.forbidden.text")
}

// contactsOf returns the owners of the page's store and of the session's account, without the visitor.
func contactsOf(q *request, users *user.Service) []contact {
	if q.by == nil {
		return nil
	}
	var found []contact
	var seen []uuid.UUID
	for _, id := range []uuid.UUID{q.store.OwnerID, q.account.OwnerID} {
		if id == uuid.Nil || id == q.by.ID || slices.Contains(seen, id) {
			continue
		}
		seen = append(seen, id)
		owners, err := users.ByID(q.r.Context(), q.by, []uuid.UUID{id})
		if err != nil {
			return found // shows the page of the original error without them
		}
		for _, u := range owners {
			found = append(found, contact{fullName(u), u.Email})
		}
	}
	return found
}

// explainLimit replaces the message of a rate limit error by one that says when to try again. It sets the Retry-After
// header in seconds (RFC 9110, section 10.2.3) unless the server has set it. It returns any other error unchanged.
func (q *request) explainLimit(err error) error {
	if fault.KindOf(err) != fault.RateLimited {
		return err
	}
	if wait := signin.Wait(err); wait > 0 {
		q.w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	}
	seconds, unread := strconv.Atoi(q.w.Header().Get("Retry-After"))
	if unread != nil {
		return err
	}
	text := q.count("errors.wait.seconds", seconds)
	if seconds >= 60 {
		text = q.count("errors.wait.minutes", (seconds+59)/60)
	}
	return fault.Wrap(err, fault.RateLimited, "%s", text)
}

// refusal is the data of the page for a failed proof of identity.
type refusal struct{ Title, Text, Back, Label string }

// refused reports whether err is a failed proof of identity. If it is, it answers with a page that says what to do.
func (h *errorHandler) refused(q *request, err error) bool {
	var refused *signin.Refused
	if !errors.As(err, &refused) {
		return false
	}
	h.log.LogAttrs(q.r.Context(), slog.LevelInfo, "a proof of identity was refused",
		slog.String("reason", string(refused.Reason)),
		slog.String("request_id", q.origin.RequestID), slog.Any("error", err))
	name := methodsOf(h.signIn).Provider
	key := "refused." + string(refused.Reason)
	shown := refusal{q.text(key+".title", "provider", name), q.text(key+".text", "provider", name), "/signin",
		q.text("refused.signin")}
	if q.by != nil {
		shown.Back, shown.Label = "/profile/security", q.text("refused.security")
	}
	status := http.StatusUnprocessableEntity
	if refused.Reason == signin.ReasonUnreachable {
		status = http.StatusServiceUnavailable
	}
	if err := refusedTemplate.show(q, status, shown); err != nil {
		h.log.LogAttrs(q.r.Context(), slog.LevelError, "the page of an error failed", slog.Any("error", err))
	}
	return true
}

// sentences returns the messages of an error's faults.
func sentences(err error) []string {
	var all []string
	for _, f := range fault.Flatten(err) {
		all = append(all, f.Message)
	}
	return all
}

// load loads the account for an error page. If it cannot be loaded, the page is shown as to a visitor who is not signed
// in.
func (h *errorHandler) load(q *request) {
	if q.by != nil && q.account.ID != q.by.AccountID && h.accounts.load(q) != nil {
		q.by = nil
	}
}
