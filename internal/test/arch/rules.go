package arch

// Rule is one convention with a check that finds its violations.
type Rule struct {
	Name   string
	Reason string
	Check  func(Module) []Finding
}

// Rules returns all conventions.
func Rules() []Rule {
	return []Rule{
		{Name: "imports", Check: checkImports,
			Reason: "each finding states its own"},
		{Name: "documented", Check: checkDocumented,
			Reason: "a name does not say what fails or in which unit"},
		{Name: "lengths", Check: checkLengths,
			Reason: "long code is hard to review"},
		{Name: "methods", Check: checkMethods,
			Reason: "a type with many methods does not show what each of them uses"},
		{Name: "columns", Check: checkColumns,
			Reason: "a longer line does not fit where two files are shown beside each other"},
		{Name: "package names", Check: checkPackageNames,
			Reason: "a package without a topic attracts unrelated code"},
		{Name: "no init", Check: checkNoInit,
			Reason: "code that runs before main cannot get a clock or settings, or return errors"},
		{Name: "no skipped tests", Check: checkNoSkip,
			Reason: "a skipped test passes without testing"},
		{Name: "one form of time", Check: checkTimestamps,
			Reason: "stored times have one form, clock.Timestamp"},
		{Name: "cheap hashes", Check: checkCheapHashes,
			Reason: "a cheap hash of a password can be guessed, so only tests make one"},
		{Name: "logs with a context", Check: checkLogs,
			Reason: "the context has the IDs of the request and the trace"},
		{Name: "nothing left for later", Check: checkNothingLeftForLater,
			Reason: "open work is tracked in the issue tracker, not in comments"},
		{Name: "no traces of a machine", Check: checkNoMachineTraces,
			Reason: "a clone must work on any machine"},
		{Name: "no binaries", Check: checkNoBinaries,
			Reason: "a binary cannot be reviewed, and stays in the history permanently"},
		{Name: "make targets", Check: checkMakeTargets,
			Reason: "a guide must not name a command that does not exist"},
		{Name: "citations", Check: checkCitations,
			Reason: "a reader has only this repository"},
	}
}
