package panel

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// keptCookie holds a form that was sent after its session had ended.
	keptCookie = "__Host-latchkey-form"
	// keptLifetime is how long such a form is kept.
	keptLifetime = time.Hour
	// largestKept is the most bytes of the cookie. Browsers store 4096, with its name and attributes (RFC 6265, section
	// 6.1).
	largestKept = 3800
	// largestForm bounds what is read from a compressed form. It is what a visitor without a session may send.
	largestForm = maxSmallForm
)

// secretFields are the fields that are never kept.
var secretFields = []string{passwordField, confirmationField, presentField, reauthField, reauthPasskeyField, codeField,
	credentialField}

// The fields of a one-time code and of a passkey's response.
const (
	codeField       = "code"
	credentialField = "credential"
)

// keptForm is a form that was sent after its session had ended. It belongs to the person and the account of that
// session.
type keptForm struct {
	// Page is the path of the page that shows the form, and Action is where the form was sent.
	Page, Action string
	// Packed are its values, encoded and compressed.
	Packed          []byte
	Person, Account uuid.UUID
}

// keepForm keeps the submitted form for the user whose session ended, and reports whether it did. A form that is too
// large, that has a secret of its own, or whose user is unknown is not kept.
func (q *request) keepForm(page string) (bool, error) {
	last, known := readSealed[lastSession](q, lastCookie)
	account := q.r.PathValue("account")
	if !known || last.SignedOut || q.unkept || account != "" && account != last.Account.String() {
		return false, nil
	}
	if mode := q.r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false, nil // a script sent it
	}
	values := url.Values{}
	for name, all := range q.r.PostForm {
		switch {
		case name == reauthField || name == reauthPasskeyField: // the rest is a form that was kept once
		case slices.Contains(secretFields, name):
			return false, nil
		default:
			values[name] = all
		}
	}
	at, err := url.Parse(page)
	if err != nil || len(values) == 0 {
		return false, nil //nolint:nilerr // there is nothing to keep
	}
	packed, err := pack(values)
	if err != nil {
		return false, err
	}
	return setSealed(q, keptCookie, keptForm{at.Path, q.r.URL.Path, packed, last.Person, last.Account},
		q.now().Add(keptLifetime), largestKept)
}

// pack encodes and compresses the values of a form.
func pack(values url.Values) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(values); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// values returns the values of the form.
func (f *keptForm) values() (values url.Values, err error) {
	r := flate.NewReader(bytes.NewReader(f.Packed))
	err = json.NewDecoder(io.LimitReader(r, 2*largestForm)).Decode(&values)
	return values, err
}

// takeKept returns the form that was kept for this page and visitor, or nil, and deletes its cookie. A form of another
// visitor is deleted; one of another page stays for that page.
func (q *request) takeKept(status int) *keptForm {
	if q.by == nil || q.r.Method != http.MethodGet || status != http.StatusOK || !q.has(keptCookie) {
		return nil
	}
	f, found := readSealed[keptForm](q, keptCookie)
	mine := found && f.Person == q.by.Person()
	if mine && (f.Account != q.by.AccountID || f.Page != q.r.URL.Path) {
		return nil
	}
	q.dropCookie(keptCookie)
	if !mine {
		return nil
	}
	return &f
}

// isFor reports whether a form of the page with the address as its action is the one that was kept. A form without an
// action is sent to the address of its page (HTML Living Standard, "Form submission algorithm").
func (f *keptForm) isFor(action string) bool {
	if action == "" {
		action = f.Page
	}
	at, err := url.Parse(action)
	return err == nil && strings.TrimSuffix(at.Path, "/") == strings.TrimSuffix(f.Action, "/")
}
