package secret_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/internal/secret"
	"latchkey/internal/test/check"
)

func TestWebhookSecret(t *testing.T) {
	key := bytes.Repeat([]byte{0xfb}, 32)
	s, err := secret.GenerateWebhook(bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	text := "whsec_" + base64.StdEncoding.EncodeToString(key)
	check.Equal(t, s.Reveal(), text, "the text")
	check.Equal(t, s.Key(), key, "the key")
	check.Equal(t, s.Hint(), "whsec_…"+text[46:], "the hint")
	check.Equal(t, fmt.Sprintf("%v %+v %#v", s, s, s), "[secret] [secret] [secret]", "what is printed")
	parsed, err := secret.ParseWebhook(text)
	if err != nil || parsed.Reveal() != text {
		t.Errorf("the text is parsed with %v, want the same secret", err)
	}
	if _, err := secret.GenerateWebhook(bytes.NewReader(key[1:])); err == nil {
		t.Error("31 random bytes are enough, want an error")
	}
	var zero secret.WebhookSecret
	check.Equal(t, zero.Reveal()+zero.Hint()+string(zero.Key()), "", "the zero secret")
}

func TestParseWebhookRefuses(t *testing.T) {
	s, err := secret.GenerateWebhook(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := s.Reveal()
	for name, malformed := range map[string]string{
		"nothing": "", "no prefix": text[6:], "another prefix": "whsek_" + text[6:], "cut off": text[:49],
		"too long": text + "A", "of 24 bytes": "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24)),
		"of 33 bytes":  "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"a line break": text[:20] + "\n" + text[20:],
	} {
		if _, err := secret.ParseWebhook(malformed); !errors.Is(err, secret.ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

func TestIn(t *testing.T) {
	token, err := secret.Generate(rand.Reader, secret.AccountAccessToken)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := secret.GenerateWebhook(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"": false, "Nightly export": false, "whsec_ whsec_x": false, token.Reveal(): true,
		"for (" + token.Reveal() + ")": true, "x" + token.Reveal(): false, token.Hint(): false,
		signing.Reveal(): true, "https://a.example/?s=" + signing.Reveal() + "&t=1": true,
		"whsec_" + signing.Reveal(): true, strings.ToLower(token.Reveal()): false, signing.Hint(): false,
	} {
		check.Equal(t, secret.In(text), want, "whether a text of %d characters holds a secret", len(text))
	}
}
