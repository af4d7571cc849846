package panel

import (
	"slices"

	"latchkey/internal/clock"
)

// themeCookie holds the theme that the visitor chose. It belongs to the browser and outlives sessions.
const themeCookie = "latchkey-theme"

// systemTheme is the theme of a visitor who chose none: the one of their system.
const systemTheme = "system"

// themes are the choices of the theme, as parts of message keys.
var themes = []string{systemTheme, "light", "dark"}

// themeHandler changes the theme.
type themeHandler struct{ now clock.Clock }

func (h *themeHandler) routes() []route {
	return []route{post("/theme", signedIn, h.change)}
}

// change keeps the chosen theme for a year and returns to the page.
func (h *themeHandler) change(q *request) error {
	chosen := q.r.PostFormValue("theme")
	if !slices.Contains(themes, chosen) {
		return noChoice(q, "theme")
	}
	if chosen == systemTheme {
		q.dropCookie(themeCookie)
	} else {
		q.setCookie(themeCookie, chosen, h.now().AddDate(1, 0, 0))
	}
	return q.redirect(q.formPage())
}

// theme returns the theme in the request's cookie, or systemTheme.
func (q *request) theme() string {
	if cookie, err := q.r.Cookie(themeCookie); err == nil && slices.Contains(themes, cookie.Value) {
		return cookie.Value
	}
	return systemTheme
}
