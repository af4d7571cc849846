package panel

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
	"latchkey/internal/user"
)

// profileRoutes are the pages about whoever is signed in.
func profileRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/profile", audience: someone, serve: (*visit).profile},
		{method: http.MethodPost, pattern: "/profile", audience: someone, serve: (*visit).saveProfile},
		{method: http.MethodPost, pattern: "/profile/password", audience: someone, serve: (*visit).changePassword},
		{method: http.MethodPost, pattern: "/profile/sessions", audience: someone, serve: (*visit).endSessions},
	}
}

// presentField is the field of the password that somebody has.
const presentField = "present"

var (
	profileFields  = []string{"firstName", "lastName", "locale"}
	passwordFields = []string{presentField, passwordField, confirmationField}
)

// profilePage shows who somebody is and where they are signed in.
type profilePage struct {
	Email           string
	Names, Password *form
	Sessions        []sessionShown
	Others          bool
	Doors           doors
}

// sessionShown is a session in words.
type sessionShown struct {
	ID                   uuid.UUID
	Browser, Account, IP string
	Since, Used, Until   time.Time
	Here                 bool
}

func (v *visit) profile() error {
	return v.profilePage(http.StatusOK, nil, newForm(passwordFields...))
}

// profilePage shows the profile: with what is kept where there are no names.
func (v *visit) profilePage(status int, names, password *form) error {
	shown := profilePage{Email: v.by.Name, Names: names, Password: password, Doors: v.doors()}
	if names == nil {
		people, err := v.Users.ByID(v.r.Context(), v.by, []uuid.UUID{v.by.ID})
		if err != nil {
			return err
		}
		me := people[v.by.ID]
		shown.Names = newForm(profileFields...)
		shown.Names.Values.Set("firstName", me.FirstName)
		shown.Names.Values.Set("lastName", me.LastName)
		shown.Names.Values.Set("locale", me.Locale)
	}
	var err error
	if shown.Sessions, err = v.sessionsShown(); err != nil {
		return err
	}
	shown.Others = len(shown.Sessions) > 1
	return v.page(status, "profile", shown)
}

// sessionsShown are the visitor's live sessions, newest first.
func (v *visit) sessionsShown() ([]sessionShown, error) {
	live, err := v.SignIn.Sessions(v.r.Context(), v.by)
	if err != nil {
		return nil, err
	}
	accounts, err := v.SignIn.Accounts(v.r.Context(), v.by.Person())
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
			ID: s.ID, Browser: v.browser(s), Account: names[s.AccountID], IP: s.IP, Since: s.CreatedAt, Used: s.LastUsedAt, Until: s.ExpiresAt, Here: s.ID == v.by.SessionID,
		}
	}
	return all, nil
}

// browser says which browser a session is in.
func (v *visit) browser(s user.Session) string {
	if s.Method == "" {
		return v.text("sessions.operator")
	}
	browser, system := browserOf(s.UserAgent)
	switch {
	case browser == "" && system == "":
		return v.text("sessions.unknown")
	case browser == "" || system == "":
		return browser + system
	}
	return v.text("sessions.on", "browser", browser, "system", system)
}

// saveProfile keeps the visitor's names and language.
func (v *visit) saveProfile() error {
	f, err := v.sent(profileFields...)
	if err != nil {
		return err
	}
	first, last, locale := f.Value("firstName"), f.Value("lastName"), f.Value("locale")
	_, err = v.Users.Update(v.r.Context(), v.by, user.Update{UserID: v.by.ID, FirstName: &first, LastName: &last, Locale: &locale})
	if err != nil {
		if err := f.refuse(err); err != nil {
			return err
		}
		return v.profilePage(http.StatusUnprocessableEntity, f, newForm(passwordFields...))
	}
	return v.done("/profile", "profile_saved", 1)
}

// changePassword changes the visitor's password, whoever else is signed in as
// them is out.
func (v *visit) changePassword() error {
	f, err := v.sent(passwordFields...)
	if err != nil {
		return err
	}
	err = v.SignIn.ChangePassword(v.r.Context(), v.by, secret.NewPassword(f.Values.Get(presentField)), chosen(f), v.visitor())
	status := http.StatusUnprocessableEntity
	switch fault.KindOf(err) {
	case "":
		return v.done("/profile", "password_changed", 1)
	case fault.Unauthenticated:
		err = fault.Errorf(fault.Invalid, "%s", v.text("profile.wrong")).On(presentField)
	case fault.RateLimited:
		status, err = http.StatusTooManyRequests, fault.Errorf(fault.Invalid, "%s", sentences(v.waiting(err))[0]).On(presentField)
	}
	if err := f.refuse(err); err != nil {
		return err
	}
	return v.profilePage(status, nil, f)
}

// endSessions ends one session of the visitor's, or all but theirs.
func (v *visit) endSessions() error {
	var ids []uuid.UUID
	if text := v.r.PostFormValue("session"); text != "others" {
		id, err := uuid.Parse(text)
		if err != nil {
			return fault.Errorf(fault.NotFound, "There is no such session.")
		}
		ids = append(ids, id)
	}
	n, err := v.SignIn.End(v.r.Context(), v.by, ids...)
	if err != nil {
		return err
	}
	return v.done("/profile", "sessions_ended", n)
}
