package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/bulkhead"
	"latchkey/internal/fault"
	"latchkey/internal/scim"
	"latchkey/internal/scope"
	"latchkey/internal/test/check"
)

// memory is a repository of one group with members, which collects what is saved.
type memory struct {
	Repository

	members int
	// refused is the account whose requests cannot be saved.
	refused uuid.UUID
	saved   []Request
}

func (m *memory) CountUsers(context.Context, uuid.UUID) (int64, error) { return 1, nil }

func (m *memory) Users(context.Context, uuid.UUID, Query) (Page[scim.User], error) {
	return Page[scim.User]{}, nil
}

func (m *memory) CountGroups(context.Context, uuid.UUID) (int64, error) { return 777, nil }

func (m *memory) Groups(context.Context, uuid.UUID, Query) (Page[scim.Group], error) {
	return Page[scim.Group]{Total: 1, Items: make([]scim.Group, 1)}, nil
}

func (m *memory) CountMembers(context.Context, uuid.UUID, []scim.Group) (int64, error) {
	return int64(m.members), nil
}

func (m *memory) AddMembers(_ context.Context, _ uuid.UUID, groups []scim.Group) error {
	groups[0].Members = make([]scim.Member, m.members)
	return nil
}

func (m *memory) SaveRequests(_ context.Context, requests []Request) error {
	for _, r := range requests {
		if r.AccountID == m.refused {
			return errors.New("a row is refused")
		}
	}
	m.saved = append(m.saved, requests...)
	return nil
}

// provider returns an API token of an account of its own.
func provider(scopes ...string) *auth.Principal {
	return &auth.Principal{NoCredential: "a test", Kind: auth.APIToken, ID: uuid.New(), AccountID: uuid.New(),
		Scopes: scope.NewSet(scopes...)}
}

// Members of groups are charged by their number and read in the bulkhead until leave is called. Searches that no index
// answers are charged by the number of users or groups and enter it, too. Groups without members do neither.
func TestMembersOfGroupsAreExpensive(t *testing.T) {
	var charged []int
	limited := false
	s := NewService(&memory{members: 12_345}, nil, time.Now, func(_ context.Context, n int) error {
		charged = append(charged, n)
		if limited {
			return fault.Errorf(fault.RateLimited, "Wait.")
		}
		return nil
	})
	s.walks = bulkhead.New(1)
	by := provider(scope.AccountUsersRead, scope.AccountUsersWrite)
	found, leave, err := s.Groups(t.Context(), by, Query{Count: 1, Details: true})
	check.Equal(t, err, nil, "read a group with members")
	check.Equal(t, len(found.Items[0].Members), 12_345, "members")
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	refused := map[string]error{}
	_, _, refused["groups"] = s.Groups(soon, by, Query{Count: 1, Details: true})
	_, _, refused["a group"] = s.Group(soon, by, uuid.NewString(), true)
	named := func(f scim.Field) Query { return Query{Where: scim.Comparison{Field: f, Op: scim.Present}} }
	_, refused["a search of users"] = s.Users(soon, by, named(scim.GivenName))
	_, _, refused["a search of groups"] = s.Groups(soon, by, named(scim.DisplayName))
	refused["a search for the name of a new group"] = s.RefuseGroup(soon, by, "New", "")
	for what, err := range refused {
		check.Equal(t, scim.ErrorOf(err).Status, 503, "%s: status when the time ends before there is a place", what)
	}
	check.Equal(t, charged, []int{12_345, 1, 777, 777}, "charged before a search waits")
	charged = nil
	for what, read := range map[string]func() (func(), error){
		"groups without members": func() (func(), error) {
			_, leave, err := s.Groups(t.Context(), by, Query{Count: 1})
			return leave, err
		},
		"a group without members": func() (func(), error) {
			_, leave, err := s.Group(t.Context(), by, uuid.NewString(), false)
			return leave, err
		},
	} {
		leave, err := read()
		check.Equal(t, err, nil, "%s, without a place", what)
		leave()
	}
	leave()
	_, leave, err = s.Group(t.Context(), by, uuid.NewString(), true)
	check.Equal(t, err, nil, "read a group with members, with the place")
	leave()
	check.Equal(t, charged, []int{12_345}, "charged")
	found, leave, err = s.Groups(t.Context(), by, Query{Where: named(scim.DisplayName).Where, Count: 1, Details: true})
	check.Equal(t, err, nil, "search for groups with members, with the only place")
	check.Equal(t, len(found.Items[0].Members), 12_345, "members of a group that was searched for")
	leave()
	limited = true
	_, _, err = s.Groups(t.Context(), by, named(scim.DisplayName))
	check.Equal(t, fault.KindOf(err), fault.RateLimited, "a search when the charge is refused")
	_, _, err = s.Groups(t.Context(), by, Query{Count: 1, Details: true})
	check.Equal(t, fault.KindOf(err), fault.RateLimited, "an error when the charge is refused")
	limited = false
	_, leave, err = s.Groups(t.Context(), by, Query{Count: 1, Details: true})
	check.Equal(t, err, nil, "read groups after a refused charge, which left the place")
	leave()
}

// Many failures of one account take neither the places of others nor more memory than the newest of them.
func TestPendingRequestsAreBoundedPerAccount(t *testing.T) {
	repo := &memory{}
	s := NewService(repo, nil, time.Now, nil)
	loud, quiet := provider(scope.AccountUsersWrite), provider(scope.AccountUsersDelete)
	for i := range 5000 {
		s.Note(loud, Request{Status: 400, Detail: fmt.Sprint(i)})
	}
	for range 10 {
		s.Note(quiet, Request{Status: 403})
	}
	s.Note(quiet, Request{Status: 200})
	check.Equal(t, s.Flush(t.Context()), nil, "save")
	of := map[uuid.UUID][]Request{}
	for _, r := range repo.saved {
		of[r.AccountID] = append(of[r.AccountID], r)
	}
	check.Equal(t, len(of[loud.AccountID]), MaxFailures, "requests of the account with many failures")
	check.Equal(t, of[loud.AccountID][MaxFailures-1].Detail, "4999", "the newest of them")
	check.Equal(t, len(of[quiet.AccountID]), 11, "requests of the other account")
	for range maxAccounts + 10 {
		s.Note(provider(scope.AccountUsersRead), Request{Status: 200})
	}
	repo.saved = nil
	check.Equal(t, s.Flush(t.Context()), nil, "save")
	check.Equal(t, len(repo.saved), maxAccounts, "accounts whose requests are held")
}

// Recorded texts are short, and have no bytes that a database refuses.
func TestRecordedTexts(t *testing.T) {
	for text, want := range map[string]string{
		"jo@a.example":                 "jo@a.example",
		"a\x00b\xffc\xfe\xfd":          "a\uFFFDb\uFFFDc\uFFFD",
		"\x1b[1m\u202ereversed\n":      "\uFFFD[1m\uFFFDreversed\uFFFD",
		strings.Repeat("a", 1<<20):     strings.Repeat("a", 256),
		strings.Repeat("a", 255) + "ë": strings.Repeat("a", 255),
		strings.Repeat("\x00", 1000):   strings.Repeat("\uFFFD", 85),
		strings.Repeat("\x80", 1000):   "\uFFFD",
		strings.Repeat("日", 85) + "b日": strings.Repeat("日", 85) + "b",
	} {
		got := recorded(text)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("%.20q…: got %q, want %q", text, got, want)
		}
	}
	repo := &memory{}
	s := NewService(repo, nil, time.Now, nil)
	by, long := provider(scope.AccountUsersRead), strings.Repeat("x", 1000)
	by.Name, by.Origin.RequestID = long, long
	s.Note(by, Request{Method: long, Resource: long, Subject: long, Detail: long, Status: 400})
	check.Equal(t, s.Flush(t.Context()), nil, "save")
	r, most := repo.saved[0], long[:256]
	check.Equal(t, []string{r.TokenName, r.RequestID, r.Method, r.Resource, r.Subject, r.Detail},
		[]string{most, most, most, most, most, most}, "texts of a request")
}

// Only the API tokens of identity providers have their requests recorded.
func TestWhoseRequestsAreNoted(t *testing.T) {
	repo := &memory{}
	s := NewService(repo, nil, time.Now, nil)
	session := provider(scope.AccountUsersRead)
	session.Kind = auth.Session
	owner := provider()
	owner.Kind, owner.AccountOwner = auth.Session, true
	ofStore := provider(scope.AccountUsersRead)
	ofStore.StoreID = uuid.New()
	for _, by := range []*auth.Principal{session, owner, ofStore, provider(), provider(scope.AccountRead)} {
		s.Note(by, Request{Status: 403})
	}
	check.Equal(t, s.Flush(t.Context()), nil, "save")
	check.Equal(t, len(repo.saved), 0, "requests of others than identity providers")
}

// An account whose requests cannot be saved does not lose those of others.
func TestRequestsAreSavedApart(t *testing.T) {
	deleted, kept := provider(scope.AccountUsersRead), provider(scope.AccountUsersRead)
	repo := &memory{refused: deleted.AccountID}
	s := NewService(repo, nil, time.Now, nil)
	for _, by := range []*auth.Principal{kept, deleted} {
		s.Note(by, Request{Status: 400})
	}
	if err := s.Flush(t.Context()); err == nil {
		t.Error("save: got no error, want that of the account that failed")
	}
	check.Equal(t, len(repo.saved), 1, "requests that are saved")
}
