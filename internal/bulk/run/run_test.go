package run_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"latchkey/internal/bulk/file"
	"latchkey/internal/bulk/run"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/test/check"
)

// memory is an account in memory.
type memory struct {
	members []string
	owner   string
	// calls holds the number of users in each call.
	calls []int
	// after is called after each call.
	after func()
	err   error
}

func (m *memory) Provision(ctx context.Context, users []membership.ProvisionItem, dryRun bool) ([]run.Result, error) {
	var all []run.Result
	for _, p := range users {
		r := run.Result{Email: p.Email, Action: membership.Created}
		switch {
		case strings.HasPrefix(p.Email, "bad"):
			r.Action, r.Field, r.Code, r.Message = membership.Failed, "email", "INVALID", "Bad."
		case slices.Contains(m.members, p.Email):
			r.Action = membership.Unchanged
		case !dryRun:
			m.members = append(m.members, p.Email)
		}
		all = append(all, r)
	}
	return all, m.called(ctx, len(users))
}

func (m *memory) Deprovision(ctx context.Context, emails []string, leave run.Leave) ([]run.Result, error) {
	var all []run.Result
	for _, email := range emails {
		r := run.Result{Email: email, Action: membership.Unchanged}
		if i := slices.Index(m.members, email); email == m.owner {
			r.Action, r.Code = membership.Failed, "CONFLICT"
		} else if i >= 0 {
			r.Action = membership.Removed
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

// job returns a job that records its results.
func job(m *memory, batch int) (j *run.Job, reported *[]string) {
	reported = new([]string)
	j = &run.Job{Target: m, Batch: batch}
	j.Report = func(r run.Result) error {
		*reported = append(*reported, fmt.Sprintf("%d %s %s", r.Line, r.Email, r.Action))
		return nil
	}
	return j, reported
}

func source(t *testing.T, text string) run.Source {
	t.Helper()
	r, err := file.NewReader(strings.NewReader(text), file.CSV)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const sample = "email,role\na,\nb,\nc,Boss\nbad,\nd,\n"

func TestProvision(t *testing.T) {
	m := &memory{members: []string{"b", "old", "boss"}, owner: "boss"}
	j, reported := job(m, 2)
	if err := j.Provision(t.Context(), source(t, sample), false); err != nil {
		t.Fatal(err)
	}
	check.Equal(t, *reported, []string{"2 a CREATED", "3 b UNCHANGED", "4 c FAILED", "5 bad FAILED", "6 d CREATED"},
		"reported")
	if want := (run.Counts{Created: 2, Unchanged: 1, Failed: 2}); j.Counts != want || j.Counts.All() != 5 ||
		!slices.Equal(m.calls, []int{2, 1, 1}) {
		t.Errorf("counts: got %s in calls of %v, want %s in calls of 2, 1 and 1", j.Counts, m.calls, want)
	}
	others, owners, err := j.Others(t.Context())
	if err != nil || !slices.Equal(others, []string{"old"}) || !slices.Equal(owners, []string{"boss"}) {
		t.Errorf("Others() = %q, %q, %v, want old and boss", others, owners, err)
	}
	if err := j.Deprovision(t.Context(), run.Emails(others), run.Leave{}); err != nil || j.Counts.Removed != 1 {
		t.Errorf("removing them: %v, %s, want 1 removed", err, j.Counts)
	}
	check.Equal(t, m.members, []string{"b", "boss", "a", "d"}, "in the account")
}

func TestDryRun(t *testing.T) {
	m := &memory{members: []string{"b"}}
	j, reported := job(m, 100)
	if err := j.Provision(t.Context(), source(t, "email\na\n"), true); err != nil {
		t.Fatal(err)
	}
	if err := j.Deprovision(t.Context(), source(t, "email\nb\nc\n"), run.Leave{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"2 a CREATED", "2 b REMOVED", "3 c UNCHANGED"}; !slices.Equal(*reported, want) ||
		len(m.members) != 1 {
		t.Errorf("reported %q, in the account %q, want %q, and one member", *reported, m.members, want)
	}
}

// An empty file must not empty the account.
func TestEmptySourceRemovesNoUsers(t *testing.T) {
	j, _ := job(&memory{members: []string{"a"}}, 2)
	if err := j.Provision(t.Context(), source(t, "email\n"), false); err != nil {
		t.Fatal(err)
	}
	if others, owners, err := j.Others(t.Context()); fault.KindOf(err) != fault.Invalid || len(others)+len(owners) > 0 {
		t.Errorf("Others() = %q, %q, %v, want none and kind %s", others, owners, err, fault.Invalid)
	}
}

// A batch that was sent is finished and reported. The job can be run again afterwards.
func TestInterruption(t *testing.T) {
	m := &memory{}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	m.after = interrupt
	j, reported := job(m, 2)
	if err := j.Provision(ctx, source(t, "email\na\nb\nc\n"), false); !errors.Is(err, run.ErrInterrupted) ||
		len(*reported) != 2 {
		t.Errorf("Provision: got error %v, reported %q, want %v after 2 results", err, *reported, run.ErrInterrupted)
	}
	if _, _, err := j.Others(ctx); !errors.Is(err, run.ErrInterrupted) {
		t.Errorf("Others: got error %v, want %v", err, run.ErrInterrupted)
	}
	j, _ = job(m, 2)
	if err := j.Provision(t.Context(), source(t, "email\na\nb\nc\n"), false); err != nil ||
		j.Counts != (run.Counts{Created: 1, Unchanged: 2}) {
		t.Errorf("again: %v, %s, want 1 created and 2 unchanged", err, j.Counts)
	}
}

func TestErrorsThatStopAJob(t *testing.T) {
	broken := errors.New("broken")
	t.Run("a call", func(t *testing.T) {
		j, reported := job(&memory{err: broken}, 2)
		if err := j.Provision(t.Context(), source(t, "email\na\n"), false); !errors.Is(err, broken) ||
			len(*reported) > 0 {
			t.Errorf("Provision: got error %v, reported %q, want %v and nothing reported", err, *reported, broken)
		}
	})
	t.Run("Report", func(t *testing.T) {
		m := &memory{}
		j, _ := job(m, 1)
		j.Report = func(run.Result) error { return broken }
		if err := j.Provision(t.Context(), source(t, "email\na\nb\n"), false); !errors.Is(err, broken) ||
			len(m.calls) != 1 {
			t.Errorf("Provision: got error %v after calls of %v, want %v after 1", err, m.calls, broken)
		}
	})
	t.Run("the file", func(t *testing.T) {
		m := &memory{}
		j, reported := job(m, 1)
		if err := j.Provision(t.Context(), source(t, "email\na\n\"b\n"), false); fault.KindOf(err) != fault.Invalid ||
			!reflect.DeepEqual(*reported, []string{"2 a CREATED"}) {
			t.Errorf("Provision: got error %v, reported %q, want kind %s after the first row",
				err, *reported, fault.Invalid)
		}
	})
	t.Run("the file, after invalid rows", func(t *testing.T) {
		j, reported := job(&memory{}, 100)
		if err := j.Provision(t.Context(), source(t, "email,role\na,Boss\nb,\n\"c\n"),
			false); fault.KindOf(err) != fault.Invalid || !reflect.DeepEqual(*reported, []string{"2 a FAILED"}) {
			t.Errorf("Provision: got error %v, reported %q, want kind %s after the first row",
				err, *reported, fault.Invalid)
		}
	})
}

func TestReport(t *testing.T) {
	var text strings.Builder
	r, err := run.NewReport(&text)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []run.Result{
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
	check.Equal(t, text.String(), want, "text.String()")
}
