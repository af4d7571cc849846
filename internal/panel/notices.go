package panel

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	// noticeCookie holds the notice for the next page.
	noticeCookie = "__Host-latchkey-notice"
	// noticeLifetime covers the time in which a user saves the secrets that a page shows once.
	noticeLifetime = 30 * time.Minute
	// longestName is how many characters of a name a notice shows.
	longestName = 120
)

// notice is a message about what the visitor just did. It is shown once, on the next page, and the address does not
// contain it: a page that is reloaded or bookmarked does not repeat it, and no other site can make a page show one.
type notice struct {
	// Keys are the keys of messages under "notices". Several messages are shown as one text.
	Keys []string
	// N chooses the form of a message that depends on a number.
	N int
	// Name and Place fill the placeholders {name} and {place}.
	Name, Place string
	// Person is the only visitor who may see the notice, zero for a visitor without a session.
	Person uuid.UUID
	// Warns reports whether something did not work.
	Warns bool
}

// noticeOf returns a notice about one thing with a name.
func noticeOf(key, name string) notice { return notice{Keys: []string{key}, N: 1, Name: name} }

// at returns the notice with the place of the thing.
func (n notice) at(place string) notice {
	n.Place = place
	return n
}

// times returns the notice for a number of things.
func (n notice) times(number int) notice {
	n.N = number
	return n
}

// redirectWithNotice redirects to a page that shows the notice.
func (q *request) redirectWithNotice(to string, n notice) error {
	if err := q.note(n); err != nil {
		return err
	}
	return q.redirect(to)
}

// note keeps a notice for the next page that the visitor opens.
func (q *request) note(n notice) error {
	n.Name, n.Place, n.Person = shortName(n.Name), shortName(n.Place), q.person()
	q.noted = true
	const enough = 4 << 10 // two names of the greatest length take less
	_, err := setSealed(q, noticeCookie, n, q.now().Add(noticeLifetime), enough)
	return err
}

// shortName cuts a long name, such as the URL of a webhook.
func shortName(name string) string {
	if utf8.RuneCountInString(name) <= longestName {
		return name
	}
	return string([]rune(name)[:longestName]) + "…"
}

// person returns the person who is signed in, or zero.
func (q *request) person() uuid.UUID {
	if q.by == nil {
		return uuid.Nil
	}
	return q.by.Person()
}

// takeNotice returns the text of the notice that was kept for this page, and deletes it.
func (q *request) takeNotice() (text string, warns bool) {
	if !q.has(noticeCookie) {
		return "", false
	}
	n, found := readSealed[notice](q, noticeCookie)
	if !q.noted { // a notice for the page after this one stays
		q.dropCookie(noticeCookie)
	}
	if !found || n.Person != q.person() {
		return "", false
	}
	var texts []string
	for _, key := range n.Keys {
		texts = append(texts, n.text(key))
	}
	return strings.Join(texts, " "), n.Warns
}

// text returns a message of the notice, "" for one that a newer version of the program kept.
func (n notice) text(key string) string {
	pairs := []any{"name", n.Name, "place", n.Place}
	if text, err := loadViews().messages.text("notices."+key, pairs...); err == nil {
		return text
	}
	text, err := loadViews().messages.count("notices."+key, n.N, pairs...)
	if err != nil {
		return ""
	}
	return text
}
