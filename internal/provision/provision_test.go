package provision_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/fault"
	"latchkey/internal/provision"
	"latchkey/internal/roster"
)

// memory is an account that is nowhere but in memory.
type memory struct {
	members []string
	owner   string
	// calls are how many people each call was about.
	calls []int
	// after is called after each call.
	after func()
	err   error
}

func (m *memory) Provision(ctx context.Context, people []roster.Person, dryRun bool) ([]provision.Result, error) {
	var all []provision.Result
	for _, p := range people {
		r := provision.Result{Email: p.Email, Action: provision.Created}
		switch {
		case strings.HasPrefix(p.Email, "bad"):
			r.Action, r.Field, r.Code, r.Message = provision.Failed, "email", "INVALID", "Bad."
		case slices.Contains(m.members, p.Email):
			r.Action = provision.Unchanged
		case !dryRun:
			m.members = append(m.members, p.Email)
		}
		all = append(all, r)
	}
	return all, m.called(ctx, len(people))
}

func (m *memory) Deprovision(ctx context.Context, emails []string, leave provision.Leave) ([]provision.Result, error) {
	var all []provision.Result
	for _, email := range emails {
		r := provision.Result{Email: email, Action: provision.Unchanged}
		if i := slices.Index(m.members, email); email == m.owner {
			r.Action, r.Code = provision.Failed, "CONFLICT"
		} else if i >= 0 {
			r.Action = provision.Removed
			if !leave.DryRun {
				m.members = slices.Delete(m.members, i, i+1)
			}
		}
		all = append(all, r)
	}
	return all, m.called(ctx, len(emails))
}

func (m *memory) called(ctx context.Context, people int) error {
	m.calls = append(m.calls, people)
	if m.after != nil {
		m.after()
	}
	return errors.Join(ctx.Err(), m.err)
}

func (m *memory) Members(_ context.Context, each func(string)) error {
	for _, email := range m.members {
		each(email)
	}
	return nil
}

// job is a job that notes what it is told.
func job(m *memory, batch int) (j *provision.Job, told *[]string) {
	told = new([]string)
	j = &provision.Job{Target: m, Batch: batch}
	j.Tell = func(r provision.Result) error {
		*told = append(*told, fmt.Sprintf("%d %s %s", r.Line, r.Email, r.Action))
		return nil
	}
	return j, told
}

func source(t *testing.T, text string) provision.Source {
	t.Helper()
	r, err := roster.NewReader(strings.NewReader(text), roster.CSV)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const file = "email,role\na,\nb,\nc,Boss\nbad,\nd,\n"

func TestProvision(t *testing.T) {
	m := &memory{members: []string{"b", "old", "boss"}, owner: "boss"}
	j, told := job(m, 2)
	if err := j.Provision(t.Context(), source(t, file), false); err != nil {
		t.Fatal(err)
	}
	if want := []string{"2 a CREATED", "3 b UNCHANGED", "4 c FAILED", "5 bad FAILED", "6 d CREATED"}; !slices.Equal(*told, want) {
		t.Errorf("told %q", *told)
	}
	if want := (provision.Counts{Created: 2, Unchanged: 1, Failed: 2}); j.Counts != want || j.Counts.All() != 5 || !slices.Equal(m.calls, []int{2, 1, 1}) {
		t.Errorf("%s in calls of %v", j.Counts, m.calls)
	}
	others, owners, err := j.Others(t.Context())
	if err != nil || !slices.Equal(others, []string{"old"}) || !slices.Equal(owners, []string{"boss"}) {
		t.Errorf("the others are %q and %q, %v", others, owners, err)
	}
	if err := j.Deprovision(t.Context(), provision.Emails(others), provision.Leave{}); err != nil || j.Counts.Removed != 1 {
		t.Errorf("removing them: %v, %s", err, j.Counts)
	}
	if !slices.Equal(m.members, []string{"b", "boss", "a", "d"}) {
		t.Errorf("in the account: %q", m.members)
	}
}

func TestDryRun(t *testing.T) {
	m := &memory{members: []string{"b"}}
	j, told := job(m, 100)
	if err := j.Provision(t.Context(), source(t, "email\na\n"), true); err != nil {
		t.Fatal(err)
	}
	if err := j.Deprovision(t.Context(), source(t, "email\nb\nc\n"), provision.Leave{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"2 a CREATED", "2 b REMOVED", "3 c UNCHANGED"}; !slices.Equal(*told, want) || len(m.members) != 1 {
		t.Errorf("told %q, in the account: %q", *told, m.members)
	}
}

// An empty file must not empty the account.
func TestNobodyIsNoReasonToRemoveEverybody(t *testing.T) {
	j, _ := job(&memory{members: []string{"a"}}, 2)
	if err := j.Provision(t.Context(), source(t, "email\n"), false); err != nil {
		t.Fatal(err)
	}
	if others, owners, err := j.Others(t.Context()); fault.KindOf(err) != fault.Invalid || len(others)+len(owners) > 0 {
		t.Errorf("%q, %q, %v", others, owners, err)
	}
}

// What was begun is ended, and told of; then it can be gone on with.
func TestInterruption(t *testing.T) {
	m := &memory{}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	m.after = interrupt
	j, told := job(m, 2)
	if err := j.Provision(ctx, source(t, "email\na\nb\nc\n"), false); !errors.Is(err, provision.ErrInterrupted) || len(*told) != 2 {
		t.Errorf("%v, told %q", err, *told)
	}
	if _, _, err := j.Others(ctx); !errors.Is(err, provision.ErrInterrupted) {
		t.Errorf("the others: %v", err)
	}
	j, _ = job(m, 2)
	if err := j.Provision(t.Context(), source(t, "email\na\nb\nc\n"), false); err != nil || j.Counts != (provision.Counts{Created: 1, Unchanged: 2}) {
		t.Errorf("again: %v, %s", err, j.Counts)
	}
}

func TestWhatEndsAJob(t *testing.T) {
	broken := errors.New("broken")
	t.Run("a call", func(t *testing.T) {
		j, told := job(&memory{err: broken}, 2)
		if err := j.Provision(t.Context(), source(t, "email\na\n"), false); !errors.Is(err, broken) || len(*told) > 0 {
			t.Errorf("%v, told %q", err, *told)
		}
	})
	t.Run("whoever is told", func(t *testing.T) {
		m := &memory{}
		j, _ := job(m, 1)
		j.Tell = func(provision.Result) error { return broken }
		if err := j.Provision(t.Context(), source(t, "email\na\nb\n"), false); !errors.Is(err, broken) || len(m.calls) != 1 {
			t.Errorf("%v after %v", err, m.calls)
		}
	})
	t.Run("the file", func(t *testing.T) {
		m := &memory{}
		j, told := job(m, 1)
		if err := j.Provision(t.Context(), source(t, "email\na\n\"b\n"), false); fault.KindOf(err) != fault.Invalid || !reflect.DeepEqual(*told, []string{"2 a CREATED"}) {
			t.Errorf("%v, told %q", err, *told)
		}
	})
	t.Run("the file, after rows that are wrong", func(t *testing.T) {
		j, told := job(&memory{}, 100)
		if err := j.Provision(t.Context(), source(t, "email,role\na,Boss\nb,\n\"c\n"), false); fault.KindOf(err) != fault.Invalid || !reflect.DeepEqual(*told, []string{"2 a FAILED"}) {
			t.Errorf("%v, told %q", err, *told)
		}
	})
}

func TestReport(t *testing.T) {
	var text strings.Builder
	r, err := provision.NewReport(&text)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []provision.Result{
		{Line: 7, Email: "ann@acme.example", Field: "role", Code: "INVALID", Message: `There is no role "Boss", alas.`},
		{Email: "b", Code: "CONFLICT", Message: "No."},
		{Line: 9, Email: "=1+1", Field: "email", Code: "INVALID", Message: "No."},
	} {
		if err := r.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.ReplaceAll(`"line","email","field","code","message"
"7","ann@acme.example","role","INVALID","There is no role ""Boss"", alas."
"","b","","CONFLICT","No."
"9","'=1+1","email","INVALID","No."
`, "\n", "\r\n")
	if text.String() != want {
		t.Errorf("got %s", text.String())
	}
}
