package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/user"
)

func (p *program) sessionCreateCommand() *cobra.Command {
	var email, accountID, ttl string
	c := &cobra.Command{
		Use: "create --email E", Short: "Start a session of an owner, and print its token", Args: cobra.NoArgs,
		Example: "  TOKEN=$(latchkey session create --email owner@acme.example)",
	}
	c.Flags().StringVar(&email, "email", "", "the owner's e-mail address")
	c.Flags().StringVar(&accountID, "account", "", "the account's UUID; needed when the person owns things in several")
	c.Flags().StringVar(&ttl, "ttl", user.DefaultSessionTTL.String(), "how long the session lasts, 1m to 30d")
	must(c.MarkFlagRequired("email"))
	offer(c, false)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var in inputs
		req := user.SessionRequest{Email: email, TTL: in.span("--ttl", ttl)}
		if strings.TrimSpace(email) == "" {
			in.wrong("--email", "must be an e-mail address.")
		}
		if c.Flags().Changed("account") {
			req.AccountID = in.id("--account", accountID)
		}
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.createSession(c, req)
	})
	return c
}

// session is what session create prints as JSON.
type session struct {
	Token     string    `json:"token"`
	AccountID uuid.UUID `json:"accountId"`
	UserID    uuid.UUID `json:"userId"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (p *program) createSession(c *cobra.Command, req user.SessionRequest) error {
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
	s, value, err := b.users.StartSession(c.Context(), operator(req.AccountID), req)
	if err != nil {
		return err
	}
	err = p.printed(session{value.Reveal(), s.AccountID, s.UserID, s.ExpiresAt}, value.Reveal()+"\n", func() {
		p.say("a session of %s in account %s, until %s", req.Email, s.AccountID, s.ExpiresAt.Format(time.RFC3339))
	})
	if err != nil {
		return fmt.Errorf("%w; the session's token could not be shown and cannot be had again: start another session (this one ends %s)",
			err, s.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}
