package token

import (
	"fmt"
	"strings"

	"latchkey/internal/scope"
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

// File returns the credentials as the text file that their owner keeps: a line
// for each, led by a label. It holds the secrets, and nobody can have it again.
func (i Issued) File(publicURL string) (name, content string) {
	lines := []struct{ label, value string }{
		{"ACCESS TOKEN", i.AccessToken.Reveal()},
		{"CLIENT NAME", i.Token.Name},
		{"API PATH", APIPath(publicURL, i.Token)},
		{"CLIENT ID", i.Token.ClientID},
		{"CLIENT SECRET", i.ClientSecret.Reveal()},
	}
	var text strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&text, "%s: %s\n", line.label, line.value)
	}
	return "latchkey-credentials-" + fileWord(i.Token) + ".txt", text.String()
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
