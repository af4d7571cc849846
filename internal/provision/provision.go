// Package provision works through a list of people, to put them into an account
// or take them out of it, in batches: over a running server's API or over the
// services of this program. It can be ended between two batches, and begun
// again: what is done stays done, and is not done twice.
package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"latchkey/internal/fault"
	"latchkey/internal/roster"
	"latchkey/internal/user"
)

const (
	// MaxBatch is how many people one call is about at most; the API takes no
	// more.
	MaxBatch = 1000
	// DefaultBatch is how many are sent at once unless told otherwise.
	DefaultBatch = 500
)

// ErrInterrupted is the end of a job between two batches.
var ErrInterrupted = errors.New("interrupted: what is told of is done, the rest is not. Run the same again to go on: what is done is not done twice")

// Action is what became of a person, or would in a dry run. The values are
// the API's (ProvisionAction).
type Action string

// The actions.
const (
	Created   Action = "CREATED"
	Updated   Action = "UPDATED"
	Added     Action = "ADDED"
	Unchanged Action = "UNCHANGED"
	Removed   Action = "REMOVED"
	Failed    Action = "FAILED"
)

// Result is what became of one person, as the commands print it.
type Result struct {
	// Line is that of the file, 0 for somebody who is in no file.
	Line   int    `json:"line,omitempty"`
	Email  string `json:"email"`
	Action Action `json:"action"`
	// Changes are what an update changed.
	Changes []Change `json:"changes,omitempty"`
	// Field is the column at fault, Code the API's code and Message for people;
	// of what failed alone.
	Field   string `json:"field,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// APITokens are those that somebody who left knows.
	APITokens []APIToken `json:"apiTokensToReview,omitempty"`
}

// Change is one thing of a person that is not as it was. What was not or is
// not any more is nil.
type Change struct {
	Field  string  `json:"field"`
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// APIToken is a token by its id in the API.
type APIToken struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Counts are how many people what became of.
type Counts struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Added     int `json:"added"`
	Unchanged int `json:"unchanged"`
	Removed   int `json:"removed"`
	Failed    int `json:"failed"`
}

// All is how many people they are together.
func (c Counts) All() int {
	return c.Created + c.Updated + c.Added + c.Unchanged + c.Removed + c.Failed
}

// String is for people.
func (c Counts) String() string {
	return fmt.Sprintf("%d created, %d updated, %d added, %d unchanged, %d removed, %d failed",
		c.Created, c.Updated, c.Added, c.Unchanged, c.Removed, c.Failed)
}

func (c *Counts) add(a Action) {
	of := map[Action]*int{
		Created: &c.Created, Updated: &c.Updated, Added: &c.Added, Unchanged: &c.Unchanged, Removed: &c.Removed, Failed: &c.Failed,
	}
	if n := of[a]; n != nil {
		*n++
	}
}

// Target is an account whose people are changed. A call is about MaxBatch
// people at most and answers a result for each of them, in their order. Its
// error is one about the whole call.
type Target interface {
	// Provision puts people into the account, or makes them as they should be.
	Provision(ctx context.Context, people []roster.Person, dryRun bool) ([]Result, error)
	// Deprovision takes the people of these addresses out of the account.
	Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error)
	// Members hands over the address of everybody who is in the account.
	Members(ctx context.Context, each func(email string)) error
}

// Leave says how people leave.
type Leave struct {
	DryRun bool
	// RevokeAPITokens ends at once the API tokens that they know.
	RevokeAPITokens bool
}

// Source hands over people, as roster.Reader does.
type Source interface {
	Next() (roster.Person, error)
}

// Job is one run. Its fields are set before; it is not safe for concurrent
// use.
type Job struct {
	Target Target
	// Batch is how many people are sent at once, 1 to MaxBatch.
	Batch int
	// Tell is told what became of each person, batch by batch. Its error ends
	// the job.
	Tell func(Result) error
	// Counts are of all that was told.
	Counts Counts

	named map[string]bool
}

// Provision puts the people of the source into the account. Rows that are
// wrong fail by themselves. When ctx ends the job does with ErrInterrupted,
// once the batch is done that was sent.
func (j *Job) Provision(ctx context.Context, from Source, dryRun bool) error {
	j.named = map[string]bool{}
	return j.each(ctx, from, func(ctx context.Context, people []roster.Person) ([]Result, error) {
		for _, p := range people {
			j.named[user.Fold(p.Email)] = true
		}
		return j.Target.Provision(ctx, people, dryRun)
	})
}

// Deprovision takes the people of the source out of the account, as Provision
// puts them there.
func (j *Job) Deprovision(ctx context.Context, from Source, leave Leave) error {
	return j.each(ctx, from, func(ctx context.Context, people []roster.Person) ([]Result, error) {
		emails := make([]string, len(people))
		for i, p := range people {
			emails[i] = p.Email
		}
		return j.Target.Deprovision(ctx, emails, leave)
	})
}

// Others returns the addresses of those who are in the account and whom
// Provision was not told of: those who can be removed, and owners, who stay. It
// returns fault.Invalid when Provision was told of nobody: a file that is empty
// by mistake must not empty the account.
func (j *Job) Others(ctx context.Context) (leaving, owners []string, err error) {
	if len(j.named) == 0 {
		return nil, nil, fault.Errorf(fault.Invalid, "The file names nobody, so everybody would be removed.").On("removeOthers")
	}
	var others []string
	err = j.Target.Members(ctx, func(email string) {
		if !j.named[user.Fold(email)] {
			others = append(others, email)
		}
	})
	if ctx.Err() != nil {
		return nil, nil, ErrInterrupted
	}
	if err != nil {
		return nil, nil, err
	}
	for batch := range slices.Chunk(others, j.Batch) {
		if ctx.Err() != nil {
			return nil, nil, ErrInterrupted
		}
		results, err := j.Target.Deprovision(context.WithoutCancel(ctx), batch, Leave{DryRun: true})
		if err != nil {
			return nil, nil, err
		}
		for _, r := range results {
			// Only owners are refused for the present state (user.CheckRemoval).
			if r.Action == Failed && r.Code == string(fault.Conflict) {
				owners = append(owners, r.Email)
			} else {
				leaving = append(leaving, r.Email)
			}
		}
	}
	return leaving, owners, nil
}

// each works through the source.
func (j *Job) each(ctx context.Context, from Source, call func(context.Context, []roster.Person) ([]Result, error)) error {
	for more := true; more; {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		people, results, err := j.gather(from)
		if more = err == nil; err != nil && !errors.Is(err, io.EOF) {
			return cmp.Or(j.tell(results), err)
		}
		if ctx.Err() != nil { // while standard input had nothing to say
			return ErrInterrupted
		}
		if len(people) > 0 {
			// What was begun is ended, so that nobody has to guess.
			answered, err := call(context.WithoutCancel(ctx), people)
			if err != nil {
				return err
			}
			if len(answered) != len(people) {
				return fmt.Errorf("the answer is about %d people instead of %d", len(answered), len(people))
			}
			for i, r := range answered {
				r.Line = people[i].Line
				results = append(results, r)
			}
		}
		slices.SortStableFunc(results, func(a, b Result) int { return a.Line - b.Line })
		if err := j.tell(results); err != nil {
			return err
		}
	}
	return nil
}

func (j *Job) tell(results []Result) error {
	for _, r := range results {
		j.Counts.add(r.Action)
		if err := j.Tell(r); err != nil {
			return err
		}
	}
	return nil
}

// gather reads people for a batch. Rows that are wrong count as well: they are
// told of with the batch.
func (j *Job) gather(from Source) (people []roster.Person, wrong []Result, err error) {
	for len(people)+len(wrong) < j.Batch {
		p, err := from.Next()
		var row *roster.RowError
		switch {
		case errors.As(err, &row):
			wrong = append(wrong, failedRow(row))
		case err != nil:
			return people, wrong, err
		default:
			people = append(people, p)
		}
	}
	return people, wrong, nil
}

func failedRow(row *roster.RowError) Result {
	r := Result{Line: row.Line, Email: row.Email, Action: Failed, Code: string(fault.Invalid)}
	r.Field, r.Message = row.Faults[0].Field, row.Faults[0].Message
	if len(row.Faults) > 1 {
		r.Message = row.Faults[0].Message + " " + row.Faults[1:].Error()
	}
	return r
}

// Emails is a source of addresses that stand in no file.
func Emails(emails []string) Source { return &addresses{emails} }

type addresses struct{ left []string }

// Next returns the next address, and io.EOF after the last.
func (a *addresses) Next() (roster.Person, error) {
	if len(a.left) == 0 {
		return roster.Person{}, io.EOF
	}
	p := roster.Person{Email: a.left[0]}
	a.left = a.left[1:]
	return p, nil
}
