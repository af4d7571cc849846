package cli

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/signin"
)

func (p *program) userResetFactorsCommand() *cobra.Command {
	var email string
	c := &cobra.Command{
		Use: "reset-factors --email E", Short: "Remove a person's authenticator app, recovery codes, passkeys and linked sign-ins, when they lost them", Args: cobra.NoArgs,
		Long: "Remove whatever a person proves who they are with besides a password. Their password and their sessions stay: " +
			"end those with \"latchkey session end --email E\".",
		Example: "  latchkey user reset-factors --email owner@acme.example",
	}
	c.Flags().StringVar(&email, "email", "", "the person's e-mail address")
	must(c.MarkFlagRequired("email"))
	offer(c, false)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var in inputs
		if strings.TrimSpace(email) == "" {
			in.wrong("--email", "must be an e-mail address.")
			return in.faults.Err()
		}
		needs := config.Needs{Keys: true}
		cfg, err := p.settings(c, needs)
		if err != nil {
			return err
		}
		b, err := open(c.Context(), cfg, needs, p.commandLog())
		if err != nil {
			return err
		}
		defer b.Close()
		gone, err := b.signIn.ResetFactors(c.Context(), operator(uuid.Nil), email)
		if err != nil {
			return in.with(err)
		}
		b.signIn.SendNotices(c.Context())
		view := newFactorsView(gone)
		return p.printed(view, view.text(), func() {})
	})
	return c
}

// factorsView is what user reset-factors prints as JSON.
type factorsView struct {
	AuthenticatorApp bool     `json:"authenticatorApp"`
	RecoveryCodes    int      `json:"recoveryCodes"`
	Passkeys         []string `json:"passkeys"`
	LinkedSignIns    []string `json:"linkedSignIns"`
}

func newFactorsView(gone signin.Removed) factorsView {
	view := factorsView{AuthenticatorApp: gone.TOTP, RecoveryCodes: gone.RecoveryCodes, Passkeys: []string{}, LinkedSignIns: []string{}}
	for _, each := range gone.Passkeys {
		view.Passkeys = append(view.Passkeys, each.Name)
	}
	for _, each := range gone.Identities {
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
		return "nothing: they had nothing but a password\n"
	}
	return b.String()
}
