// Package export writes the users of an account with their stores. It works a page at a time, so memory use does not
// depend on the number of users.
package export

import (
	"context"
	"time"
)

// Person is a user of the account. The fields are named as in the API.
type Person struct {
	ID         string    `json:"id"`
	Email      string    `json:"email"`
	FirstName  string    `json:"firstName"`
	LastName   string    `json:"lastName"`
	Locale     string    `json:"locale"`
	ExternalID *string   `json:"externalId"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	Stores     []Place   `json:"stores"`
}

// Place is a user's membership in a store.
type Place struct {
	StoreHash   string     `json:"storeHash"`
	StoreName   string     `json:"storeName"`
	Role        string     `json:"role"`
	Status      string     `json:"status"`
	Permissions []string   `json:"permissions"`
	LastLoginAt *time.Time `json:"lastLoginAt"`
	UpdatedAt   *time.Time `json:"updatedAt"`
}

// Source returns the page of users after a cursor, and the cursor of the next page. The first cursor is empty; an empty
// next means that there are no more pages.
type Source func(ctx context.Context, after string) (users []Person, next string, err error)

// Copy writes all users page by page. The next page is read after the last one is written. It returns the number of
// users written, and calls written with that number after each page.
func Copy(ctx context.Context, from Source, to Writer, written func(users int64)) (int64, error) {
	var n int64
	for after := ""; ; {
		users, next, err := from(ctx, after)
		if err != nil {
			return n, err
		}
		if err := to.Write(users); err != nil {
			return n, err
		}
		n += int64(len(users))
		written(n)
		if next == "" {
			return n, to.Close()
		}
		after = next
	}
}
