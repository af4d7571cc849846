package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/gateway/keys"
)

// gatewayCommands are the commands for keys of gateways.
type gatewayCommands struct{ *program }

func (p gatewayCommands) group() *cobra.Command {
	return group("gateway", "Keys of gateways, which check tokens", p.create(), p.list(), p.revoke())
}

func (p gatewayCommands) create() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "create --name NAME", Short: "Create a gateway key and print it", Args: cobra.NoArgs,
		Example: "  KEY=$(latchkey gateway create --name edge)",
	}
	c.Flags().StringVar(&name, "name", "", fmt.Sprintf("the gateway's name, 1 to %d characters", keys.MaxName))
	must(c.MarkFlagRequired("name"))
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.with(c, func(s *keys.Service) error { return p.createKey(c.Context(), s, name) })
	})
	return c
}

// with calls work with the gateway service.
func (p gatewayCommands) with(c *cobra.Command, work func(*keys.Service) error) error {
	return p.withBackend(c, config.Needs{Keys: true}, func(b *backend) error { return work(b.gateways) })
}

// gatewayView is a gateway key as JSON.
type gatewayView struct {
	ID        uuid.UUID  `json:"id"`
	Name      string     `json:"name"`
	Hint      string     `json:"hint"`
	CreatedAt time.Time  `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt"`
	// Key is the secret. Only gateway create sets it.
	Key string `json:"key,omitempty"`
}

func gatewayViewOf(k keys.Key) gatewayView {
	return gatewayView{ID: k.ID, Name: k.Name, Hint: k.Hint, CreatedAt: k.CreatedAt, RevokedAt: timeOrNil(k.RevokedAt)}
}

func (p gatewayCommands) createKey(ctx context.Context, s *keys.Service, name string) error {
	k, value, err := s.Create(ctx, operator(uuid.Nil), name)
	if err != nil {
		return err
	}
	view := gatewayViewOf(k)
	view.Key = value.Reveal()
	err = p.reveal(view, value.Reveal()+"\n", func() {
		p.say("created key %s of gateway %q; it cannot be shown again", k.ID, k.Name)
	})
	if err == nil {
		return nil
	}
	// The key was not shown, so it is of no use. Delete it.
	if failed := s.Delete(context.WithoutCancel(ctx), operator(uuid.Nil), k.ID); failed != nil {
		return fmt.Errorf("%w; the key is lost, and key %s could not be deleted; revoke it: %s", err, k.ID,
			failed.Error())
	}
	return fmt.Errorf("%w; the key is lost and was deleted: create another", err)
}

func (p gatewayCommands) list() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys of gateways, newest first", Args: cobra.NoArgs}
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.with(c, func(s *keys.Service) error {
			keys, err := s.List(c.Context(), operator(uuid.Nil))
			if err != nil {
				return err
			}
			views := []gatewayView{}
			for _, k := range keys {
				views = append(views, gatewayViewOf(k))
			}
			return p.printed(map[string][]gatewayView{"gatewayKeys": views},
				table("ID\tNAME\tKEY\tCREATED\tREVOKED", views), func() {})
		})
	})
	return c
}

func (v gatewayView) row() []string {
	return []string{v.ID.String(), v.Name, v.Hint, dayOf(&v.CreatedAt), dayOf(v.RevokedAt)}
}

func (p gatewayCommands) revoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "Revoke a gateway key immediately", Args: takes("ID", 1, 1)}
	offer(c, config.Storage)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		var in inputs
		id := in.id("ID", args[0])
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.with(c, func(s *keys.Service) error {
			k, err := s.Revoke(c.Context(), operator(uuid.Nil), id)
			if err != nil {
				return err
			}
			return p.printed(gatewayViewOf(k), "", func() { p.say("revoked key %s of gateway %q", k.ID, k.Name) })
		})
	})
	return c
}
