package eventsource_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/eventsource"
	"latchkey/internal/eventsource/eventbridge"
	"latchkey/internal/fault"
	"latchkey/internal/gormdb"
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	"latchkey/internal/test/bridge"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/test/world"
	"latchkey/internal/webhook"
)

const (
	region  = eventsource.Region("EU_WEST_1")
	partner = "aws.partner/example.com"
	theirs  = "123456789012"
)

// fixture is a service over a database and a double of Amazon EventBridge, with two apps of an account.
type fixture struct {
	*eventsource.Service
	config eventsource.Config
	db     *gormdb.DB
	bridge *bridge.Bridge
	clock  *world.Clock
	in     dbtest.World
	by     *auth.Principal
	apps   []account.App
}

func open(t *testing.T, db *gormdb.DB) *fixture {
	t.Helper()
	f := &fixture{db: db, bridge: bridge.Start(t), clock: &world.Clock{}, in: dbtest.Seed{Apps: 2}.Make(t, db)}
	f.clock.Set(world.Noon)
	f.apps, f.by = f.in.Apps, world.Owner(f.in)
	client, err := eventbridge.New(t.Context(), region, f.bridge.URL)
	if err != nil {
		t.Fatal(err)
	}
	f.config = eventsource.Config{
		Repository: gormdb.EventSources(db), Apps: account.NewService(db.Accounts()), Partner: client, Region: region,
		PartnerName: partner, Now: f.clock.Now,
	}
	f.Service = eventsource.NewService(f.config)
	return f
}

// token is an account-level API token with the scopes.
func (f *fixture) token(scopes ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), Name: "A token",
		AccountID: f.in.Account.ID, Scopes: scope.NewSet(scopes...)}
}

func (f *fixture) request(app int, name string) eventsource.Request {
	return eventsource.Request{AppID: f.apps[app].ID, AWSAccount: theirs, Name: name, Region: region}
}

func (f *fixture) create(t *testing.T, app int, name string) eventsource.Source {
	t.Helper()
	s, err := f.Create(t.Context(), f.by, f.request(app, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// partnerName is the name of a source in Amazon EventBridge.
func (f *fixture) partnerName(app int, name string) string {
	return partner + "/" + strconv.FormatInt(f.apps[app].ID, 10) + "/" + name
}

// listed returns the names of an app's sources, newest first, each with "-" before it if it receives nothing.
func (f *fixture) listed(t *testing.T, by *auth.Principal, app int) string {
	t.Helper()
	id := f.apps[app].ID
	pages, err := f.Sources(t.Context(), by, []int64{id}, paging.Window{Size: 50})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, item := range pages[id].Items {
		name := item.Node.Name()
		if !item.Node.Receiving {
			name = "-" + name
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// events returns the account's audit events, newest first.
func (f *fixture) events(t *testing.T) []string {
	t.Helper()
	page, err := f.db.Audit().Events(t.Context(), f.by.AccountID, audit.Filter{}, paging.Window{Size: 50})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, item := range page.Items {
		e := item.Node
		all = append(all, fmt.Sprint(e.Actor.Name, " ", e.Action, " ", e.Target.Kind, " ", e.Target.Name, " ", e.IP,
			" ",
			e.Details))
	}
	return all
}

func each(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) { test(t, open(t, db)) })
}

// wantFault fails the test unless err has the kind and is about the field.
func wantFault(t *testing.T, what string, err error, kind fault.Kind, field string) {
	t.Helper()
	if fault.KindOf(err) != kind || fault.Flatten(err)[0].Field != field {
		t.Errorf("%s: got %v (%s), want %s on %q", what, err, fault.KindOf(err), kind, field)
	}
}

func TestCreate(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		got := f.create(t, 0, "orders")
		name := f.partnerName(0, "orders")
		arn := "arn:aws:events:eu-west-1::event-source/" + name
		want := eventsource.Source{AccountID: f.in.Account.ID, ID: got.ID, AppID: f.apps[0].ID, AWSAccount: theirs,
			Region: region, PartnerName: name, ARN: arn, State: eventsource.Active, CreatedAt: world.Noon,
			Receiving: true}
		check.Equal(t, got, want, "the source")
		check.Equal(t, got.Name(), "orders", "its name")
		check.Equal(t, f.bridge.Sources(), []string{"eu-west-1 " + name + " " + theirs}, "sources in EventBridge")
		pages, err := f.Sources(t.Context(), f.by, []int64{f.apps[0].ID, f.apps[1].ID}, paging.Window{Size: 50})
		if err != nil || len(pages[f.apps[0].ID].Items) != 1 || len(pages[f.apps[1].ID].Items) != 0 {
			t.Fatalf("Sources() = %+v, %v, want 1 of the first app and none of the second", pages, err)
		}
		check.Equal(t, pages[f.apps[0].ID].Items[0].Node, want, "the source in the list")
		check.Equal(t, f.events(t), []string{f.in.Owner.Email + " app.event_source_created app App 0 192.0.2.7 [{arn " +
			arn + "} {awsAccount " + theirs + "}]"}, "events")
		// The name is free in another app.
		f.create(t, 1, "orders")
		_, err = f.Create(t.Context(), f.by, f.request(0, "orders"))
		wantFault(t, "the same name", err, fault.Conflict, "eventSourceName")
		check.Equal(t, f.listed(t, f.by, 0), "orders", "sources after a refusal")
	})
}

// A principal that may read no events creates a source that receives none.
func TestSourceOfWhoMayReadNothing(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		by := f.token(scope.AccountAppsRead)
		s, err := f.Create(t.Context(), by, f.request(0, "orders"))
		if err != nil || s.Receiving {
			t.Fatalf("Create() = %+v, %v, want a source that receives nothing", s, err)
		}
		check.Equal(t, f.listed(t, f.by, 0), "-orders", "sources")
		received, err := f.Delete(t.Context(), by, f.apps[0].ID, s.ID)
		if err != nil || received {
			t.Errorf("Delete() = %v, %v, want false, as it received nothing", received, err)
		}
	})
}

func TestInvalidSources(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		long := strings.Repeat("n", 256-len(f.partnerName(0, "")))
		f.create(t, 0, long)
		for name, change := range map[string]func(*eventsource.Request){
			"awsAccount":        func(r *eventsource.Request) { r.AWSAccount = "12345678901" },
			"awsAccount ":       func(r *eventsource.Request) { r.AWSAccount = "12345678901x" },
			"eventSourceName":   func(r *eventsource.Request) { r.Name = "" },
			"eventSourceName ":  func(r *eventsource.Request) { r.Name = "a/b" },
			"eventSourceName  ": func(r *eventsource.Request) { r.Name = "a\n" },
			"eventSourceName.":  func(r *eventsource.Request) { r.Name = long + "n" },
			"eventSourceRegion": func(r *eventsource.Request) { r.Region = "US_EAST_1" },
		} {
			r := f.request(1, "orders")
			change(&r)
			_, err := f.Create(t.Context(), f.by, r)
			wantFault(t, name, err, fault.Invalid, strings.Trim(name, " ."))
		}
		_, err := f.Create(t.Context(), f.by, eventsource.Request{AppID: f.apps[0].ID})
		if n := len(fault.Flatten(err)); n != 3 {
			t.Errorf("an empty request has %d errors, want 3: %v", n, err)
		}
		check.Equal(t, len(f.bridge.Sources()), 1, "sources in EventBridge")
	})
}

func TestSourcesOfAnotherAccount(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		stranger := world.Owner(dbtest.Seed{}.Make(t, f.db))
		_, err := f.Create(t.Context(), stranger, f.request(0, "mine"))
		wantFault(t, "create", err, fault.NotFound, "appId")
		_, err = f.Delete(t.Context(), stranger, s.AppID, s.ID)
		wantFault(t, "delete", err, fault.NotFound, "appId")
		check.Equal(t, f.listed(t, stranger, 0), "", "what another account sees")
		_, err = f.Delete(t.Context(), f.by, f.apps[1].ID, s.ID)
		wantFault(t, "delete from another app", err, fault.NotFound, "id")
		_, err = f.Delete(t.Context(), f.by, s.AppID, uuid.New())
		wantFault(t, "delete what is not there", err, fault.NotFound, "id")
		check.Equal(t, f.listed(t, f.by, 0), "orders", "sources after refusals")
	})
}

func TestDelete(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		f.create(t, 0, "other")
		received, err := f.Delete(t.Context(), f.by, s.AppID, s.ID)
		if err != nil || !received {
			t.Fatalf("Delete() = %v, %v, want true, as it received events", received, err)
		}
		check.Equal(t, f.listed(t, f.by, 0), "other", "sources")
		check.Equal(t, f.bridge.Sources(), []string{"eu-west-1 " + f.partnerName(0, "other") + " " + theirs},
			"sources in EventBridge")
		if got := f.events(t)[0]; !strings.Contains(got, "app.event_source_deleted app App 0") {
			t.Errorf("the last event: got %s, want app.event_source_deleted of App 0", got)
		}
		_, err = f.Delete(t.Context(), f.by, s.AppID, s.ID)
		wantFault(t, "deleted again", err, fault.NotFound, "id")
		f.create(t, 0, "orders") // its name is free again
	})
}

// A source that Amazon EventBridge no longer has can be deleted.
func TestDeleteWhatEventBridgeForgot(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		f.bridge.Forget("eu-west-1", f.partnerName(0, "orders"))
		if _, err := f.Delete(t.Context(), f.by, s.AppID, s.ID); err != nil {
			t.Fatal(err)
		}
		check.Equal(t, f.listed(t, f.by, 0), "", "sources")
	})
}

// If Amazon EventBridge does not answer a deletion, the source stays in the list and receives nothing, and the deletion
// can be repeated, with one event in all.
func TestDeleteIsRepeated(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		f.bridge.Refuse(bridge.Delete, "", 1)
		_, err := f.Delete(t.Context(), f.by, s.AppID, s.ID)
		wantFault(t, "without an answer", err, fault.Internal, "")
		check.Equal(t, f.listed(t, f.by, 0), "-orders", "sources")
		received, err := f.Delete(t.Context(), f.by, s.AppID, s.ID)
		if err != nil || received {
			t.Fatalf("Delete() again = %v, %v, want false, as it received nothing", received, err)
		}
		check.Equal(t, f.listed(t, f.by, 0), "", "sources")
		check.Equal(t, len(f.bridge.Sources()), 0, "sources in EventBridge")
		check.Equal(t, len(f.events(t)), 2, "events")
	})
}

func TestNotConfigured(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		s := f.create(t, 0, "orders")
		c := f.config
		c.Partner = nil
		off := eventsource.NewService(c)
		_, err := off.Create(t.Context(), f.by, f.request(0, "other"))
		wantFault(t, "create", err, fault.EventBridgeNotConfigured, "")
		_, err = off.Delete(t.Context(), f.by, s.AppID, s.ID)
		wantFault(t, "delete", err, fault.EventBridgeNotConfigured, "")
		check.Equal(t, f.listed(t, f.by, 0), "orders", "sources")
	})
}

// Concurrent requests cannot exceed the limit, and those that were refused leave nothing in Amazon EventBridge.
func TestLimit(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const more = 5
		errs := make([]error, eventsource.MaxPerAccount+more)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { _, errs[i] = f.Create(t.Context(), f.by, f.request(i%2, fmt.Sprint("n", i))) })
		}
		all.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				wantFault(t, "one too many", err, fault.LimitReached, "")
				refused++
			}
		}
		check.Equal(t, refused, more, "refused")
		check.Equal(t, len(f.bridge.Sources()), eventsource.MaxPerAccount, "sources in EventBridge")
	})
}

func TestRefusedByEventBridge(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for code, want := range map[string]fault.Kind{
			"ResourceAlreadyExistsException": fault.Conflict, "ValidationException": fault.Invalid,
			"LimitExceededException": fault.LimitReached,
		} {
			f.bridge.Refuse(bridge.Create, code, 1)
			if _, err := f.Create(t.Context(), f.by, f.request(0, "orders")); fault.KindOf(err) != want {
				t.Errorf("%s: got %v, want %s", code, err, want)
			}
		}
		check.Equal(t, f.listed(t, f.by, 0), "", "sources")
		check.Equal(t, len(f.events(t)), 0, "events")
		f.create(t, 0, "orders") // nothing is left of the refusals
	})
}

// A creation without an answer may have succeeded. Its name is free after a while, and what it left in Amazon
// EventBridge is deleted then, also if it belongs to another AWS account.
func TestCreationWithoutAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.bridge.Refuse(bridge.Create, "", 1)
		_, err := f.Create(t.Context(), f.by, f.request(0, "orders"))
		wantFault(t, "without an answer", err, fault.Internal, "")
		check.Equal(t, f.listed(t, f.by, 0), "", "sources")
		// The request had arrived.
		client := f.config.Partner
		if _, err := client.Create(t.Context(), "eu-west-1", theirs, f.partnerName(0, "orders")); err != nil {
			t.Fatal(err)
		}
		r := f.request(0, "orders")
		r.AWSAccount = "999999999999"
		_, err = f.Create(t.Context(), f.by, r)
		wantFault(t, "at once", err, fault.Conflict, "eventSourceName")
		f.clock.Advance(eventsource.CreatingFor + time.Second)
		if _, err := f.Create(t.Context(), f.by, r); err != nil {
			t.Fatalf("later: %v", err)
		}
		check.Equal(t, f.bridge.Sources(), []string{"eu-west-1 " + f.partnerName(0, "orders") + " 999999999999"},
			"sources in EventBridge")
		check.Equal(t, f.listed(t, f.by, 0), "orders", "sources")
	})
}

// refusing confirms as an actor whose token was revoked after the reservation.
type refusing struct{ eventsource.Repository }

func (r refusing) Confirm(ctx context.Context, by auth.Actor, s eventsource.Source, w *webhook.Webhook,
	e audit.Event) error {
	by.NoCredential, by.ID, by.Credential = "", uuid.New(), auth.Credential{Kind: auth.AccessToken, ID: uuid.New()}
	return r.Repository.Confirm(ctx, by, s, w, e)
}

// An actor who loses their rights while Amazon EventBridge creates a source leaves none.
func TestNothingIsCreatedWithoutRights(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		c := f.config
		c.Repository = refusing{c.Repository}
		_, err := eventsource.NewService(c).Create(t.Context(), f.by, f.request(0, "orders"))
		wantFault(t, "create", err, fault.Unauthenticated, "")
		check.Equal(t, f.bridge.Requests(bridge.Create), 1, "requests to create")
		check.Equal(t, len(f.bridge.Sources()), 0, "sources in EventBridge")
		check.Equal(t, len(f.events(t)), 0, "events")
		f.create(t, 0, "orders") // its name is free
	})
}
