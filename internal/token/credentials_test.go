package token_test

import (
	"crypto/rand"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/secret"
	"latchkey/internal/token"
)

const accountUUID = "0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"

func TestAPIPath(t *testing.T) {
	accountLevel := token.Token{AccountID: uuid.MustParse(accountUUID)}
	storeLevel := accountLevel
	storeLevel.StoreID, storeLevel.StoreHash = uuid.New(), "acme1us"
	for _, tc := range []struct {
		name, publicURL string
		token           token.Token
		want            string
	}{
		{"account level", "https://keys.example", accountLevel, "https://keys.example/accounts/" + accountUUID + "/graphql"},
		{"store level", "https://keys.example", storeLevel, "https://keys.example/stores/acme1us/v3/"},
		{"below a path, with a slash at its end", "https://example/keys/", storeLevel, "https://example/keys/stores/acme1us/v3/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := token.APIPath(tc.publicURL, tc.token); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestCredentialsFile(t *testing.T) {
	for _, tc := range []struct{ token, file string }{
		{"Leavers & joiners (HR)", "latchkey-credentials-leavers-joiners-hr.txt"},
		{"../../etc/passwd", "latchkey-credentials-etc-passwd.txt"},
		{"従業員の管理", "latchkey-credentials-client7.txt"},
	} {
		t.Run(tc.token, func(t *testing.T) {
			issued := token.Issued{
				Token:       token.Token{AccountID: uuid.MustParse(accountUUID), Name: tc.token, ClientID: "client7"},
				AccessToken: generate(t, secret.AccountAccessToken), ClientSecret: generate(t, secret.ClientSecret),
			}
			name, content := issued.File("https://keys.example")
			want := "ACCESS TOKEN: " + issued.AccessToken.Reveal() + "\nCLIENT NAME: " + tc.token +
				"\nAPI PATH: https://keys.example/accounts/" + accountUUID + "/graphql\nCLIENT ID: client7\nCLIENT SECRET: " +
				issued.ClientSecret.Reveal() + "\n"
			if name != tc.file || content != want {
				t.Errorf("got %s:\n%s\nwant %s:\n%s", name, content, tc.file, want)
			}
		})
	}
}

func generate(t *testing.T, kind secret.Kind) secret.Secret {
	t.Helper()
	s, err := secret.Generate(rand.Reader, kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
