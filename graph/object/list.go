package object

import "strings"

// List identifies a paginated list of the API. A cursor ends with the letter of
// its list, so that other lists reject it: a position in one has no meaning in
// another.
type List byte

// The lists. Their letters must not change, because clients store cursors.
const (
	AccountUsers     List = 'u'
	AccountStores    List = 's'
	AccountApps      List = 'a'
	AccountAPITokens List = 't'
	AuditEvents      List = 'e'
	StoreUsers       List = 'U'
	StoreApps        List = 'A'
	StoreAPITokens   List = 'T'
	StoreUserApps    List = 'B'
	UserStores       List = 'S'
	UsersToReview    List = 'r'
	AppEventSources  List = 'E'
	Events           List = 'l'

	AccountWebhooks   List = 'w'
	WebhookDeliveries List = 'd'

	AccountSubscriptions List = 'b'
	AccountCharges       List = 'c'
	AccountInvoices      List = 'i'
	InvoiceLines         List = 'n'
	CheckoutItems        List = 'k'
)

// The lengths of cursors of package paging. The API issued cursors of the first
// length before it added the letter.
const (
	bareCursor    = 22
	bareLogCursor = 54
)

func (l List) cursor(position string) string { return position + string(rune(l)) }

// Position returns the position in a cursor of the list. It returns other cursors
// unchanged: package paging rejects those of other lists, and accepts those without
// a letter.
func (l List) Position(cursor *string) *string {
	if cursor == nil {
		return nil
	}
	bare, of := strings.CutSuffix(*cursor, string(rune(l)))
	if !of || len(bare) != bareCursor && len(bare) != bareLogCursor {
		return cursor
	}
	return &bare
}
