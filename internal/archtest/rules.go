package archtest

// Rule is one convention and how to find what breaks it.
type Rule struct {
	Name   string
	Reason string
	Check  func(Module) []Finding
}

// Rules returns all conventions.
func Rules() []Rule {
	return []Rule{
		{Name: "imports", Check: checkImports,
			Reason: "each finding has its own"},
		{Name: "documented", Check: checkDocumented,
			Reason: "a name alone says neither what fails nor in which unit"},
		{Name: "lengths", Check: checkLengths,
			Reason: "what does not fit in mind is not reviewed"},
		{Name: "package names", Check: checkPackageNames,
			Reason: "a package that is about nothing attracts everything"},
		{Name: "no init", Check: checkNoInit,
			Reason: "what runs before main cannot be given its clock, settings or errors"},
		{Name: "no skipped tests", Check: checkNoSkip,
			Reason: "a test that can skip is green where it proves nothing"},
		{Name: "nothing left for later", Check: checkNothingLeftForLater,
			Reason: "work to do is tracked where it is seen, not in comments"},
		{Name: "no traces of a machine", Check: checkNoMachineTraces,
			Reason: "a clone must work where nothing of its author's machine is"},
		{Name: "no binaries", Check: checkNoBinaries,
			Reason: "nobody can review one, and history keeps it for good"},
		{Name: "make targets", Check: checkMakeTargets,
			Reason: "a guide that names a command which is not there costs a newcomer the first hour"},
	}
}
