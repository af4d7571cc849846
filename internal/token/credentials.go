package token

import (
	"encoding/json"
	"fmt"
	"strings"

	"latchkey/internal/scope"
	"latchkey/internal/secret"
)

// APIPath returns where a token is used, below the public URL of this
// installation (account-level: the Account API; store-level: the store's API,
// behind the platform's gateway).
func APIPath(publicURL string, t Token) string {
	base := strings.TrimRight(publicURL, "/")
	if t.Level() == scope.LevelStore {
		return base + "/stores/" + t.StoreHash + "/v3/"
	}
	return base + "/accounts/" + t.AccountID.String() + "/graphql"
}

// File is a file that holds credentials: secrets, which nobody can have again.
type File struct {
	// Name holds no secret.
	Name string
	// Type is the media type.
	Type    string
	Content string
}

// File returns the credentials as the text file that their owner keeps: a line
// for each, led by a label. It holds the secrets, and nobody can have it again.
func (i Issued) File(publicURL string) (name, content string) {
	file := textFile(i.Token, i.credentials(publicURL))
	return file.Name, file.Content
}

// Files returns the credentials in every form in which their owner can keep
// them: text, a file of variables for shells and what reads .env files, and JSON.
func (i Issued) Files(publicURL string) []File { return filesOf(i.Token, i.credentials(publicURL)) }

func (i Issued) credentials(publicURL string) []credential {
	return append(credentialsOf(i.Token, i.AccessToken, publicURL), credential{"CLIENT SECRET", i.ClientSecret.Reveal()})
}

// Files does so for the new access token of a rotation. The client secret stays
// what it was, and is not there.
func (r Rotation) Files(publicURL string) []File {
	return filesOf(r.Token, credentialsOf(r.Token, r.AccessToken, publicURL))
}

// credential is one value of a file and its label.
type credential struct{ label, value string }

// key is the label as a name for programs.
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

// fileName is the name of a file of t's credentials, without its ending.
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
		panic(fmt.Sprintf("token: texts that are no JSON: %v", err)) // no map of texts is
	}
	return File{fileName(t) + ".json", "application/json", string(object) + "\n"}
}

// quoted writes a value so that a shell, and what else reads .env files, reads
// it as it is. In single quotes nothing has a meaning but those themselves; a
// value that holds one stands in double quotes (POSIX, XCU 2.2.2 and 2.2.3).
func quoted(value string) string {
	if !strings.Contains(value, "'") {
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(value) + `"`
}

// fileWord is the token's name in letters that every file system accepts, or
// its client id when the name has none of them.
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
