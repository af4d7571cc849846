package panel

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// profileHandler serves the pages about the visitor's own user.
type profileHandler struct {
	users  *user.Service
	signIn *signin.Service
}

func (h *profileHandler) routes() []route {
	return []route{
		get("/profile", signedIn, h.page),
		post("/profile", signedIn, h.save),
		post("/profile/sessions", signedIn, h.endSessions),
	}
}

var profileFields = []string{"firstName", "lastName", "locale"}

// profilePage is the data of the profile page.
type profilePage struct {
	Email string
	Names *form
	// Provisioned is the visitor's user if an identity provider keeps the names and the language, which have no form
	// then; otherwise nil.
	Provisioned *user.User
	// Security is the visitor's sign-in methods, and Passwords reports whether this server has passwords.
	Security  signin.Security
	Passwords bool
	Sessions  []sessionShown
	// Others are the sessions that the visitor signed in to, except this one, and Operators the number of those that
	// the operator started.
	Others    []sessionShown
	Operators int
}

// sessionShown is a session as the page shows it.
type sessionShown struct {
	ID                   uuid.UUID
	Browser, Account, IP string
	Since, Used, Until   time.Time
	// Here marks the session of this request, and ByOperator one that the operator started.
	Here, ByOperator bool
}

func (h *profileHandler) page(q *request) error {
	return h.show(q, http.StatusOK, nil)
}

// show shows the profile. If names is nil, it shows the stored names.
func (h *profileHandler) show(q *request, status int, names *form) error {
	shown := profilePage{Email: q.by.Name, Names: names}
	users, err := h.users.ByID(q.r.Context(), q.by, []uuid.UUID{q.by.ID})
	if err != nil {
		return err
	}
	me := users[q.by.ID]
	if names == nil {
		shown.Names = newForm(profileFields...)
		shown.Names.Values.Set("firstName", me.FirstName)
		shown.Names.Values.Set("lastName", me.LastName)
		shown.Names.Values.Set("locale", me.Locale)
	}
	if me.Provisioned() {
		shown.Provisioned = &me
	}
	if shown.Security, err = h.signIn.Security(q.r.Context(), q.by); err != nil {
		return err
	}
	shown.Passwords = methodsOf(h.signIn).Passwords
	if shown.Sessions, err = h.sessions(q); err != nil {
		return err
	}
	for _, s := range shown.Sessions {
		switch {
		case s.ByOperator:
			shown.Operators++
		case !s.Here:
			shown.Others = append(shown.Others, s)
		}
	}
	return profileTemplate.show(q, status, shown)
}

// sessions returns the visitor's active sessions, newest first.
func (h *profileHandler) sessions(q *request) ([]sessionShown, error) {
	live, err := h.signIn.Live(q.r.Context(), q.by)
	if err != nil {
		return nil, err
	}
	accounts, err := h.signIn.Accounts(q.r.Context(), q.by.Person())
	if err != nil {
		return nil, err
	}
	names := map[uuid.UUID]string{}
	for _, a := range accounts {
		names[a.ID] = a.Name
	}
	all := make([]sessionShown, len(live))
	for i, s := range live {
		all[i] = sessionShown{
			ID: s.ID, Browser: browserName(q, s), Account: names[s.AccountID], IP: s.IP, Since: s.CreatedAt,
			Used: s.LastUsedAt, Until: s.ExpiresAt, Here: s.ID == q.by.SessionID,
			ByOperator: s.Method == "" && s.ID != q.by.SessionID,
		}
	}
	return all, nil
}

// browserName describes the browser of a session.
func browserName(q *request, s user.Session) string {
	if s.Method == "" {
		return q.text("sessions.operator")
	}
	browser, system := browserOf(s.UserAgent)
	switch {
	case browser == "" && system == "":
		return q.text("sessions.unknown")
	case system == "":
		return browser
	case browser == "":
		browser = q.text("sessions.unknown")
	}
	return q.text("sessions.on", "browser", browser, "system", system)
}

// save saves the visitor's names and language.
func (h *profileHandler) save(q *request) error {
	f, err := q.parseForm(profileFields...)
	if err != nil {
		return err
	}
	first, last, locale := f.Value("firstName"), f.Value("lastName"), f.Value("locale")
	_, err = h.users.Update(q.r.Context(), q.by,
		user.Update{UserID: q.by.ID, FirstName: &first, LastName: &last, Locale: &locale})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return h.show(q, http.StatusUnprocessableEntity, f)
	}
	return q.redirectWithNotice("/profile", noticeOf("profile_saved", ""))
}

// endSessions revokes one session of the visitor, or all except the current one. Of those, it revokes the ones that
// the operator started only if they are chosen, too.
func (h *profileHandler) endSessions(q *request) error {
	if q.r.PostFormValue("session") == "others" {
		n, err := h.signIn.EndOthers(q.r.Context(), q.by, q.r.PostFormValue("operators") != "")
		if err != nil {
			return err
		}
		return q.redirectWithNotice("/profile", noticeOf("sessions_ended", "").times(n))
	}
	id, err := uuid.Parse(q.r.PostFormValue("session"))
	if err != nil {
		return fault.Errorf(fault.NotFound, "There is no such session.")
	}
	n, err := h.signIn.End(q.r.Context(), q.by, id)
	if err != nil {
		return err
	}
	return q.redirectWithNotice("/profile", noticeOf("sessions_ended", "").times(n))
}
