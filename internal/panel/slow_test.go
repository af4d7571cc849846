package panel_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/panel"
)

// plausibleForms returns form values that would change something, by pattern. The values of all other forms do not
// matter, because they ask for a proof of identity first.
func (s *server) plausibleForms() map[string]url.Values {
	return map[string]url.Values{
		"/profile": {"firstName": {"Slow"}, "lastName": {"Slow"}, "locale": {"en"}},
		"/profile/security/password": {"present": {s.Password}, "password": {"another pass phrase"},
			"confirmation": {"another pass phrase"}},
		"/profile/sessions": {"session": {"others"}},
		"/accounts/{account}/tokens": {"name": {"Slow"}, "scope.account_users": {"account_users_read"},
			"expiresIn": {"30"},
			"form":      {"0199aaaa-0000-7000-8000-000000000001"}},
		"/accounts/{account}/users/invite": {"email": {"slow@new.example"}, "firstName": {"Slow"}, "lastName": {"Slow"},
			"form": {"0199aaaa-0000-7000-8000-000000000002"}},
	}
}

// formAnswer is the response to a form.
type formAnswer struct {
	status   int
	location string
}

// trickled sends a form up to the middle of its body and returns when the server waits for the rest. finish sends
// the rest.
func (v *visitor) trickled(address string, form url.Values) (finish func() formAnswer) {
	v.t.Helper()
	text := form.Encode()
	r := v.request(http.MethodPost, address, form)
	rest, body := io.Pipe()
	asked, answered := make(chan struct{}, 1), make(chan formAnswer, 1)
	r = r.WithContext(httptrace.WithClientTrace(r.Context(),
		&httptrace.ClientTrace{Got100Continue: func() { asked <- struct{}{} }}))
	r.Body, r.GetBody, r.ContentLength = rest, nil, int64(len(text))
	r.Header.Set("Expect", "100-continue")
	r.AddCookie(&http.Cookie{Name: session, Value: v.cookie(session)})
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	v.t.Cleanup(transport.CloseIdleConnections)
	go func() {
		res, err := transport.RoundTrip(r)
		if err != nil {
			v.t.Error(err)
			answered <- formAnswer{}
			return
		}
		_ = res.Body.Close()
		answered <- formAnswer{res.StatusCode, res.Header.Get("Location")}
	}()
	<-asked
	if _, err := io.WriteString(body, text[:len(text)/2]); err != nil {
		v.t.Fatal(err)
	}
	return func() formAnswer {
		if _, err := io.WriteString(body, text[len(text)/2:]); err != nil {
			v.t.Error(err)
		}
		_ = body.Close() // Close of a pipe returns nil
		return <-answered
	}
}

// A form whose body arrives after its session was revoked is not processed, for every form and every way to revoke
// the session. While the session is valid, no form redirects to the sign-in page.
func TestSlowForms(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		endings := map[string]func(v *visitor){
			"signed out":       func(v *visitor) { v.post("/signout").wants(http.StatusSeeOther, "") },
			"ended by command": func(*visitor) { s.run("", "session", "end", "--email", s.OwnerEmail) },
			"not at all":       nil,
		}
		plausible := s.plausibleForms()
		for how, end := range endings {
			v := s.signedIn(s.OwnerEmail)
			forms := map[string]func() formAnswer{}
			for _, route := range panel.Routes() {
				if route.Method != http.MethodPost || route.Open {
					continue
				}
				form := plausible[route.Pattern]
				if form == nil || end == nil { // forms in a valid session must not change anything either
					form = url.Values{"nothing": {"of the form"}}
				}
				forms[route.Pattern] = v.trickled(s.address(route.Pattern), form)
			}
			if len(forms) < 25 {
				t.Fatalf("forms: got %d, want at least 25", len(forms))
			}
			if end != nil {
				end(v)
			}
			before := s.contents()
			var all sync.WaitGroup
			for pattern, finish := range forms {
				all.Go(func() {
					got := finish()
					out := strings.HasPrefix(got.location, "/signin")
					if how == "ended by command" && !out {
						return // another process revoked it: the server may learn about it only on its next write
					}
					if out != (end != nil) {
						t.Errorf("%s, session %s: got %d to %q, want a redirect to /signin %t", pattern, how,
							got.status, got.location, end != nil)
					}
				})
			}
			all.Wait()
			if end != nil {
				s.unchanged(before)
			}
		}
	})
}
