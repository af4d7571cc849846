package cli

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/signin"
)

func (p userCommands) resetFactors() *cobra.Command {
	var email string
	c := &cobra.Command{
		Use:   "reset-factors --email E",
		Short: "Remove a user's authenticator app, recovery codes, passkeys and linked sign-ins", Args: cobra.NoArgs,
		Long: "Remove a user's sign-in methods other than the password. The password and the sessions are kept: " +
			"end those with \"latchkey session end --email E\".",
		Example: "  latchkey user reset-factors --email owner@acme.example",
	}
	c.Flags().StringVar(&email, "email", "", "the user's email address")
	must(c.MarkFlagRequired("email"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var in inputs
		if strings.TrimSpace(email) == "" {
			in.wrong("--email", "must be an email address.")
			return in.faults.Err()
		}
		return p.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
			removed, err := b.signIn.ResetFactors(c.Context(), operator(uuid.Nil), email)
			if err != nil {
				return in.with(err)
			}
			b.signIn.SendNotices(c.Context())
			view := newFactorsView(removed)
			return p.printed(view, view.text(), func() {})
		})
	})
	return c
}

// factorsView is the JSON output of user reset-factors.
type factorsView struct {
	AuthenticatorApp bool     `json:"authenticatorApp"`
	RecoveryCodes    int      `json:"recoveryCodes"`
	Passkeys         []string `json:"passkeys"`
	LinkedSignIns    []string `json:"linkedSignIns"`
}

func newFactorsView(removed signin.Removed) factorsView {
	view := factorsView{AuthenticatorApp: removed.TOTP, RecoveryCodes: removed.RecoveryCodes, Passkeys: []string{},
		LinkedSignIns: []string{}}
	for _, each := range removed.Passkeys {
		view.Passkeys = append(view.Passkeys, each.Name)
	}
	for _, each := range removed.Identities {
		view.LinkedSignIns = append(view.LinkedSignIns, each.Email+" at "+each.Issuer)
	}
	return view
}

func (v factorsView) text() string {
	var b strings.Builder
	if v.AuthenticatorApp {
		fmt.Fprintf(&b, "authenticator app, with recovery codes: %d\n", v.RecoveryCodes)
	}
	for _, each := range v.Passkeys {
		fmt.Fprintf(&b, "passkey: %s\n", each)
	}
	for _, each := range v.LinkedSignIns {
		fmt.Fprintf(&b, "linked sign-in: %s\n", each)
	}
	if b.Len() == 0 {
		return "nothing to remove: the user has only a password\n"
	}
	return b.String()
}
