package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"latchkey/internal/fault"
	"latchkey/internal/provision"
	"latchkey/internal/scope"
)

// mostTold bounds how many failed rows are told on standard error: a report
// has them all.
const mostTold = 20

// outcome tells what becomes of people while a job runs, and at its end.
type outcome struct {
	*rosterCommand

	job *provision.Job
	bar *progress
	// file is the report's, nil where none was asked for.
	file   *os.File
	report *provision.Report
	// items are printed at the end as JSON.
	items  []provision.Result
	tokens []tokenToReview
}

func (r *rosterCommand) outcome() (*outcome, error) {
	o := &outcome{rosterCommand: r, bar: r.progress(r.size), items: []provision.Result{}, tokens: []tokenToReview{}}
	o.job = &provision.Job{Batch: r.batch, Tell: o.tell}
	if r.reportFile == "" {
		return o, nil
	}
	// It is for whoever may read the file of people.
	file, err := os.OpenFile(r.reportFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, cannot("write", "--report", r.reportFile, err)
	}
	o.file = file
	if o.report, err = provision.NewReport(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return o, nil
}

// sparing refuses a report that would overwrite what the command reads, by
// whichever path.
func (r *rosterCommand) sparing() error {
	// A report that is not there yet is no other file.
	report, err := os.Stat(r.reportFile)
	token, tokenErr := os.Stat(r.remote.tokenFile)
	if err == nil && (os.SameFile(report, r.input) || tokenErr == nil && os.SameFile(report, token)) {
		return fault.Errorf(fault.Invalid, "%s is a file that the command reads, and would be overwritten. Name another one.", r.reportFile).On("--report")
	}
	return nil
}

// tell tells of one person: a line of the diff, or of what failed.
func (o *outcome) tell(r provision.Result) error {
	if done := o.job.Counts.All(); done%o.batch == 0 {
		defer o.bar.at(o.read.n.Load(), fmt.Sprintf("%d people", done))
	}
	for _, t := range r.APITokens {
		o.tokens = append(o.tokens, tokenToReview{t, r.Email})
	}
	if o.format == "json" && r.Action != provision.Unchanged {
		o.items = append(o.items, r)
	}
	if r.Action == provision.Failed {
		return o.failed(r)
	}
	if text := diff(r); o.dryRun && o.format == "text" && text != "" {
		o.bar.hide()
		return o.print(text)
	}
	return nil
}

func (o *outcome) failed(r provision.Result) error {
	if n := o.job.Counts.Failed; o.format == "text" && n <= mostTold {
		o.bar.hide()
		o.say("%s", lineOfFailure(r))
	}
	if o.report == nil {
		return nil
	}
	return o.report.Add(r)
}

// close tells the counts and ends the report. It returns err, or else an error
// if something failed.
func (o *outcome) close(err error) error {
	o.bar.hide()
	if o.file != nil {
		err = errors.Join(err, o.brokenOff(err), o.file.Close())
	}
	counts := o.job.Counts
	if more := counts.Failed - mostTold; more > 0 && o.format == "text" {
		o.say("and %d more that failed; a report (--report FILE) has them all", more)
	}
	result := rosterResult{o.dryRun, counts, o.items, o.unseen, o.staying}
	text := ""
	if len(o.tokens) > 0 {
		text = table("API TOKEN TO REVIEW\tNAME\tPERSON", o.tokens)
	}
	unwritten := o.printed(result, text, func() {
		o.say("%s", counts)
		if o.unseen {
			o.say("the API tokens to review are not listed: the token lacks %s, which shows them", scope.AccountAPITokensRead)
		}
		if len(o.staying) > 0 {
			o.say("not in the file, and staying, since they own the account or a store: %s", some(o.staying, mostTold))
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

// failures tells how much failed, and what that means for the rest.
func (r *rosterCommand) failures(counts provision.Counts) string {
	if r.dryRun {
		return fmt.Sprintf("%d of %d would fail; nothing was changed.", counts.Failed, counts.All())
	}
	return fmt.Sprintf("%d of %d failed; the others are done.", counts.Failed, counts.All())
}

// brokenOff ends the report with the line after which nothing more could be
// read of the file, if that is what err says.
func (o *outcome) brokenOff(err error) error {
	if fault.KindOf(err) != fault.Invalid {
		return nil
	}
	for _, f := range fault.Flatten(err) {
		if line := lineOf(f.Message); line > 0 {
			message := strings.TrimPrefix(f.Message, fmt.Sprintf("line %d: ", line))
			return o.report.Add(provision.Result{Line: line, Code: string(f.Kind), Message: message})
		}
	}
	return nil
}

// rosterResult is what the commands print as JSON. Those with whom nothing
// was to be done are only counted.
type rosterResult struct {
	DryRun bool               `json:"dryRun"`
	Counts provision.Counts   `json:"counts"`
	Items  []provision.Result `json:"items"`
	// Unseen says that the token may not see the API tokens to review.
	Unseen bool `json:"apiTokensToReviewHidden,omitempty"`
	// Staying are owners who are not in the file.
	Staying []string `json:"ownersNotInFile,omitempty"`
}

// tokenToReview is an API token that somebody knows who left.
type tokenToReview struct {
	provision.APIToken
	person string
}

func (t tokenToReview) row() []string { return []string{t.ID, t.Name, t.person} }

// diff tells what becomes of somebody, as diff does of files; nothing of
// those with whom nothing does.
func diff(r provision.Result) string {
	sign := map[provision.Action]string{
		provision.Created: "+", provision.Added: "+", provision.Updated: "~", provision.Removed: "-",
	}[r.Action]
	if sign == "" {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n", sign, r.Email)
	for _, c := range r.Changes {
		fmt.Fprintf(&text, "    %s: %s\n", c.Field, transition(c))
	}
	return text.String()
}

// transition tells a change: what is new, what was until now, or both.
func transition(c provision.Change) string {
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

// lineOfFailure tells what failed and where: "line 7: ann@acme.example: role: …".
func lineOfFailure(r provision.Result) string {
	var parts []string
	if r.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", r.Line))
	}
	for _, part := range []string{r.Email, r.Field, r.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}
