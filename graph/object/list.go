package object

// List identifies a paginated list of the API. A cursor ends with the letter of
// its list, so that other lists reject it: all lists are ordered by UUID, and a
// position in one has no meaning in another.
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
)

// bareCursor is the length of a cursor of package page, without a list's letter.
// The API issued such cursors before it added the letter.
const bareCursor = 22

func (l List) cursor(position string) string { return position + string(rune(l)) }

// Position returns the position in a cursor of the list. It returns other cursors
// unchanged: package page rejects those of other lists, and accepts those without
// a letter.
func (l List) Position(cursor *string) *string {
	if cursor == nil || len(*cursor) != bareCursor+1 || (*cursor)[bareCursor] != byte(l) {
		return cursor
	}
	position := (*cursor)[:bareCursor]
	return &position
}
