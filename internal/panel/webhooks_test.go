package panel_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/panel"
	"latchkey/internal/test/check"
)

// receiver is a program that receives webhooks.
type receiver struct {
	URL string
	// status is what it answers.
	status atomic.Int32

	mu       sync.Mutex
	requests []received
}

// received is one request.
type received struct {
	ID, Body string
	// Signatures are the signatures of the header, separated.
	Signatures []string
}

// receiver starts a receiver, which answers 200.
func (s *server) receiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.status.Store(http.StatusOK)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, from *http.Request) {
		body, err := io.ReadAll(from.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.requests = append(r.requests, received{from.Header.Get("Webhook-Id"), string(body),
			strings.Fields(from.Header.Get("Webhook-Signature"))})
		r.mu.Unlock()
		w.WriteHeader(int(r.status.Load()))
		_, _ = io.WriteString(w, "the answer <b>of the receiver</b>")
	}))
	t.Cleanup(site.Close)
	r.URL = site.URL + "/hook"
	return r
}

// wait waits until the receiver has had n requests and returns them.
func (r *receiver) wait(t *testing.T, n int) []received {
	t.Helper()
	for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		got := slices.Clone(r.requests)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
	}
	t.Fatalf("the receiver: got fewer requests within the time, want %d", n)
	return nil
}

// addWebhook creates a webhook through the form and returns its address and its secret.
func (v *visitor) addWebhook(at, to string, types ...string) (address, secret string) {
	v.t.Helper()
	pairs := []string{"url", to, "description", "For accounting"}
	for _, each := range types {
		pairs = append(pairs, "eventTypes", each)
	}
	page := v.submit(v.open(at+"/new"), "Add webhook", pairs...).wants(http.StatusOK, "shown only once")
	for _, n := range page.all("dialog") {
		if to, is := attribute(n, "data-address"); is {
			address = to
		}
	}
	if secret = valueOf(page, "signing_secret"); address == "" || !strings.HasPrefix(secret, "whsec_") {
		v.t.Fatalf("got the page %s, want an address and a secret", page.text())
	}
	return address, secret
}

// until opens a page until it has the text.
func (v *visitor) until(address, text string) *reply {
	v.t.Helper()
	for deadline := time.Now().Add(stepTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if page := v.open(address); strings.Contains(page.text(), text) {
			return page
		}
	}
	return v.open(address).wants(http.StatusOK, text)
}

func TestCreateWebhook(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/webhooks")
		owner.open(at).wants(http.StatusOK, "No webhooks yet")
		owner.submit(owner.open(at+"/new"), "Add webhook", "url", "nowhere").refuses("url", "eventTypes")
		owner.submit(owner.open(at+"/new"), "Add webhook", "url", "http://192.0.2.1/", "eventTypes",
			"user.*").refuses("url")
		refused := owner.submit(owner.open(at+"/new"), "Add webhook", "url", "https://hooks.example/", "eventTypes",
			"user.flown", "eventTypes", "user.added", "description", strings.Repeat("x", 256))
		refused.refuses("description", "eventTypes")
		if !strings.Contains(refused.body, `value="user.added" checked`) {
			t.Error("form after an error: got another choice of types, want user.added checked")
		}
		page := owner.open(at + "/new")
		form := page.forms()[len(page.forms())-1].values
		form.Set("url", "https://hooks.example/a?b=c")
		form["eventTypes"] = []string{"api_token.*", "api_token.created", "user.added"}
		created := owner.postForm(at, form).wants(http.StatusOK, "shown only once")
		check.Equal(t, created.header.Get("Cache-Control"), "no-store", "kept by the browser")
		secret := valueOf(created, "signing_secret")
		for ending, want := range map[string]string{".txt": "SIGNING SECRET: " + secret, ".env": "='" + secret + "'"} {
			if got := downloads(t, created)[ending]; !strings.Contains(got, want) {
				t.Errorf("file %s: got no secret, want it", ending)
			}
		}
		owner.postForm(at, form).wants(http.StatusConflict, "This form was already submitted").lacks(secret)
		list := owner.open(at).wants(http.StatusOK, "https://hooks.example/a?b=c").lacks(secret)
		list.wants(http.StatusOK, "api_token.* , user.added").wants(http.StatusOK, "Enabled")
		if rows := len(list.all("tr")); rows != 2 {
			t.Errorf("the list has %d rows, want the heading and one webhook", rows)
		}
		if strings.Contains(s.log.String(), secret) {
			t.Error("the log: got the secret, want it absent")
		}
	})
}

// downloads returns the contents of a page's files by the ends of their names.
func downloads(t *testing.T, page *reply) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, a := range page.all("a") {
		name, is := attribute(a, "download")
		if !is {
			continue
		}
		to, _ := attribute(a, "href")
		_, content, _ := strings.Cut(to, ";base64,")
		text, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			t.Error(err)
		}
		found[name[strings.LastIndex(name, "."):]] = string(text)
	}
	return found
}

func TestEditWebhook(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		hook, _ := owner.addWebhook(s.page("/webhooks"), "https://hooks.example/", "user.*", "api_token.revoked")
		edit := owner.open(hook + "/edit")
		owner.submit(edit, "Save changes").goes(hook).notes("webhook_updated", 1)
		owner.open(hook).wants(http.StatusOK, "api_token.revoked user.*").wants(http.StatusOK, "For accounting")
		owner.submit(edit, "Save changes", "url", "ftp://hooks.example/").refuses("url")
		owner.submit(edit, "Save changes", "url", "https://hooks.example/new", "description", "", "eventTypes",
			"*").goes(hook).notes("webhook_updated", 1)
		owner.open(hook).wants(http.StatusOK, "https://hooks.example/new").lacks("For accounting")
		edit = owner.open(hook + "/edit")
		if !strings.Contains(edit.body, `value="*" checked`) {
			t.Error("form: got no checkbox of all types checked, want it")
		}
		owner.open(hook+"/delete").wants(http.StatusOK, "Delete the webhook https://hooks.example/new?")
		owner.submit(owner.open(hook+"/delete"), "Delete webhook").goes(
			s.page("/webhooks")).notes("webhook_deleted", 1)
		owner.open(hook).wants(http.StatusNotFound, "")
		owner.open(s.page("/webhooks")).wants(http.StatusOK, "No webhooks yet")
	})
}

// A test event and each replay are sent once, also if their form is sent twice.
func TestDeliveriesOfWebhook(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, to := s.signedIn(s.OwnerEmail), s.receiver(t)
		hook, _ := owner.addWebhook(s.page("/webhooks"), to.URL, "user.*")
		before := owner.open(hook).wants(http.StatusOK, "No deliveries yet")
		owner.submit(before, "Send test event").goes(hook).notes("webhook_tested", 1)
		owner.submit(before, "Send test event").goes(hook).notes("webhook_sent_before", 1)
		first := to.wait(t, 1)[0]
		page := owner.until(hook, "Attempt 1: 200 OK").wants(http.StatusOK, "webhook.test")
		page.wants(http.StatusOK, "the answer <b>of the receiver</b>").wants(http.StatusOK, "All 1")
		page.wants(http.StatusOK, first.ID)
		owner.post(hook+"/replay", "form", formOf(t, page)).refuses()
		owner.open(hook).wants(http.StatusOK, "All 1")
		event := first.ID[strings.LastIndex(first.ID, "/")+1:]
		pairs := []string{"form", formOf(t, page), "event", event}
		owner.post(hook+"/replay", pairs...).goes(hook).notes("webhook_replayed", 1)
		owner.post(hook+"/replay", pairs...).goes(hook).notes("webhook_sent_before", 1)
		check.Equal(t, to.wait(t, 2)[1].ID, first.ID, "the ID of the repeat")
		owner.until(hook, "Attempt 2: 200 OK")
		unknown := []string{"form", formOf(t, owner.open(hook)), "event", uuid.NewString()}
		owner.post(hook+"/replay", unknown...).wants(http.StatusNotFound, "")
		check.Equal(t, len(to.wait(t, 2)), 2, "requests")
		owner.open(s.page("/webhooks")).wants(http.StatusOK, "2 delivered, 0 failed").wants(http.StatusOK, "1 webhook")
		owner.open(hook+"?state=delivered").wants(http.StatusOK, first.ID)
		owner.open(hook+"?state=dead").wants(http.StatusOK, "There are no deliveries here.")
	})
}

// formOf returns the form token of a page.
func formOf(t *testing.T, page *reply) string {
	t.Helper()
	for _, n := range page.all("input") {
		if name, _ := attribute(n, "name"); name == "form" {
			value, _ := attribute(n, "value")
			return value
		}
	}
	t.Fatalf("%s: got no form token, want one", page.url)
	return ""
}

// A period must be one, and end after it starts.
func TestReplayOfPeriod(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, to := s.signedIn(s.OwnerEmail), s.receiver(t)
		hook, _ := owner.addWebhook(s.page("/webhooks"), to.URL, "user.*")
		replay := func(pairs ...string) *reply {
			t.Helper()
			return owner.submit(owner.open(hook), "Replay this period", pairs...)
		}
		replay("since", "soon", "until", "late").refuses("since", "until")
		replay("since", "2026-01-02T10:00", "until", "2026-01-01T10:00").refuses("until")
		replay("states", "flown").refuses("states")
		replay("since", "2026-01-02T10:00").goes(hook).notes("webhook_replayed", 0)
		owner.submit(owner.get(s.page("/users/invite")), "Invite", "email", "w@acme.example", "firstName", "Walt",
			"lastName", "Wu")
		sent := to.wait(t, 1)[0]
		owner.until(hook, "Attempt 1: 200 OK")
		replay("states", "dead").goes(hook).notes("webhook_replayed", 0)
		r := replay("states", "all").wants(http.StatusSeeOther, "")
		said, _, _ := strings.Cut(owner.get(r.header.Get("Location")).notice(), " ")
		scheduled, err := strconv.Atoi(said)
		if err != nil || scheduled == 0 {
			t.Errorf("scheduled deliveries: got %d, %v, want at least one", scheduled, err)
		}
		again := slices.ContainsFunc(to.wait(t, 1+scheduled)[1:], func(r received) bool { return r.ID == sent.ID })
		check.Equal(t, again, true, "the event was repeated")
	})
}

// While a webhook is paused its deliveries wait. A disabled one gets what it missed when it is enabled again.
func TestPausedAndDisabledWebhook(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, to := s.signedIn(s.OwnerEmail), s.receiver(t)
		hook, _ := owner.addWebhook(s.page("/webhooks"), to.URL, "api_token.created")
		owner.submit(owner.open(hook), "Pause").goes(hook).notes("webhook_paused", 1)
		owner.create(s.page("/tokens"), "While paused")
		owner.open(hook).wants(http.StatusOK, "This webhook is paused.").wants(http.StatusOK, "1 delivery is waiting.")
		owner.submit(owner.open(hook), "Enable").goes(hook).notes("webhook_enabled", 1)
		to.wait(t, 1)
		owner.until(hook, "Attempt 1: 200 OK")

		to.status.Store(http.StatusGone)
		owner.create(s.page("/tokens"), "When it is gone")
		owner.until(hook, "This webhook is disabled.").lacks("Send test event")
		owner.create(s.page("/tokens"), "While disabled")
		owner.open(s.page("/webhooks")).wants(http.StatusOK, "Disabled")
		to.status.Store(http.StatusOK)
		page := owner.open(hook).wants(http.StatusOK, "Replay missed deliveries").wants(http.StatusOK,
			"1 delivery failed around that time.")
		owner.submit(page, "Enable").goes(hook).notes("webhook_enabled_replayed", 2)
		got := to.wait(t, 4)
		if texts := got[2].Body + got[3].Body; !strings.Contains(texts, "When it is gone") ||
			!strings.Contains(texts, "While disabled") {
			t.Errorf("the receiver: got %s, want both events", texts)
		}
		owner.post(hook+"/state", "state", "FLOWN").wants(http.StatusUnprocessableEntity, "Choose one of the options.")
	})
}

// A rotation shows the new secret once. For the overlap, requests have both signatures.
func TestRotateWebhookSecret(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, to := s.signedIn(s.OwnerEmail), s.receiver(t)
		hook, before := owner.addWebhook(s.page("/webhooks"), to.URL, "user.*")
		page := owner.open(hook)
		rotated := owner.submit(page, "Rotate signing secret").wants(http.StatusOK, "New signing secret")
		rotated.wants(http.StatusOK, "also signed with the previous secret until")
		after := valueOf(rotated, "signing_secret")
		if after == before || !strings.HasPrefix(after, "whsec_") {
			t.Errorf("signing secret after the rotation: got the old one %t, want a new one that begins with whsec_",
				after == before)
		}
		owner.submit(page, "Rotate signing secret").wants(http.StatusConflict, "already submitted").lacks(after)
		detail := owner.open(hook).lacks(after).lacks(before).wants(http.StatusOK, "Two secrets are in use")
		for _, secret := range []string{before, after} {
			detail.wants(http.StatusOK, "…"+secret[len(secret)-4:])
		}
		owner.submit(detail, "Send test event")
		check.Equal(t, len(to.wait(t, 1)[0].Signatures), 2, "signatures during the overlap")
		owner.submit(owner.open(hook), "Rotate signing secret", "overlap", "none").wants(http.StatusOK, "")
		owner.submit(owner.open(hook), "Send test event")
		check.Equal(t, len(to.wait(t, 2)[1].Signatures), 1, "signatures without an overlap")
		owner.post(hook+"/rotate", "overlap", "ever", "form", formOf(t, detail)).wants(http.StatusUnprocessableEntity,
			"Choose one of the options.")
	})
}

// Only the account's owner sees webhooks and what they deliver, and changes them.
func TestRightsToWebhooks(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		s.apply(morePeople)
		s.apply(staff)
		owner := s.signedIn(s.OwnerEmail)
		hook, _ := owner.addWebhook(s.page("/webhooks"), "https://hooks.example/of-the-owner", "user.*")
		owner.open("/accounts").wants(http.StatusOK, "Webhooks")
		form := url.Values{"form": {formOf(t, owner.open(hook))}, "state": {"PAUSED"}, "which": {"dead"},
			"overlap": {"none"}, "url": {"https://evil.example/"}, "eventTypes": {"*"}}
		for _, email := range []string{"chloe@acme.example", "keeper@acme.example", "us@acme.example",
			"eu@acme.example", "owner@bicycles.example"} {
			t.Run(email, func(t *testing.T) {
				v := s.signedIn(email)
				v.t = t
				before := s.contents()
				if email != "owner@bicycles.example" { // that account has webhooks of its own
					v.open("/accounts").lacks("Webhooks")
				}
				tried := 0
				for _, route := range panel.Routes() {
					if !strings.HasPrefix(route.Pattern, "/accounts/{account}/webhooks") {
						continue
					}
					tried++
					address := strings.NewReplacer("{account}", s.Account, "{webhook}",
						hook[strings.LastIndex(hook, "/")+1:]).Replace(route.Pattern)
					answer := v.get(address)
					if route.Method == http.MethodPost {
						answer = v.postForm(address, form)
					}
					if answer.status != http.StatusForbidden && answer.status != http.StatusNotFound &&
						answer.status != http.StatusConflict {
						t.Errorf("%s %s: got %d: %s, want 403, 404 or 409", route.Method, address, answer.status,
							answer.text())
					}
					answer.lacks("of-the-owner")
				}
				if tried < 12 {
					t.Errorf("routes of webhooks: got %d tried, want at least 12", tried)
				}
				s.unchanged(before)
			})
		}
		other := s.signedIn("owner@bicycles.example")
		another := "/accounts/3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02/webhooks"
		other.open(another).wants(http.StatusOK, "No webhooks yet")
		other.open(another+hook[strings.LastIndex(hook, "/"):]).wants(http.StatusNotFound, "").lacks("of-the-owner")
		s.visitor().get(hook).goes("/signin?" + url.Values{"next": {hook}}.Encode())
		owner.open(hook).wants(http.StatusOK, "of-the-owner")
	})
}

// The limit of webhooks is reported at the form.
func TestTooManyWebhooks(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner, at := s.signedIn(s.OwnerEmail), s.page("/webhooks")
		for i := range 2 {
			owner.addWebhook(at, fmt.Sprintf("https://hooks.example/%d", i), "*")
		}
		owner.submit(owner.open(at+"/new"), "Add webhook", "url", "https://hooks.example/3", "eventTypes",
			"*").wants(http.StatusUnprocessableEntity, "2")
		if rows := len(owner.open(at).all("tr")); rows != 3 {
			t.Errorf("the list has %d rows, want the heading and two webhooks", rows)
		}
	}, "LATCHKEY_MAX_WEBHOOKS=2")
}

// Every event type is described with an example, and every group has a name.
func TestEventTypesAreDescribed(t *testing.T) {
	eachServer(t, func(t *testing.T, s *server) {
		owner := s.signedIn(s.OwnerEmail)
		page := owner.open(s.page("/webhooks/types")).wants(http.StatusOK, "api_token.revoked")
		check.Equal(t, strings.Contains(page.body, "Example of user.removed"), true, "an example of user.removed")
		for _, n := range page.all("h2") {
			if text := textOf(n); strings.ToLower(text) == text {
				t.Errorf("heading: got %s, want the name of a group", text)
			}
		}
	})
}
