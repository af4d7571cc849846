package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/config"
	"latchkey/internal/gateway"
)

func (p *program) gatewayCreateCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "create --name NAME", Short: "Make a key for a gateway, and print it", Args: cobra.NoArgs,
		Example: "  KEY=$(latchkey gateway create --name edge)",
	}
	c.Flags().StringVar(&name, "name", "", fmt.Sprintf("the gateway's name, 1 to %d characters", gateway.MaxName))
	must(c.MarkFlagRequired("name"))
	offer(c, false)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.atGateways(c, func(s *gateway.Service) error { return p.createGateway(c.Context(), s, name) })
	})
	return c
}

// atGateways opens the services and lets work use that of gateways' keys.
func (p *program) atGateways(c *cobra.Command, work func(*gateway.Service) error) error {
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
	return work(b.gateways)
}

// gatewayView is a gateway's key as JSON.
type gatewayView struct {
	ID        uuid.UUID  `json:"id"`
	Name      string     `json:"name"`
	Hint      string     `json:"hint"`
	CreatedAt time.Time  `json:"createdAt"`
	RevokedAt *time.Time `json:"revokedAt"`
	// Key is the secret, in the result of gateway create.
	Key string `json:"key,omitempty"`
}

func gatewayViewOf(k gateway.Key) gatewayView {
	return gatewayView{ID: k.ID, Name: k.Name, Hint: k.Hint, CreatedAt: k.CreatedAt, RevokedAt: given(k.RevokedAt)}
}

func (p *program) createGateway(ctx context.Context, s *gateway.Service, name string) error {
	k, value, err := s.Create(ctx, operator(uuid.Nil), name)
	if err != nil {
		return err
	}
	view := gatewayViewOf(k)
	view.Key = value.Reveal()
	err = p.reveal(view, value.Reveal()+"\n", func() {
		p.say("made key %s of gateway %q; it cannot be shown again", k.ID, k.Name)
	})
	if err == nil {
		return nil
	}
	// A key that nobody got to see would open the check for nobody.
	if gone := s.Delete(context.WithoutCancel(ctx), operator(uuid.Nil), k.ID); gone != nil {
		return fmt.Errorf("%w; the key is lost, and key %s could not be removed, so revoke it yourself: %s", err, k.ID, gone.Error())
	}
	return fmt.Errorf("%w; the key is lost, so it was removed: make another", err)
}

func (p *program) gatewayListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys of gateways, newest first", Args: cobra.NoArgs}
	offer(c, false)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		return p.atGateways(c, func(s *gateway.Service) error {
			keys, err := s.List(c.Context(), operator(uuid.Nil))
			if err != nil {
				return err
			}
			views := []gatewayView{}
			for _, k := range keys {
				views = append(views, gatewayViewOf(k))
			}
			return p.printed(map[string][]gatewayView{"gatewayKeys": views}, table("ID\tNAME\tKEY\tCREATED\tREVOKED", views), func() {})
		})
	})
	return c
}

func (v gatewayView) row() []string {
	return []string{v.ID.String(), v.Name, v.Hint, dayOf(&v.CreatedAt), dayOf(v.RevokedAt)}
}

func (p *program) gatewayRevokeCommand() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "End a gateway's key at once", Args: takes("ID", 1, 1)}
	offer(c, false)
	c.RunE = p.runs(func(c *cobra.Command, args []string) error {
		var in inputs
		id := in.id("ID", args[0])
		if err := in.faults.Err(); err != nil {
			return err
		}
		return p.atGateways(c, func(s *gateway.Service) error {
			k, err := s.Revoke(c.Context(), operator(uuid.Nil), id)
			if err != nil {
				return err
			}
			return p.printed(gatewayViewOf(k), "", func() { p.say("revoked key %s of gateway %q", k.ID, k.Name) })
		})
	})
	return c
}
