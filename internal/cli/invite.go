package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

func (p userCommands) invite() *cobra.Command {
	var in inputs
	var accountID string
	var details user.Details
	c := &cobra.Command{
		Use:   "invite --account UUID --email E",
		Short: "Invite a user to an account: print a link for setting a password", Args: cobra.NoArgs,
		Example: "  latchkey user invite --account 0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01 --email clerk@acme.example --first-name Clara --last-name Clerk",
	}
	c.Flags().StringVar(&accountID, "account", "", "the account's UUID")
	c.Flags().StringVar(&details.Email, "email", "", "the user's email address")
	c.Flags().StringVar(&details.FirstName, "first-name", "", "the first name of a new user")
	c.Flags().StringVar(&details.LastName, "last-name", "", "the last name of a new user")
	c.Flags().StringVar(&details.Locale, "locale", "en", "the language of a new user, such as en or pt-BR")
	must(c.MarkFlagRequired("account"))
	must(c.MarkFlagRequired("email"))
	mails := c.Flags().Bool("mail", false, "send the link by email instead of printing it; needs --smtp-url")
	offer(c, config.Storage|config.Links|config.Mailing)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		id := in.id("--account", accountID)
		if strings.TrimSpace(details.Email) == "" {
			in.wrong("--email", "must be an email address.")
		}
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.inviteUser(c, id, signin.Invitee{Details: details, Show: !*mails})
	})
	return c
}

// invited is the JSON output of user invite.
type invited struct {
	UserID    uuid.UUID `json:"userId"`
	Email     string    `json:"email"`
	AccountID uuid.UUID `json:"accountId"`
	// Outcome is "shown", with the link, or "mailed".
	Outcome   string    `json:"outcome"`
	Link      string    `json:"link,omitempty"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (p userCommands) inviteUser(c *cobra.Command, accountID uuid.UUID, who signin.Invitee) error {
	needs := config.Needs{Keys: true}
	cfg, err := p.settings(c, needs)
	if err != nil {
		return err
	}
	if !who.Show && cfg.Mail.Host == "" {
		return fault.Errorf(fault.Invalid, "needs --smtp-url, the mail server.").On("--mail")
	}
	b, err := open(c.Context(), cfg, needs, p.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.requireAccount(c.Context(), accountID); err != nil {
		return err
	}
	done, err := b.signIn.Invite(c.Context(), operator(accountID), who)
	if err != nil {
		return err
	}
	text, show := "", p.printed
	if done.Address != "" {
		text, show = done.Address+"\n", p.reveal
	}
	err = show(invited{done.Person.ID, done.Person.Email, accountID, string(done.Outcome), done.Address,
		done.ExpiresAt}, text, func() {
		p.say("%s is in account %s; the link is %s and works once, until %s", done.Person.Email, accountID,
			done.Outcome, done.ExpiresAt.Format(time.RFC3339))
		p.adviseOnURL(b)
	})
	if err != nil {
		return fmt.Errorf("%w; the link is lost: invite the user again", err)
	}
	return nil
}
