// Package demo creates the demo's data with a manifest, applied through the service that the operator uses, and starts
// a session for an owner.
package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/manifest"
	"latchkey/internal/secret"
	"latchkey/internal/signin"
	"latchkey/internal/user"
)

//go:embed demo.yaml
var demo string

// sessionTTL is long enough for a day of trying things out.
const sessionTTL = 24 * time.Hour

// passwordLength is short enough to type and gives 80 random bits.
const passwordLength = 16

// Demo holds what a new user of the demo needs to start.
type Demo struct {
	AccountID   uuid.UUID
	AccountName string
	OwnerEmail  string
	// Password is the owner's password for the control panel. It is generated at each start, because a demo may be
	// reachable by others.
	Password  secret.Password
	Session   secret.Secret
	ExpiresAt time.Time
}

// Make creates the demo's data where it is missing, gives the first account's owner a password, and starts a session
// for the owner.
func Make(ctx context.Context, manifests *manifest.Service, users *user.Service, signIn *signin.Service) (Demo, error) {
	declared, err := manifest.Parse(strings.NewReader(demo))
	if err != nil {
		return Demo{}, fmt.Errorf("the demo's manifest: %w", err)
	}
	by := auth.OperatorPrincipal()
	if _, err := manifests.Apply(ctx, &by, declared, false); err != nil {
		return Demo{}, err
	}
	first := declared.Accounts[0]
	by.AccountID = first.ID
	password := secret.NewPassword(strings.ToLower(rand.Text()[:passwordLength]))
	if err := signIn.SetPassword(ctx, &by, first.Owner, password); err != nil {
		return Demo{}, err
	}
	session, value, err := users.StartSession(ctx, &by,
		user.SessionRequest{Email: first.Owner, AccountID: first.ID, TTL: sessionTTL})
	if err != nil {
		return Demo{}, err
	}
	return Demo{AccountID: first.ID, AccountName: first.Name, OwnerEmail: first.Owner, Password: password,
		Session: value, ExpiresAt: session.ExpiresAt}, nil
}

// Welcome is the text that the demo prints: its address, the sign-in data, and commands that issue, use and revoke a
// first API token, ready to be pasted into a shell.
func (d Demo) Welcome(baseURL string) string {
	api := strings.TrimRight(baseURL, "/") + "/accounts/" + d.AccountID.String() + "/graphql"
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Open the control panel at %s", baseURL)
	line("")
	line("  Sign in as        %s", d.OwnerEmail)
	line("  with the password %s", d.Password.Reveal())
	line("")
	line("Or continue here, with the Account API and curl:")
	line("")
	line("  The account is      %s (%s)", d.AccountID, d.AccountName)
	line("  The owner's session %s", d.Session.Reveal())
	line("    until             %s", d.ExpiresAt.Format(time.RFC3339))
	line("")
	owner := "'X-Auth-Token: " + d.Session.Reveal() + "'"
	line("Issue a first account-level API token, as the owner:")
	line("")
	line("%s", curl(api, owner, `"query":"mutation { apiToken { createApiToken(input: {name: \"My first token\", `+
		`scopes: [\"account_read\", \"account_users_read\"]}) { apiToken { id } credentials { accessToken clientId clientSecret apiPath } } } }"`))
	line("")
	line("List the account's users with it. Put its accessToken into TOKEN first:")
	line("")
	line("  TOKEN=lka_...")
	line("%s", curl(api, `"X-Auth-Token: $TOKEN"`,
		`"query":"{ account { users(first: 10) { edges { node { email firstName lastName } } collectionInfo { totalItems } } } }"`))
	line("")
	line("Revoke it, as the owner. Put its id into ID first. The list of users is refused then:")
	line("")
	line("  ID=bc/account/apiToken/...")
	line("%s",
		curl(api, owner,
			`"query":"mutation ($id: ID!) { apiToken { revokeApiTokens(input: {ids: [$id]}) { revokedIds revokedAt } } }",`+
				`"variables":{"id":"'"$ID"'"}`))
	line("")
	line("Get such changes as webhooks, at a receiver on this machine: docs/webhooks.md, \"A first webhook\".")
	return b.String()
}

// curl returns a request as a shell command.
func curl(api, header, fields string) string {
	return fmt.Sprintf("  curl -sS '%s' -H 'Content-Type: application/json' -H %s \\\n    --data '{%s}'", api, header,
		fields)
}
