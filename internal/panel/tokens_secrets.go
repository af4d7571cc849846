package panel

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"time"

	"latchkey/internal/token"
)

// secretsPage shows secrets, this once: those of a new token, or the new access
// token of one that was rotated.
type secretsPage struct {
	Place *tokenPlace
	Token shownToken
	// Kind is the part of messages' keys: "created" or "rotated".
	Kind  string
	Shown []shownValue
	Files []shownFile
	// Address is where reloading leads, and Done where to go afterwards.
	Address, Done string
	// PreviousEnds is when the access token before ends; zero for a new token.
	PreviousEnds time.Time
}

// shownValue is one value with a button that copies it.
type shownValue struct{ ID, Value string }

// shownFile is a file as a link to itself, so that it takes no request and no
// script to have it.
type shownFile struct {
	Name, Key string
	Content   template.URL
}

// fileKeys are the files in the order of token.Issued.Files, in messages' keys.
var fileKeys = []string{"txt", "env", "json"}

func filesShown(files []token.File) []shownFile {
	shown := make([]shownFile, len(files))
	for i, f := range files {
		content := "data:" + f.Type + ";charset=utf-8;base64," + base64.StdEncoding.EncodeToString([]byte(f.Content))
		shown[i] = shownFile{f.Name, fileKeys[i], template.URL(content)} //nolint:gosec // base64, after a type of ours
	}
	return shown
}

func newSecrets(v *visit, p *tokenPlace, i token.Issued) secretsPage {
	return secretsPage{
		Place: p, Token: v.inWords(p, i.Token), Kind: "created", Files: filesShown(i.Files(v.PublicURL)),
		Shown: []shownValue{
			{"client_id", i.Token.ClientID}, {"client_secret", i.ClientSecret.Reveal()}, {"access_token", i.AccessToken.Reveal()},
			{"api_path", token.APIPath(v.PublicURL, i.Token)},
		},
		Address: p.After(), Done: withNotice(p.After(), "token_created", 1),
	}
}

func rotatedSecrets(v *visit, p *tokenPlace, r token.Rotation) secretsPage {
	at := p.Address(r.Token)
	return secretsPage{
		Place: p, Token: v.inWords(p, r.Token), Kind: "rotated", Files: filesShown(r.Files(v.PublicURL)),
		Shown:   []shownValue{{"access_token", r.AccessToken.Reveal()}, {"api_path", token.APIPath(v.PublicURL, r.Token)}},
		Address: at, Done: withNotice(at, "token_rotated", 1), PreviousEnds: r.PreviousExpiresAt,
	}
}

func (v *visit) showSecrets(shown secretsPage) error {
	return v.page(http.StatusOK, "token-secrets", shown)
}
