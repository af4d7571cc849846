package secret

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
)

// Kinds that Find finds although they are not kinds of a Secret.
const (
	// WebhookSigning is the kind of a WebhookSecret. Its text is the prefix.
	WebhookSigning Kind = WebhookPrefix
	// ServerKey is the kind of a server key in a key file. Its text is the first
	// word of the key's line.
	ServerKey Kind = serverKeyWord
)

const serverKeyWord = "key"

// Found is a secret that Find found in a text.
type Found struct {
	// Start and End are the places in the text where the secret begins and ends.
	Start, End int
	Kind       Kind
	// Hint is that of the secret, or the ID of the server key.
	Hint string
}

// Lengths of secrets that Find finds, in bytes.
const (
	serverKeyLength = len(serverKeyWord) + 1 + 2*idLength + 1 + 2*keyLength
	// LongestFound is the length of the longest secret that Find finds. To search a
	// long text in parts, let each part begin with the last LongestFound-1 bytes of
	// the part before it.
	LongestFound = serverKeyLength
)

// Kinds returns all kinds of secrets, in the order of the documentation, without
// those of secrets that other programs made (LegacyAccount).
func Kinds() []Kind {
	return []Kind{
		AccountAccessToken, StoreAccessToken, OAuthAccessToken, ClientSecret, UserSession, Flow, OneTimeLink,
		GatewayKey, WebhookSigning, ServerKey,
	}
}

// Name returns what the documentation calls secrets of the kind.
func (k Kind) Name() string {
	return map[Kind]string{
		AccountAccessToken: "account access token", StoreAccessToken: "store access token",
		OAuthAccessToken: "OAuth access token", ClientSecret: "client secret", UserSession: "user session",
		Flow: "sign-in flow", OneTimeLink: "one-time link", GatewayKey: "gateway key",
		WebhookSigning: "webhook signing secret", ServerKey: "server key",
	}[k]
}

// Find returns the secrets in a text, in the order of their places. It checks
// their check parts, needs no lookup, and returns nil for a text without secrets. A
// secret is found regardless of the characters around it. Webhook signing secrets
// have no check part, and other programs that follow Standard Webhooks may have
// secrets of the same form.
func Find(text []byte) []Found {
	all := findWithK(text)
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte(WebhookPrefix))
		if i < 0 {
			break
		}
		from += i
		if found, is := webhookAt(text[from:]); is {
			all, from = append(all, found.at(from)), from+found.End
		} else {
			from += len(WebhookPrefix)
		}
	}
	slices.SortFunc(all, func(a, b Found) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// findWithK returns the secrets that begin with "lk" or "key ". To search for the
// rare byte that they share is several times faster than to search for both.
func findWithK(text []byte) []Found {
	var all []Found
	for at := 0; ; at++ {
		i := bytes.IndexByte(text[at:], 'k')
		if i < 0 {
			return all
		}
		at += i
		from, found, is := at, Found{}, false
		switch {
		case at+2 >= len(text):
		case text[at+2] == '_' && at > 0 && text[at-1] == 'l':
			from = at - 1
			found, is = secretAt(text[from:])
		case text[at+1] == 'e' && text[at+2] == 'y':
			found, is = serverKeyAt(text[from:])
		}
		if is {
			all, at = append(all, found.at(from)), from+found.End-1
		}
	}
}

// at returns the secret, found at the beginning of a text, as part of a larger text
// that has the former at from.
func (f Found) at(from int) Found {
	f.Start, f.End = f.Start+from, f.End+from
	return f
}

func secretAt(text []byte) (Found, bool) {
	if len(text) < length {
		return Found{}, false
	}
	s, err := Parse(string(text[:length]))
	return Found{End: length, Kind: s.Kind(), Hint: s.Hint()}, err == nil
}

func webhookAt(text []byte) (Found, bool) {
	if len(text) < webhookLength {
		return Found{}, false
	}
	s, err := ParseWebhook(string(text[:webhookLength]))
	if err != nil {
		return Found{}, false
	}
	return Found{End: webhookLength, Kind: WebhookSigning, Hint: s.Hint()}, true
}

// serverKeyAt finds the line of a key in a key file.
func serverKeyAt(text []byte) (Found, bool) {
	if len(text) < serverKeyLength {
		return Found{}, false
	}
	word, rest, _ := bytes.Cut(text[:serverKeyLength], []byte{' '})
	id, key, _ := bytes.Cut(rest, []byte{' '})
	var raw [keyLength]byte
	if string(word) != serverKeyWord || len(key) != hex.EncodedLen(keyLength) {
		return Found{}, false
	}
	if _, err := hex.Decode(raw[:], key); err != nil || KeyID(id) != idOf(raw) {
		return Found{}, false
	}
	return Found{End: serverKeyLength, Kind: ServerKey, Hint: string(id)}, true
}

// Redact returns the text with the hint of each secret in the secret's place.
func Redact(text string) string {
	found := Find([]byte(text))
	if found == nil {
		return text
	}
	var b strings.Builder
	at := 0
	for _, f := range found {
		if f.Start >= at {
			b.WriteString(text[at:f.Start] + f.Hint)
			at = f.End
		}
	}
	return b.String() + text[at:]
}
