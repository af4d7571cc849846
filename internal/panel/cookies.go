package panel

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"latchkey/internal/secret"
)

// sealer seals what cookies hold for the browser's next requests, so that it is read and written only with the server's
// keys. Any server that shares the keys can continue.
type sealer struct {
	keys   *secret.Keyring
	random io.Reader
}

// sealed is the content of a cookie. A browser need not delete a cookie in time, so its end is part of it.
type sealed[T any] struct {
	Until   time.Time
	Content T
}

// setSealed sets a cookie that only the server reads. It reports false, and sets none, if the content takes more than
// limit bytes.
func setSealed[T any](q *request, name string, content T, until time.Time, limit int) (bool, error) {
	plain, err := json.Marshal(sealed[T]{until, content})
	if err != nil {
		return false, err
	}
	box, err := q.sealer.keys.Seal(q.sealer.random, plain, name)
	if err != nil {
		return false, err
	}
	text := string(box.Key) + "." + base64.RawURLEncoding.EncodeToString(box.Text)
	if len(text) > limit {
		return false, nil
	}
	q.setCookie(name, text, until)
	return true, nil
}

// readSealed returns the content of a cookie that setSealed set, and whether there is one that has not ended.
func readSealed[T any](q *request, name string) (content T, found bool) {
	cookie, err := q.r.Cookie(name)
	if err != nil {
		return content, false
	}
	key, text, _ := strings.Cut(cookie.Value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return content, false
	}
	plain, err := q.sealer.keys.Open(secret.Sealed{Key: secret.KeyID(key), Text: raw}, name)
	if err != nil {
		return content, false
	}
	var read sealed[T]
	if err := json.Unmarshal(plain, &read); err != nil || !q.now().Before(read.Until) {
		return content, false
	}
	return read.Content, true
}

// has reports whether the request has a cookie with the name, and with a value.
func (q *request) has(name string) bool {
	cookie, err := q.r.Cookie(name)
	return err == nil && cookie.Value != ""
}

// setCookie sets a cookie that scripts cannot read and that forms of other sites do not send.
func (q *request) setCookie(name, value string, until time.Time) {
	http.SetCookie(q.w, &http.Cookie{
		Name: name, Value: value, Path: "/", Expires: until, Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}

func (q *request) dropCookie(name string) {
	http.SetCookie(q.w, &http.Cookie{
		Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
