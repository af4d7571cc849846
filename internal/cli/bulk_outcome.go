package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"latchkey/internal/bulk/run"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
)

// maxListed is the maximum number of failed rows, and of removed users, printed on
// standard error. A report has all failed rows, and the audit log all removals.
const maxListed = 20

// outcome prints the result for each user while a job runs, and a summary at
// its end.
type outcome struct {
	*bulkCommand

	job *run.Job
	bar *progress
	// file is the report file; nil without --report.
	file   *os.File
	report *run.Report
	// items is printed at the end as JSON.
	items  []run.Result
	tokens []tokenToReview
}

func (r *bulkCommand) outcome() (*outcome, error) {
	o := &outcome{bulkCommand: r, bar: r.progress(r.size), items: []run.Result{}, tokens: []tokenToReview{}}
	o.job = &run.Job{Batch: r.batch, Report: o.add}
	if r.reportFile == "" {
		return o, nil
	}
	// The report is readable by its owner only, because it repeats rows of the
	// input.
	file, err := os.OpenFile(r.reportFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, cannot("write", "--report", r.reportFile, err)
	}
	o.file = file
	if o.report, err = run.NewReport(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return o, nil
}

// checkReport returns an error if the report would overwrite a file that the
// command reads, also under another path.
func (r *bulkCommand) checkReport() error {
	// A report that does not exist yet overwrites nothing.
	report, err := os.Stat(r.reportFile)
	token, tokenErr := os.Stat(r.remote.tokenFile)
	if err == nil && (os.SameFile(report, r.input) || tokenErr == nil && os.SameFile(report, token)) {
		return fault.Errorf(fault.Invalid,
			"%s is an input file of the command and would be overwritten. Name another file.",
			r.reportFile).On("--report")
	}
	return nil
}

// add prints the result for one user: a line of the diff or an error.
func (o *outcome) add(r run.Result) error {
	if done := o.job.Counts.All(); done%o.batch == 0 {
		defer o.bar.at(o.read.n.Load(), fmt.Sprintf("%d users", done))
	}
	for _, t := range r.APITokens {
		o.tokens = append(o.tokens, tokenToReview{t, r.Email})
	}
	if o.format == "json" && r.Action != membership.Unchanged {
		o.items = append(o.items, r)
	}
	if r.Action == membership.Failed {
		return o.failed(r)
	}
	if r.Action == membership.Removed && !o.dryRun && o.format == "text" && o.job.Counts.Removed <= maxListed {
		o.bar.hide()
		o.say("removed %s", shown(r.Email))
	}
	if text := diff(r); o.dryRun && o.format == "text" && text != "" {
		o.bar.hide()
		return o.print(text)
	}
	return nil
}

func (o *outcome) failed(r run.Result) error {
	if n := o.job.Counts.Failed; o.format == "text" && n <= maxListed {
		o.bar.hide()
		o.say("%s", lineOfFailure(r))
	}
	if o.report == nil {
		return nil
	}
	return o.report.Add(r)
}

// close prints the counts and completes the report. It returns err, or else an
// error if a row failed.
func (o *outcome) close(err error) error {
	o.bar.hide()
	if o.file != nil {
		err = errors.Join(err, o.addUnreadable(err), o.file.Close())
	}
	counts := o.job.Counts
	if more := counts.Failed - maxListed; more > 0 && o.format == "text" {
		o.say("and %d more that failed; a report (--report FILE) has them all", more)
	}
	if more := counts.Removed - maxListed; more > 0 && o.format == "text" && !o.dryRun {
		o.say("and %d more that were removed; the audit log has them all", more)
	}
	result := bulkResult{o.dryRun, counts, o.items, o.reviewHidden, o.keptOwners}
	text := ""
	if len(o.tokens) > 0 {
		text = table("API TOKEN TO REVIEW\tNAME\tUSER", o.tokens)
	}
	unwritten := o.printed(result, text, func() {
		o.say("%s", counts)
		if o.reviewHidden {
			o.say("the API tokens to review are not listed: the token lacks the scope %s", scope.AccountAPITokensRead)
		}
		if len(o.keptOwners) > 0 {
			o.say("not in the file, but not removed, because they own the account or a store: %s",
				some(o.keptOwners, maxListed))
		}
		if o.dryRun {
			o.say("dry run: nothing was changed")
		}
	})
	switch {
	case err != nil || unwritten != nil:
		return errors.Join(err, unwritten)
	case counts.Failed > 0:
		return fault.Errorf(fault.Invalid, "%s", o.failures(counts))
	}
	return nil
}

// failures describes how many rows failed and what happened to the others.
func (r *bulkCommand) failures(counts run.Counts) string {
	if r.dryRun {
		return fmt.Sprintf("%d of %d would fail; nothing was changed.", counts.Failed, counts.All())
	}
	return fmt.Sprintf("%d of %d failed; the others are done.", counts.Failed, counts.All())
}

// addUnreadable adds to the report the line at which reading the file failed, if
// err is such an error.
func (o *outcome) addUnreadable(err error) error {
	if fault.KindOf(err) != fault.Invalid {
		return nil
	}
	for _, f := range fault.Flatten(err) {
		if line := lineOf(f.Message); line > 0 {
			message := strings.TrimPrefix(f.Message, fmt.Sprintf("line %d: ", line))
			return o.report.Add(run.Result{Line: line, Code: string(f.Kind), Message: message})
		}
	}
	return nil
}

// bulkResult is the JSON output of the commands. Unchanged users are only
// counted.
type bulkResult struct {
	DryRun bool         `json:"dryRun"`
	Counts run.Counts   `json:"counts"`
	Items  []run.Result `json:"items"`
	// ReviewHidden reports that the token may not list the API tokens to review.
	ReviewHidden bool `json:"apiTokensToReviewHidden,omitempty"`
	// KeptOwners are the owners who are not in the file.
	KeptOwners []string `json:"ownersNotInFile,omitempty"`
}

// tokenToReview is an API token whose secret a removed user may know.
type tokenToReview struct {
	run.APIToken
	email string
}

func (t tokenToReview) row() []string { return []string{t.ID, t.Name, shown(t.email)} }

// diff formats the change of a user like diff; empty for an unchanged one.
func diff(r run.Result) string {
	sign := map[membership.ProvisionAction]string{
		membership.Created: "+", membership.Added: "+", membership.Updated: "~", membership.Removed: "-",
	}[r.Action]
	if sign == "" {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", sign, shown(r.Email))
	for _, c := range r.Changes {
		fmt.Fprintf(&text, "    %s: %s\n", c.Field, transition(c))
	}
	return text.String()
}

// transition formats a changed value: the new one, the old one, or both.
func transition(c membership.FieldChange) string {
	switch {
	case c.Before == nil && c.After == nil:
		return "changes"
	case c.Before == nil:
		return fmt.Sprintf("%q", *c.After)
	case c.After == nil:
		return fmt.Sprintf("%q → nothing", *c.Before)
	}
	return fmt.Sprintf("%q → %q", *c.Before, *c.After)
}

// lineOfFailure formats an error with its place: "line 7: ann@acme.example:
// role: …".
func lineOfFailure(r run.Result) string {
	var parts []string
	if r.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", r.Line))
	}
	for _, part := range []string{r.Email, r.Field, r.Message} {
		if part != "" {
			parts = append(parts, shown(part))
		}
	}
	return strings.Join(parts, ": ")
}
