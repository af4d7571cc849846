package leaks_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gateway/keys"
	"latchkey/internal/leaks"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is the service over a database with an account.
type fixture struct {
	*world.Services

	t       *testing.T
	service *leaks.Service
	home    dbtest.World
	owner   *auth.Principal
	log     *dbtest.Log
	mails   chan leaks.Notice
}

func each(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	world.Each(t, world.Options{}, func(t *testing.T, w *world.Services) {
		f := &fixture{Services: w, t: t, home: dbtest.Seed{}.Make(t, w.DB), log: &dbtest.Log{},
			mails: make(chan leaks.Notice, 10)}
		f.owner = world.Owner(f.home)
		var err error
		f.service, err = leaks.NewService(leaks.Config{
			Credentials: w.DB.Access(), Accounts: w.DB.Accounts(), Keys: w.Keys, Tokens: w.Tokens, OAuth: w.OAuth,
			Users: w.Users, Now: w.Clock.Now, Log: slog.New(slog.NewJSONHandler(f.log, nil)),
			Notify: func(_ context.Context, n leaks.Notice) error { f.mails <- n; return nil },
		})
		f.must(err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { f.service.Run(ctx); close(ended) }()
		t.Cleanup(func() { stop(); <-ended })
		test(t, f)
	})
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) issue() token.Issued {
	f.t.Helper()
	i, err := f.Tokens.Create(f.t.Context(), f.owner, token.Request{Owner: token.AccountOwner(f.home.Account),
		Name: "Nightly export", Scopes: []string{"account_read"}})
	f.must(err)
	return i
}

func (f *fixture) granted(i token.Issued) secret.Secret {
	f.t.Helper()
	client, err := f.OAuth.Authenticate(f.t.Context(), i.Token.ClientID, i.ClientSecret, world.Origin)
	f.must(err)
	g, err := f.OAuth.Grant(f.t.Context(), client, "")
	f.must(err)
	return g.AccessToken
}

func (f *fixture) session() secret.Secret {
	f.t.Helper()
	operator := auth.OperatorPrincipal()
	_, value, err := f.Users.StartSession(f.t.Context(), &operator, user.SessionRequest{Email: f.home.Users[0].Email,
		AccountID: f.home.Account.ID, TTL: time.Hour})
	f.must(err)
	return value
}

var (
	holder  = leaks.Reporter{Origin: auth.Origin{IP: netip.MustParseAddr("198.51.100.9"), RequestID: "report-1"}}
	scanner = leaks.Reporter{Scanner: true, Origin: holder.Origin}
)

const found = "https://user:password@github.com/o/r/blob/1/a.env?x=1#L3"

func (f *fixture) report(from leaks.Reporter, text string) leaks.Verdict {
	f.t.Helper()
	v, err := f.service.Report(f.t.Context(), from, leaks.Report{Token: text, Type: "t", URL: found, Source: "Content"})
	f.must(err)
	return v
}

// works reports whether a client's secret works.
func (f *fixture) works(s secret.Secret) bool {
	_, err := f.Verifier.Verify(f.t.Context(), s.Reveal(), world.Origin)
	return err == nil
}

// events returns the events of actions, newest first.
func (f *fixture) events(actions ...audit.Action) []audit.Event {
	f.t.Helper()
	size := 50
	w, err := paging.Request{First: &size}.Window(size)
	f.must(err)
	page, err := f.DB.Audit().Events(f.t.Context(), f.home.Account.ID, audit.Filter{Actions: actions}, w)
	f.must(err)
	var all []audit.Event
	for _, item := range page.Items {
		all = append(all, item.Node)
	}
	return all
}

// mailed checks that one mail was sent.
func (f *fixture) mailed(kind secret.Kind, revoked bool) {
	f.t.Helper()
	select {
	case n := <-f.mails:
		want := leaks.Notice{AccountID: f.home.Account.ID, Kind: kind, Revoked: revoked, At: world.Noon}
		check.Equal(f.t, n, want, "mail")
	case <-time.After(5 * time.Second):
		f.t.Error("got no mail, want one")
	}
}

// reported checks the only event of an action.
func (f *fixture) reported(action audit.Action, actor audit.Actor, reason string) {
	f.t.Helper()
	all := f.events(action)
	if len(all) != 1 {
		f.t.Fatalf("got %d events %s, want 1", len(all), action)
	}
	e := all[0]
	check.Equal(f.t, e.Actor, actor, "actor of %s", action)
	check.Equal(f.t, e.IP+" "+e.RequestID, "198.51.100.9 report-1", "origin of %s", action)
	got := ""
	for _, d := range e.Details {
		if d.Name == "reason" {
			got = d.Value
		}
	}
	check.Equal(f.t, got, reason, "reason of %s", action)
}

const (
	byHolder  = "Leaked: reported by a client that has the secret" + foundIn
	byScanner = "Leaked: reported by a secret scanner" + foundIn
	foundIn   = ", found in content at https://github.com/o/r/blob/1/a.env"
)

// A report of a secret of an API token revokes it, by the policy of a new account.
func TestReportsRevoke(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		operator := audit.Actor{Kind: audit.ActorOperator, Name: "operator"}
		access := func(i token.Issued) secret.Secret { return i.AccessToken }
		for _, c := range []struct {
			name   string
			from   leaks.Reporter
			reason string
			leaked func(token.Issued) secret.Secret
		}{
			{"an access token by its holder", holder, byHolder, access},
			{"an access token by a scanner", scanner, byScanner, access},
			{"a client secret by its holder", holder, byHolder,
				func(i token.Issued) secret.Secret { return i.ClientSecret }},
		} {
			i := f.issue()
			granted := f.granted(i)
			check.Equal(t, f.works(i.AccessToken) && f.works(granted), true, "%s: it works before", c.name)
			actor := operator
			if !c.from.Scanner {
				actor = audit.Actor{Kind: audit.ActorAPIToken, ID: i.Token.ID, Name: i.Token.Name}
			}
			value := c.leaked(i)
			check.Equal(t, f.report(c.from, value.Reveal()), leaks.Real, "%s: verdict", c.name)
			check.Equal(t, f.works(i.AccessToken) || f.works(granted), false, "%s: it works after", c.name)
			f.mailed(value.Kind(), true)
			all := f.events(audit.APITokenRevoked)
			check.Equal(t, all[0].Actor, actor, "%s: actor", c.name)
			check.Equal(t, all[0].Details, []audit.Detail{{Name: "reason", Value: c.reason}}, "%s: details", c.name)
			check.Equal(t, f.report(c.from, value.Reveal()), leaks.Real, "%s: verdict of a second report", c.name)
			check.Equal(t, len(f.events(audit.APITokenRevoked)), len(all), "%s: events after a second report", c.name)
		}
		check.Equal(t, len(f.mails), 0, "other mails")
	})
}

// A report of an access token that a rotation has replaced ends that access token alone.
func TestReportAfterARotation(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		i := f.issue()
		rotated, err := f.Tokens.Rotate(t.Context(), f.owner, i.Token.ID, nil)
		f.must(err)
		f.report(scanner, i.AccessToken.Reveal())
		check.Equal(t, f.works(i.AccessToken), false, "the access token that leaked works")
		check.Equal(t, f.works(rotated.AccessToken), true, "the new one works")
		f.reported(audit.AccessTokenRevoked, audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, byScanner)
		f.mailed(secret.AccountAccessToken, true)
		f.report(holder, rotated.AccessToken.Reveal())
		check.Equal(t, f.works(rotated.AccessToken), false, "the new one works after it leaked, too")
	})
}

func TestReportsOfOtherSecrets(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		i := f.issue()
		granted, session := f.granted(i), f.session()
		check.Equal(t, f.report(holder, granted.Reveal()), leaks.Real, "verdict on an OAuth access token")
		check.Equal(t, f.works(granted), false, "the OAuth access token works")
		check.Equal(t, f.works(i.AccessToken), true, "the API token works")
		f.reported(audit.AccessTokenRevoked, audit.Actor{Kind: audit.ActorAPIToken, ID: i.Token.ID, Name: i.Token.Name},
			byHolder)
		f.mailed(secret.OAuthAccessToken, true)

		check.Equal(t, f.report(scanner, session.Reveal()), leaks.Real, "verdict on a session")
		check.Equal(t, f.works(session), false, "the session works")
		f.reported(audit.SessionEnded, audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, byScanner)
		f.mailed(secret.UserSession, true)

		// What belongs to no account is only logged.
		operator := auth.OperatorPrincipal()
		gateways := keys.NewService(f.DB.Gateways(), f.Keys, rand.Reader, f.Clock.Now)
		_, key, err := gateways.Create(t.Context(), &operator, "edge")
		f.must(err)
		check.Equal(t, f.report(scanner, key.Reveal()), leaks.Real, "verdict on a gateway key")
		_, err = f.Verifier.VerifyGateway(t.Context(), key.Reveal(), world.Origin)
		f.must(err)
		file := filepath.Join(t.TempDir(), "key")
		f.must(f.Keys.WriteNew(file))
		content, err := os.ReadFile(file)
		f.must(err)
		_, line, _ := strings.Cut(string(content), "\nkey ")
		check.Equal(t, f.report(holder, "key "+strings.TrimSpace(line)), leaks.Real, "verdict on a server key")
		for _, want := range []string{"a gateway key was reported as leaked", "a server key of this server"} {
			check.Equal(t, strings.Count(f.log.String(), want), 1, "lines of the log with %q", want)
		}
	})
}

// Texts that the server did not issue change nothing.
func TestReportsOfUnknownSecrets(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.issue()
		before := dbtest.Dump(t, f.URL)
		want := map[secret.Kind]leaks.Verdict{secret.Flow: leaks.Unchecked, secret.OneTimeLink: leaks.Unchecked}
		for _, kind := range secret.Kinds() {
			if kind == secret.WebhookSigning || kind == secret.ServerKey {
				continue
			}
			s, err := secret.Generate(rand.Reader, kind)
			f.must(err)
			verdict, other := want[kind]
			if !other {
				verdict = leaks.Unknown
			}
			check.Equal(t, f.report(holder, s.Reveal()), verdict, "verdict on an unknown %s", kind.Name())
			check.Equal(t, f.report(scanner, s.Reveal()[:52]), leaks.Malformed, "verdict on a part of it")
		}
		webhook, err := secret.GenerateWebhook(rand.Reader)
		f.must(err)
		check.Equal(t, f.report(scanner, webhook.Reveal()), leaks.Unchecked, "verdict on a signing secret")
		for _, text := range []string{"", "x", strings.Repeat("lka_", 1<<16)} {
			check.Equal(t, f.report(holder, text), leaks.Malformed, "verdict on another text")
		}
		check.Equal(t, dbtest.Dump(t, f.URL), before, "the database")
		check.Equal(t, len(f.mails), 0, "mails")
	})
}

// A client that reports its own access tokens one after the other fills neither the owner's mailbox nor the audit log.
func TestReportsOfManyGrantedTokens(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		i := f.issue()
		_, err := f.Memberships.SetPolicies(t.Context(), f.owner, membership.Policies{Leaks: account.NotifyOfLeaks})
		f.must(err)
		for range 20 {
			check.Equal(t, f.report(holder, " "+f.granted(i).Reveal()+"\r\n"), leaks.Real, "verdict")
		}
		check.Equal(t, len(f.events(audit.APITokenLeaked)), 1, "events of tokens that keep working")
		_, err = f.Memberships.SetPolicies(t.Context(), f.owner, membership.Policies{Leaks: account.RevokeLeaked})
		f.must(err)
		for range 20 {
			granted := f.granted(i)
			f.report(holder, granted.Reveal())
			check.Equal(t, f.works(granted), false, "a reported token works")
		}
		check.Equal(t, strings.Count(f.log.String(), "no mail was sent"), 16, "mails that were not sent")
		for range 5 {
			<-f.mails
		}
		f.Clock.Advance(time.Hour)
		f.report(holder, f.granted(i).Reveal())
		check.Equal(t, (<-f.mails).Revoked, true, "the mail an hour later says that the secret was revoked")
		check.Equal(t, len(f.mails), 0, "other mails")
	})
}

// An account can choose to be notified only. Repeated reports are recorded once a day.
func TestReportsNotify(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		i := f.issue()
		granted, session := f.granted(i), f.session()
		_, err := f.Memberships.SetPolicies(t.Context(), f.owner, membership.Policies{Leaks: account.NotifyOfLeaks})
		f.must(err)
		for range 3 {
			check.Equal(t, f.report(scanner, i.AccessToken.Reveal()), leaks.Real, "verdict")
		}
		f.mailed(secret.AccountAccessToken, false)
		f.reported(audit.APITokenLeaked, audit.Actor{Kind: audit.ActorOperator, Name: "operator"}, byScanner)
		f.report(holder, granted.Reveal())
		f.mailed(secret.OAuthAccessToken, false)
		f.report(holder, i.ClientSecret.Reveal())
		f.mailed(secret.ClientSecret, false)
		check.Equal(t, f.works(i.AccessToken) && f.works(granted), true, "the secrets work")
		check.Equal(t, len(f.events(audit.APITokenLeaked)), 3, "events")
		f.Clock.Advance(25 * time.Hour)
		f.report(scanner, i.AccessToken.Reveal())
		all := f.events(audit.APITokenLeaked)
		check.Equal(t, len(all), 4, "events after a report on the next day")
		for _, e := range all {
			check.Equal(t, e.Action.Type(), audit.Type("api_token.leaked"), "the type that webhooks receive")
			check.Equal(t, e.Sequence > 0, true, "the event has a place in the log")
			data := string(e.Data)
			check.Equal(t, strings.Contains(data, `"name":"Nightly export"`) && !secret.In(data), true,
				"the data has the API token and no secret: %s", e.Data)
		}
		<-f.mails
		f.Clock.Set(world.Noon)
		f.report(holder, session.Reveal()) // the policy is that of API tokens
		f.mailed(secret.UserSession, true)
		check.Equal(t, f.works(session), false, "the session works")
		check.Equal(t, len(f.mails), 0, "other mails")
	})
}
