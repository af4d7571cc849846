package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

const noticeCookie = "__Host-latchkey-notice"

// A notice names the thing, is shown once, and is neither in the address nor readable or writable by the browser.
func TestNotices(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), tokensOf(s)["account"]
		owner.create(at, hostile[:40])
		page := owner.get(at)
		check.Equal(t, page.notice(), "The API token “"+hostile[:40]+"” was created.", "the notice")
		if len(page.all("evil")) > 0 {
			t.Errorf("the notice: got the name as an element, want it as text: %s", page.body)
		}
		check.Equal(t, owner.get(at).notice(), "", "the notice of a page that is loaded again")
		check.Equal(t, owner.cookie(noticeCookie), "", "the cookie after the page")
		owner.get(at + "?notice=token_created&n=1").lacks("was created")

		owner.create(at, "Nightly export")
		text := owner.cookie(noticeCookie)
		if text == "" || strings.Contains(text, "Nightly") {
			t.Errorf("the cookie: got %q, want a text without the name", text)
		}
		for what, changed := range map[string]string{"another text": "x" + text, "a changed one": flipped(text),
			"no key": strings.TrimLeft(text, "0123456789abcdef"), "nothing": ""} {
			v := s.visitor()
			v.keep("__Host-latchkey", owner.cookie("__Host-latchkey"))
			v.keep(noticeCookie, changed)
			check.Equal(t, v.get(at).wants(http.StatusOK, "").notice(), "", "the notice of %s", what)
		}
		for who, email := range map[string]string{"another user": euOwner, "no user": ""} {
			v := s.visitor()
			if email != "" {
				v = s.signedIn(email)
			}
			v.keep(noticeCookie, text)
			check.Equal(t, v.open("/").wants(http.StatusOK, "").notice(), "", "the notice for %s", who)
		}
		check.Equal(t, owner.get(at).notice(), "The API token “Nightly export” was created.", "the notice")
	})
}

// flipped returns the text with a character changed.
func flipped(text string) string {
	at := len(text) - 8
	other := "A"
	if text[at:at+1] == other {
		other = "B"
	}
	return text[:at] + other + text[at+1:]
}
