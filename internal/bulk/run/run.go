// Package run adds the users of a list to an account, or removes them from it, in batches: over a running
// server's API or directly through this program's services. A job can be interrupted between two batches and run again.
// Users that are already done are reported as unchanged.
package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"latchkey/internal/bulk/file"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/user"
)

// DefaultBatch is the default of Job.Batch.
const DefaultBatch = 500

// ErrInterrupted reports a job that was stopped between two batches.
var ErrInterrupted = errors.New(
	"interrupted: the rows reported above are saved; run the same command again to continue")

// Result is the result for one user, as the commands print it.
type Result struct {
	// Line is the line in the file, or 0 if the user is not in a file.
	Line   int                        `json:"line,omitempty"`
	Email  string                     `json:"email"`
	Action membership.ProvisionAction `json:"action"`
	// Changes lists the fields that an update changed.
	Changes []membership.FieldChange `json:"changes,omitempty"`
	// Field is the column at fault, Code the API's error code and Message the error text. They are set only for a
	// failed user.
	Field   string `json:"field,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// APITokens lists the tokens whose secret the removed user has seen.
	APITokens []APIToken `json:"apiTokensToReview,omitempty"`
}

// APIToken identifies a token by its ID in the API.
type APIToken struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Counts holds the number of users for each action.
type Counts struct {
	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Added     int `json:"added"`
	Unchanged int `json:"unchanged"`
	Removed   int `json:"removed"`
	Failed    int `json:"failed"`
}

// All returns the total number of users.
func (c Counts) All() int {
	return c.Created + c.Updated + c.Added + c.Unchanged + c.Removed + c.Failed
}

// String returns the counts as text for logs and terminals.
func (c Counts) String() string {
	return fmt.Sprintf("%d created, %d updated, %d added, %d unchanged, %d removed, %d failed",
		c.Created, c.Updated, c.Added, c.Unchanged, c.Removed, c.Failed)
}

func (c *Counts) add(a membership.ProvisionAction) {
	of := map[membership.ProvisionAction]*int{
		membership.Created: &c.Created, membership.Updated: &c.Updated, membership.Added: &c.Added,
		membership.Unchanged: &c.Unchanged, membership.Removed: &c.Removed, membership.Failed: &c.Failed,
	}
	if n := of[a]; n != nil {
		*n++
	}
}

// Target is an account whose users are changed. A call takes at most membership.MaxBulk users and returns one result
// for each, in the same order. An error means that the whole call failed.
type Target interface {
	// Provision adds users to the account, or updates those already in it.
	Provision(ctx context.Context, users []membership.ProvisionItem, dryRun bool) ([]Result, error)
	// Deprovision removes the users with these email addresses from the account.
	Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error)
	// Members calls each with the email address of every member of the account.
	Members(ctx context.Context, each func(email string)) error
}

// Leave holds the options for removing users.
type Leave struct {
	DryRun bool
	// RevokeAPITokens says whether to revoke the API tokens whose secrets the users have seen; nil leaves it to the
	// account's off-boarding policy.
	RevokeAPITokens *bool
}

// Source returns users one by one, as file.Reader does.
type Source interface {
	Next() (file.Row, error)
}

// Job is one run. Set its fields before the first call. A Job is not safe for concurrent use.
type Job struct {
	Target Target
	// Batch is the number of users in one call, 1 to membership.MaxBulk.
	Batch int
	// Report receives the result for each user after each batch. An error from Report stops the job.
	Report func(Result) error
	// Counts counts the results passed to Report.
	Counts Counts

	named map[string]bool
}

// Provision adds the users of the source to the account. An invalid row fails without stopping the others. When ctx
// ends, the job finishes the batch it has sent and returns ErrInterrupted.
func (j *Job) Provision(ctx context.Context, from Source, dryRun bool) error {
	j.named = map[string]bool{}
	return j.each(ctx, from, func(ctx context.Context, rows []file.Row) ([]Result, error) {
		users := make([]membership.ProvisionItem, len(rows))
		for i, row := range rows {
			users[i] = row.ProvisionItem
			j.named[user.Fold(row.Email)] = true
		}
		return j.Target.Provision(ctx, users, dryRun)
	})
}

// Deprovision removes the users of the source from the account. Errors are handled as in Provision.
func (j *Job) Deprovision(ctx context.Context, from Source, leave Leave) error {
	return j.each(ctx, from, func(ctx context.Context, rows []file.Row) ([]Result, error) {
		emails := make([]string, len(rows))
		for i, row := range rows {
			emails[i] = row.Email
		}
		return j.Target.Deprovision(ctx, emails, leave)
	})
}

// Others returns the email addresses of members that were not in the source of Provision: leaving can be removed,
// owners cannot. It returns fault.Invalid if Provision read no users, so that an empty file cannot empty the account.
func (j *Job) Others(ctx context.Context) (leaving, owners []string, err error) {
	if len(j.named) == 0 {
		return nil, nil, fault.Errorf(fault.Invalid,
			"The file lists no users, so every user would be removed.").On("removeOthers")
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
			// A CONFLICT in a dry run means that the user is an owner (user.CheckRemoval).
			if r.Action == membership.Failed && r.Code == string(fault.Conflict) {
				owners = append(owners, r.Email)
			} else {
				leaving = append(leaving, r.Email)
			}
		}
	}
	return leaving, owners, nil
}

// each calls call for every batch of the source and reports the results.
func (j *Job) each(ctx context.Context, from Source, call func(context.Context, []file.Row) ([]Result, error)) error {
	for more := true; more; {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		rows, results, err := j.readBatch(from)
		if more = err == nil; err != nil && !errors.Is(err, io.EOF) {
			return cmp.Or(j.reportAll(results), err)
		}
		if ctx.Err() != nil { // the job was stopped while waiting for input
			return ErrInterrupted
		}
		if len(rows) > 0 {
			// A batch that has been sent is finished, so that its results are known.
			answered, err := call(context.WithoutCancel(ctx), rows)
			if err != nil {
				return err
			}
			if len(answered) != len(rows) {
				return fmt.Errorf("the response holds %d results for %d users", len(answered), len(rows))
			}
			for i, r := range answered {
				r.Line = rows[i].Line
				results = append(results, r)
			}
		}
		slices.SortStableFunc(results, func(a, b Result) int { return a.Line - b.Line })
		if err := j.reportAll(results); err != nil {
			return err
		}
	}
	return nil
}

func (j *Job) reportAll(results []Result) error {
	for _, r := range results {
		j.Counts.add(r.Action)
		if err := j.Report(r); err != nil {
			return err
		}
	}
	return nil
}

// readBatch reads one batch. Invalid rows count towards the size of the batch and are reported with it.
func (j *Job) readBatch(from Source) (rows []file.Row, wrong []Result, err error) {
	for len(rows)+len(wrong) < j.Batch {
		next, err := from.Next()
		var invalid *file.RowError
		switch {
		case errors.As(err, &invalid):
			wrong = append(wrong, failedRow(invalid))
		case err != nil:
			return rows, wrong, err
		default:
			rows = append(rows, next)
		}
	}
	return rows, wrong, nil
}

func failedRow(row *file.RowError) Result {
	r := Result{Line: row.Line, Email: row.Email, Action: membership.Failed, Code: string(fault.Invalid)}
	r.Field, r.Message = row.Faults[0].Field, row.Faults[0].Message
	if len(row.Faults) > 1 {
		r.Message = row.Faults[0].Message + " " + row.Faults[1:].Error()
	}
	return r
}

// Emails returns a source of email addresses that do not come from a file.
func Emails(emails []string) Source { return &addresses{emails} }

type addresses struct{ left []string }

// Next returns the next address, or io.EOF after the last one.
func (a *addresses) Next() (file.Row, error) {
	if len(a.left) == 0 {
		return file.Row{}, io.EOF
	}
	row := file.Row{ProvisionItem: membership.ProvisionItem{Email: a.left[0]}}
	a.left = a.left[1:]
	return row, nil
}
