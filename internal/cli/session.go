package cli

import (
	"context"
	"fmt"
	"math"
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
	c.Flags().StringVar(&accountID, "account", "", "the account's UUID; needed when the person is in several")
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
	ID        uuid.UUID `json:"id"`
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
	if err := b.there(c.Context(), req.AccountID); err != nil {
		return err
	}
	s, value, err := b.users.StartSession(c.Context(), operator(req.AccountID), req)
	if err != nil {
		return err
	}
	err = p.reveal(session{s.ID, value.Reveal(), s.AccountID, s.UserID, s.ExpiresAt}, value.Reveal()+"\n", func() {
		p.say("a session of %s in account %s, until %s (%s)", req.Email, s.AccountID, s.ExpiresAt.Format(time.RFC3339), s.ID)
	})
	if err != nil {
		return fmt.Errorf("%w; the session's token could not be shown and cannot be had again: start another, and end this one with \"latchkey session end %s\"",
			err, s.ID)
	}
	return nil
}

func (p *program) sessionListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the sessions that are live, newest first", Args: cobra.NoArgs}
	filter := p.sessionFilter(c)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return filter.act(c, nil, func(ctx context.Context, s *user.Service, f user.SessionFilter) error {
			live, err := s.Sessions(ctx, operator(f.AccountID), f)
			if err != nil {
				return err
			}
			views := sessionViews(live)
			return p.printed(map[string][]sessionView{"sessions": views}, table("ID\tPERSON\tACCOUNT\tCREATED\tEXPIRES", views), func() {})
		})
	})
	return c
}

func (p *program) sessionEndCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "end ID… | --email E", Short: "End sessions at once: those named, all or none, or all of a person", Args: takes("ID", 0, math.MaxInt),
		Example: "  latchkey session end --email leaver@acme.example",
	}
	filter := p.sessionFilter(c)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		return filter.act(c, args, func(ctx context.Context, s *user.Service, f user.SessionFilter) error {
			ended, err := s.EndSessions(ctx, operator(f.AccountID), f)
			if err != nil {
				return err
			}
			return p.printed(map[string][]sessionView{"endedSessions": sessionViews(ended)}, "", func() {
				for _, one := range ended {
					p.say("ended session %s of %s in account %s", one.ID, one.Email, one.AccountID)
				}
				if len(ended) == 0 {
					p.say("no session is live there")
				}
			})
		})
	})
	return c
}

// sessionFilter is the flags that pick sessions.
type sessionFilter struct {
	*program

	email, accountID string
}

func (p *program) sessionFilter(c *cobra.Command) *sessionFilter {
	f := &sessionFilter{program: p}
	c.Flags().StringVar(&f.email, "email", "", "the person's e-mail address")
	c.Flags().StringVar(&f.accountID, "account", "", "the account's UUID (default: all accounts)")
	offer(c, false)
	return f
}

// act reads the flags, opens the services and runs work with that of sessions.
func (f *sessionFilter) act(c *cobra.Command, ids []string, work func(context.Context, *user.Service, user.SessionFilter) error) error {
	var in inputs
	filter := user.SessionFilter{Email: f.email}
	if c.Flags().Changed("email") && strings.TrimSpace(f.email) == "" {
		in.wrong("--email", "must be an e-mail address.")
	}
	if c.Flags().Changed("account") {
		filter.AccountID = in.id("--account", f.accountID)
	}
	for _, text := range ids {
		filter.IDs = append(filter.IDs, in.id("ID", text))
	}
	if err := in.faults.Err(); err != nil {
		return err
	}
	cfg, err := f.settings(c, config.Needs{})
	if err != nil {
		return err
	}
	b, err := open(c.Context(), cfg, config.Needs{}, f.commandLog())
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.there(c.Context(), filter.AccountID); err != nil {
		return err
	}
	return work(c.Context(), b.users, filter)
}

// sessionView is a session as JSON.
type sessionView struct {
	ID        uuid.UUID `json:"id"`
	AccountID uuid.UUID `json:"accountId"`
	UserID    uuid.UUID `json:"userId"`
	Email     string    `json:"email"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// LastUsedAt is the creation time until the session has been used.
	LastUsedAt time.Time `json:"lastUsedAt"`
	// Method and IP are those of a sign-in; empty for the operator's.
	Method string `json:"method"`
	IP     string `json:"ip"`
}

func (v sessionView) row() []string {
	return []string{v.ID.String(), v.Email, v.AccountID.String(), dayOf(&v.CreatedAt), dayOf(&v.ExpiresAt)}
}

func sessionViews(sessions []user.Session) []sessionView {
	views := []sessionView{}
	for _, s := range sessions {
		views = append(views, sessionView{
			ID: s.ID, AccountID: s.AccountID, UserID: s.UserID, Email: s.Email, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, Method: s.Method, IP: s.IP,
			LastUsedAt: s.LastUsedAt,
		})
	}
	return views
}
