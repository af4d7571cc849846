package token

import (
	"encoding/json"
	"fmt"
	"strings"

	"latchkey/internal/account"
	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// IDPrefix begins the IDs of API tokens in the API.
const IDPrefix = account.IDPrefix + "apiToken/"

// APIPath returns the URL of the API that the token is for, under the public URL of
// this installation. For an account-level token that is the Account API; for a
// store-level token, the store's API behind the platform's gateway.
func APIPath(publicURL string, t Token) string {
	base := strings.TrimRight(publicURL, "/")
	if t.Level() == scope.LevelStore {
		return base + "/stores/" + t.StoreHash + "/v3/"
	}
	return base + "/accounts/" + t.AccountID.String() + "/graphql"
}

// File is a file of credentials. Content has secrets that cannot be shown again.
type File struct {
	// Name contains no secret.
	Name string
	// Type is the media type.
	Type    string
	Content string
}

// File returns the credentials as a text file with one labeled line for each. The
// content has the secrets, which cannot be shown again.
func (i Issued) File(publicURL string) (name, content string) {
	file := textFile(i.Token, i.credentials(publicURL))
	return file.Name, file.Content
}

// Files returns the credentials in each file format: text, variables for shells and
// readers of .env files, and JSON.
func (i Issued) Files(publicURL string) []File { return filesOf(i.Token, i.credentials(publicURL)) }

func (i Issued) credentials(publicURL string) []credential {
	return append(credentialsOf(i.Token, i.AccessToken, publicURL),
		credential{"CLIENT SECRET", i.ClientSecret.Reveal()})
}

// Files is Issued.Files for a rotation. The files do not contain the client secret,
// which a rotation does not change.
func (r Rotation) Files(publicURL string) []File {
	return filesOf(r.Token, credentialsOf(r.Token, r.AccessToken, publicURL))
}

// credential is a labeled value in a file.
type credential struct{ label, value string }

// key returns the label as a variable name.
func (c credential) key() string { return strings.ReplaceAll(c.label, " ", "_") }

func credentialsOf(t Token, accessToken secret.Secret, publicURL string) []credential {
	return []credential{
		{"ACCESS TOKEN", accessToken.Reveal()},
		{"CLIENT NAME", t.Name},
		{"API PATH", APIPath(publicURL, t)},
		{"CLIENT ID", t.ClientID},
	}
}

func filesOf(t Token, all []credential) []File {
	return []File{textFile(t, all), variablesFile(t, all), jsonFile(t, all)}
}

// fileName returns the name of a file of t's credentials, without its extension.
func fileName(t Token) string { return "latchkey-credentials-" + fileWord(t) }

func textFile(t Token, all []credential) File {
	var text strings.Builder
	for _, c := range all {
		text.WriteString(c.label + ": " + c.value + "\n")
	}
	return File{fileName(t) + ".txt", "text/plain", text.String()}
}

func variablesFile(t Token, all []credential) File {
	var variables strings.Builder
	for _, c := range all {
		variables.WriteString(c.key() + "=" + quoted(c.value) + "\n")
	}
	return File{fileName(t) + ".env", "text/plain", variables.String()}
}

func jsonFile(t Token, all []credential) File {
	values := map[string]string{}
	for _, c := range all {
		values[strings.ToLower(c.key())] = c.value
	}
	object, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("token: cannot encode strings as JSON: %v", err)) // a map of strings can always be encoded
	}
	return File{fileName(t) + ".json", "application/json", string(object) + "\n"}
}

// quoted quotes a value for shells and other readers of .env files. In single
// quotes only the single quote itself is special; a value that contains one is put
// in double quotes (POSIX, XCU 2.2.2 and 2.2.3).
func quoted(value string) string {
	if !strings.Contains(value, "'") {
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value) + `"`
}

// fileWord returns the token's name, reduced to characters that are safe in file
// names, or its client ID if nothing remains.
func fileWord(t Token) string {
	var word strings.Builder
	for _, r := range strings.ToLower(t.Name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			word.WriteRune(r)
		case word.Len() > 0 && !strings.HasSuffix(word.String(), "-"):
			word.WriteByte('-')
		}
	}
	if name := strings.TrimSuffix(word.String(), "-"); name != "" {
		return name
	}
	return t.ClientID
}
