package secret

// Password is what a person chose to sign in with. Like Secret it does not
// print or compare.
type Password struct {
	silent

	s *string
}

// NewPassword returns a password as it was typed, whatever it is.
func NewPassword(typed string) Password { return Password{s: &typed} }

// Reveal returns the password as it was typed; of the zero Password that is
// nothing.
func (p Password) Reveal() string {
	if p.s == nil {
		return ""
	}
	return *p.s
}
