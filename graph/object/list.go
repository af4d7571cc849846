package object

// List is one of the lists that the API has in pages. A cursor ends with the
// letter of its list, so that another list refuses it: both are ordered by
// UUIDs, and the position of one means nothing in the other.
type List byte

// The lists. Their letters are in cursors that clients hold and never change.
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
)

// bareCursor is the length of a cursor of package page, as this API had them
// before they named their list.
const bareCursor = 22

func (l List) cursor(position string) string { return position + string(rune(l)) }

// Position returns the position that a cursor of the list holds. A cursor of
// another list comes back as it is, which package page refuses, and so does
// one that names no list, which it accepts.
func (l List) Position(cursor *string) *string {
	if cursor == nil || len(*cursor) != bareCursor+1 || (*cursor)[bareCursor] != byte(l) {
		return cursor
	}
	position := (*cursor)[:bareCursor]
	return &position
}
