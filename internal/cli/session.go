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

// sessionCommands are the commands for sessions.
type sessionCommands struct{ *program }

func (p sessionCommands) group() *cobra.Command {
	return group("session", "Sessions of users", p.create(), p.list(), p.end())
}

func (p sessionCommands) create() *cobra.Command {
	var email, accountID, ttl string
	c := &cobra.Command{
		Use: "create --email E", Short: "Start a session of a user and print its token", Args: cobra.NoArgs,
		Example: "  TOKEN=$(latchkey session create --email owner@acme.example)",
	}
	c.Flags().StringVar(&email, "email", "", "the user's email address")
	c.Flags().StringVar(&accountID, "account", "", "the account's UUID; required if the user is in several")
	c.Flags().StringVar(&ttl, "ttl", user.DefaultSessionTTL.String(), "how long the session lasts, 1m to 30d")
	must(c.MarkFlagRequired("email"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		var in inputs
		req := user.SessionRequest{Email: email, TTL: in.duration("--ttl", ttl)}
		if strings.TrimSpace(email) == "" {
			in.wrong("--email", "must be an email address.")
		}
		if c.Flags().Changed("account") {
			req.AccountID = in.id("--account", accountID)
		}
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.start(c, req)
	})
	return c
}

// session is the JSON output of session create.
type session struct {
	ID        uuid.UUID `json:"id"`
	Token     string    `json:"token"`
	AccountID uuid.UUID `json:"accountId"`
	UserID    uuid.UUID `json:"userId"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (p sessionCommands) start(c *cobra.Command, req user.SessionRequest) error {
	return p.withBackend(c, config.Needs{Keys: true}, func(b *backend) error {
		if err := b.requireAccount(c.Context(), req.AccountID); err != nil {
			return err
		}
		s, value, err := b.users.StartSession(c.Context(), operator(req.AccountID), req)
		if err != nil {
			return err
		}
		view := session{s.ID, value.Reveal(), s.AccountID, s.UserID, s.ExpiresAt}
		err = p.reveal(view, value.Reveal()+"\n", func() {
			p.say("started a session of %s in account %s, valid until %s (%s)", req.Email, s.AccountID,
				s.ExpiresAt.Format(time.RFC3339), s.ID)
		})
		if err != nil {
			return fmt.Errorf("%w; the session's token could not be printed and cannot be shown again: start another, "+
				"and end this one with \"latchkey session end %s\"", err, s.ID)
		}
		return nil
	})
}

func (p sessionCommands) list() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List active sessions, newest first", Args: cobra.NoArgs}
	filter := newSessionFilter(p.program, c)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return filter.act(c, nil, func(ctx context.Context, s *user.Service, f user.SessionFilter) error {
			live, err := s.Sessions(ctx, operator(f.AccountID), f)
			if err != nil {
				return err
			}
			views := sessionViews(live)
			return p.printed(map[string][]sessionView{"sessions": views},
				table("ID\tUSER\tACCOUNT\tCREATED\tEXPIRES", views), func() {})
		})
	})
	return c
}

func (p sessionCommands) end() *cobra.Command {
	c := &cobra.Command{
		Use: "end ID… | --email E", Short: "End sessions immediately: the named ones, all or none, or all of a user",
		Args:    takes("ID", 0, math.MaxInt),
		Example: "  latchkey session end --email leaver@acme.example",
	}
	filter := newSessionFilter(p.program, c)
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
					p.say("no active session found")
				}
			})
		})
	})
	return c
}

// sessionFilter has the flags that select sessions.
type sessionFilter struct {
	*program

	email, accountID string
}

func newSessionFilter(p *program, c *cobra.Command) *sessionFilter {
	f := &sessionFilter{program: p}
	c.Flags().StringVar(&f.email, "email", "", "the user's email address")
	c.Flags().StringVar(&f.accountID, "account", "", "the account's UUID (default: all accounts)")
	offer(c, config.Storage)
	return f
}

// act parses the flags, opens the backend and calls work.
func (f *sessionFilter) act(c *cobra.Command, ids []string,
	work func(context.Context, *user.Service, user.SessionFilter) error) error {
	var in inputs
	filter := user.SessionFilter{Email: f.email}
	if c.Flags().Changed("email") && strings.TrimSpace(f.email) == "" {
		in.wrong("--email", "must be an email address.")
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
	return f.withBackend(c, config.Needs{}, func(b *backend) error {
		if err := b.requireAccount(c.Context(), filter.AccountID); err != nil {
			return err
		}
		return work(c.Context(), b.users, filter)
	})
}

// sessionView is a session as JSON.
type sessionView struct {
	ID        uuid.UUID `json:"id"`
	AccountID uuid.UUID `json:"accountId"`
	UserID    uuid.UUID `json:"userId"`
	Email     string    `json:"email"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// LastUsedAt is the creation time if the session was never used.
	LastUsedAt time.Time `json:"lastUsedAt"`
	// Method and IP are those of the sign-in; empty for sessions that the
	// operator created.
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
			ID: s.ID, AccountID: s.AccountID, UserID: s.UserID, Email: s.Email, CreatedAt: s.CreatedAt,
			ExpiresAt: s.ExpiresAt, Method: s.Method, IP: s.IP,
			LastUsedAt: s.LastUsedAt,
		})
	}
	return views
}
