package secret

// Password is a user's password. Like Secret it does not print or compare.
type Password struct {
	silent

	s *string
}

// NewPassword returns a password with the text, which it does not check.
func NewPassword(typed string) Password { return Password{s: &typed} }

// Reveal returns the password's text. It returns "" for the zero Password.
func (p Password) Reveal() string {
	if p.s == nil {
		return ""
	}
	return *p.s
}
