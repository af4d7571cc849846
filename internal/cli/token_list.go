package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/auth"
	"latchkey/internal/config"
	"latchkey/internal/paging"
	"latchkey/internal/token"
)

func (p tokenCommands) list() *cobra.Command {
	var statuses []string
	c := &cobra.Command{Use: "list --account UUID",
		Short: "List the API tokens of an account or of a store, newest first", Args: cobra.NoArgs}
	t := newTokenCommand(p.program, c, config.Links)
	t.forStore(c)
	listFlag(c, &statuses, "status",
		"active, expired or revoked; several separated by commas (default: active,expired)")
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		filter := token.Filter{Statuses: t.in.statuses(statuses)}
		return t.act(c, func(b *backend, by *auth.Principal) error { return t.list(c.Context(), b, by, filter) })
	})
	return c
}

func (in *inputs) statuses(texts []string) []token.Status {
	var all []token.Status
	for _, text := range texts {
		switch status := token.Status(strings.ToUpper(text)); status {
		case token.Active, token.Expired, token.Revoked:
			all = append(all, status)
		default:
			in.wrong("--status", fmt.Sprintf("must be active, expired or revoked, and not %.40q.", text))
		}
	}
	return all
}

func (t *tokenCommand) list(ctx context.Context, b *backend, by *auth.Principal, filter token.Filter) error {
	_, store, err := t.owner(ctx, b, by)
	if err != nil {
		return err
	}
	q, err := b.tokens.Query(filter)
	if err != nil {
		return err
	}
	tokens, err := every(func(w paging.Window) (paging.Page[token.Token], error) {
		if store.ID == uuid.Nil {
			return b.tokens.AccountTokens(ctx, by, q, paging.Request{First: &w.Size, After: cursor(w)})
		}
		pages, err := b.tokens.StoreTokens(ctx, by, []uuid.UUID{store.ID}, q, w)
		return pages[store.ID], err
	})
	if err != nil {
		return err
	}
	baseURL := b.baseURL
	views := []tokenView{}
	for _, one := range tokens {
		views = append(views, viewOf(one, baseURL, q.Now))
	}
	return t.printed(map[string][]tokenView{"apiTokens": views},
		table("ID\tNAME\tSTATUS\tCREATED\tEXPIRES\tLAST USED\tSCOPES", views), func() {})
}

// every fetches all pages of a list.
func every[T any](fetch func(paging.Window) (paging.Page[T], error)) ([]T, error) {
	var all []T
	w := paging.Window{Size: paging.MaxSize}
	for {
		p, err := fetch(w)
		if err != nil {
			return nil, err
		}
		for _, item := range p.Items {
			all = append(all, item.Node)
		}
		if !p.HasNext || len(p.Items) == 0 {
			return all, nil
		}
		w.After = &p.Items[len(p.Items)-1].Key
	}
}

func cursor(w paging.Window) *string {
	if w.After == nil {
		return nil
	}
	c := paging.Cursor(*w.After)
	return &c
}

func (v tokenView) row() []string {
	return []string{v.ID, v.Name, v.Status, dayOf(&v.CreatedAt), dayOf(v.ExpiresAt), dayOf(v.LastUsedAt),
		strings.Join(v.Scopes, " ")}
}

func dayOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format("2006-01-02 15:04")
}

// tokenView is an API token as JSON, named as in the API.
type tokenView struct {
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	Level            string     `json:"level"`
	StoreHash        string     `json:"storeHash,omitempty"`
	APIPath          string     `json:"apiPath"`
	ClientID         string     `json:"clientId"`
	Scopes           []string   `json:"scopes"`
	Status           string     `json:"status"`
	AllowedIPRanges  []string   `json:"allowedIpRanges"`
	ChargeLimit      *limitView `json:"chargeLimit"`
	CreatedAt        time.Time  `json:"createdAt"`
	CreatedBy        string     `json:"createdBy"`
	ExpiresAt        *time.Time `json:"expiresAt"`
	LastUsedAt       *time.Time `json:"lastUsedAt"`
	LastUsedIP       string     `json:"lastUsedIp,omitempty"`
	RevokedAt        *time.Time `json:"revokedAt,omitempty"`
	RevocationReason string     `json:"revocationReason,omitempty"`
}

// limitView is a charge limit as JSON, as in the API.
type limitView struct {
	Amount struct {
		CurrencyCode string      `json:"currencyCode"`
		Value        json.Number `json:"value"`
	} `json:"amount"`
	Per string `json:"per"`
}

func limitOf(l auth.ChargeLimit) *limitView {
	if l.IsZero() {
		return nil
	}
	v := &limitView{Per: token.LimitPeriod}
	v.Amount.CurrencyCode, v.Amount.Value = l.Currency, json.Number(l.Amount())
	return v
}

func viewOf(t token.Token, baseURL string, now time.Time) tokenView {
	v := tokenView{
		ID: token.IDPrefix + t.ID.String(), Name: t.Name, Level: string(t.Level()), StoreHash: t.StoreHash,
		APIPath:  token.APIPath(baseURL, t),
		ClientID: t.ClientID, Scopes: t.Scopes.Names(), Status: string(t.Status(now)), AllowedIPRanges: []string{},
		CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy.Name, ExpiresAt: timeOrNil(t.ExpiresAt),
		LastUsedAt: timeOrNil(t.LastUsedAt), ChargeLimit: limitOf(t.ChargeLimit),
	}
	for _, r := range t.AllowedIPRanges {
		v.AllowedIPRanges = append(v.AllowedIPRanges, r.String())
	}
	if t.LastUsedIP.IsValid() {
		v.LastUsedIP = t.LastUsedIP.String()
	}
	if t.Revocation != nil {
		v.RevokedAt, v.RevocationReason = &t.Revocation.At, t.Revocation.Reason
	}
	return v
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// credentials is the JSON output of token create.
type credentials struct {
	APIToken    tokenView `json:"apiToken"`
	Credentials struct {
		ClientID     string `json:"clientId"`
		ClientSecret string `json:"clientSecret"`
		AccessToken  string `json:"accessToken"`
		APIPath      string `json:"apiPath"`
		File         struct {
			Name    string `json:"name"`
			Content string `json:"content"`
		} `json:"file"`
	} `json:"credentials"`
}

func issuedView(i token.Issued, baseURL string, now time.Time, fileName, fileContent string) credentials {
	c := credentials{APIToken: viewOf(i.Token, baseURL, now)}
	c.Credentials.ClientID = i.Token.ClientID
	c.Credentials.ClientSecret = i.ClientSecret.Reveal()
	c.Credentials.AccessToken = i.AccessToken.Reveal()
	c.Credentials.APIPath = c.APIToken.APIPath
	c.Credentials.File.Name, c.Credentials.File.Content = fileName, fileContent
	return c
}
