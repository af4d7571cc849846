package token_test

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
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
		{"account level", "https://keys.example", accountLevel,
			"https://keys.example/accounts/" + accountUUID + "/graphql"},
		{"store level", "https://keys.example", storeLevel, "https://keys.example/stores/acme1us/v3/"},
		{"URL with a path and a trailing slash", "https://example/keys/", storeLevel,
			"https://example/keys/stores/acme1us/v3/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check.Equal(t, token.APIPath(tc.publicURL, tc.token), tc.want, "token.APIPath(tc.publicURL, tc.token)")
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
				"\nAPI PATH: https://keys.example/accounts/" + accountUUID +
				"/graphql\nCLIENT ID: client7\nCLIENT SECRET: " +
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

// For any token name, a shell and a JSON parser read the same values, and no file
// name contains a secret.
func TestCredentialsFiles(t *testing.T) {
	for _, name := range []string{
		"Leavers & joiners", `It's "quoted"`, "$HOME `id` $(id) \\", `both ' " $HOME \" \\' end\`, "# no comment",
		"a=b;c|d>e", "従業員's 🔑", "%s %q", "-n",
	} {
		t.Run(name, func(t *testing.T) {
			access := generate(t, secret.StoreAccessToken)
			of := token.Token{AccountID: uuid.MustParse(accountUUID), Name: name, ClientID: "client7"}
			issued := token.Issued{Token: of, AccessToken: access, ClientSecret: generate(t, secret.ClientSecret)}
			want := map[string]string{
				"access_token": access.Reveal(), "client_name": name, "client_id": "client7",
				"api_path":      "https://keys.example/accounts/" + accountUUID + "/graphql",
				"client_secret": issued.ClientSecret.Reveal(),
			}
			wantFiles(t, issued.Files("https://keys.example"), want)
			delete(want, "client_secret")
			wantFiles(t, token.Rotation{Token: of, AccessToken: access}.Files("https://keys.example"), want)
		})
	}
}

func wantFiles(t *testing.T, files []token.File, want map[string]string) {
	t.Helper()
	if len(files) != 3 || !strings.HasSuffix(files[0].Name, ".txt") || !strings.HasSuffix(files[1].Name, ".env") ||
		!strings.HasSuffix(files[2].Name, ".json") {
		t.Fatalf("files: got %d, want a .txt, an .env and a .json file", len(files))
	}
	for _, f := range files {
		for _, value := range []string{want["access_token"], want["client_secret"]} {
			if value != "" && strings.Contains(f.Name, value) {
				t.Error("a file name contains a secret, want none")
			}
		}
	}
	var read map[string]string
	if err := json.Unmarshal([]byte(files[2].Content), &read); err != nil || !maps.Equal(read, want) {
		t.Errorf("the JSON file: other values than those shown, error %v, want the same values", err)
	}
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(files[1].Content), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, value := range want {
		out, err := exec.Command("sh", "-c", `. "$0"; eval "printf %s \"\$$1\""`, path, strings.ToUpper(key)).Output()
		if err != nil || string(out) != value {
			t.Errorf("a shell reads another value of %s, want the one shown: %v", key, err)
		}
	}
	check.Equal(t, strings.Count(files[1].Content, "\n"), len(want), "strings.Count(files[1].Content, \"\\n\")")
}
