package panel

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"time"

	"latchkey/internal/scope"
	"latchkey/internal/secret"
	"latchkey/internal/token"
)

// secretsPage is the data of the page that shows secrets once: those of a new token, or the new access token after
// a rotation.
type secretsPage struct {
	Place *tokenPlace
	Token shownToken
	// Kind is a part of message keys: "created" or "rotated".
	Kind  string
	Shown []shownValue
	// Curl is a command that tries the access token, and Pair are the values of OAuth, if the page shows them.
	Curl  string
	Pair  []shownValue
	Files []shownFile
	// Address is where reloading the page leads, and Done the link that leaves it.
	Address, Done string
	// PreviousEnds is when the previous access token expires, zero for a new token.
	PreviousEnds time.Time
}

// shownValue is a value with a copy button.
type shownValue struct{ ID, Value string }

// shownFile is a file in a data: URL, so that downloading it takes neither a request nor a script.
type shownFile struct {
	Name, Key string
	Content   template.URL
}

// fileKeys are the parts of message keys for the files, in the order of token.Issued.Files.
var fileKeys = []string{"txt", "env", "json"}

func filesShown(files []token.File) []shownFile {
	shown := make([]shownFile, len(files))
	for i, f := range files {
		content := "data:" + f.Type + ";charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(f.Content))
		shown[i] = shownFile{f.Name, fileKeys[i], template.URL(content)} //nolint:gosec // base64, after one of this program's media types
	}
	return shown
}

func accessValues(publicURL string, t token.Token, access secret.Secret) []shownValue {
	return []shownValue{{"access_token", access.Reveal()}, {"api_path", token.APIPath(publicURL, t)}}
}

// curl returns a command for a shell that sends a first request with the access token.
func curl(publicURL string, t token.Token, access secret.Secret) string {
	const next = " \\\n  " // continues the command on another line
	path := token.APIPath(publicURL, t)
	if t.Level() == scope.LevelStore {
		return "curl -sS '" + path + "store'" + next + "-H 'X-Auth-Token: " + access.Reveal() + "'"
	}
	return "curl -sS '" + path + "'" + next + "-H 'X-Auth-Token: " + access.Reveal() + "'" + next +
		"-H 'Content-Type: application/json'" + next + `-d '{"query": "{ viewer { kind scopes } }"}'`
}

func (h *tokenIssueHandler) newSecrets(q *request, p *tokenPlace, i token.Issued) secretsPage {
	return secretsPage{
		Place: p, Token: h.describe(q, p, i.Token), Kind: "created", Files: filesShown(i.Files(h.publicURL)),
		Shown:   accessValues(h.publicURL, i.Token, i.AccessToken),
		Curl:    curl(h.publicURL, i.Token, i.AccessToken),
		Pair:    []shownValue{{"client_id", i.Token.ClientID}, {"client_secret", i.ClientSecret.Reveal()}},
		Address: p.After(), Done: p.After(),
	}
}

func (h *tokenDetailHandler) rotatedSecrets(q *request, p *tokenPlace, r token.Rotation) secretsPage {
	at := p.Address(r.Token)
	// With the same path and query, a link to #access would not leave the page.
	done := at + "?tab=access#access"
	return secretsPage{
		Place: p, Token: h.describe(q, p, r.Token), Kind: "rotated", Files: filesShown(r.Files(h.publicURL)),
		Shown: accessValues(h.publicURL, r.Token, r.AccessToken), Curl: curl(h.publicURL, r.Token, r.AccessToken),
		Address: at, Done: done, PreviousEnds: r.PreviousExpiresAt,
	}
}

// showSecrets shows secrets, and keeps the notice for the page that follows.
func showSecrets(q *request, shown secretsPage, then notice) error {
	if err := q.note(then); err != nil {
		return err
	}
	return tokenSecretsTemplate.show(q, http.StatusOK, shown)
}
