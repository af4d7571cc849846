// Package export writes down who is in an account: everybody, with their
// stores, a page at a time, so that a hundred thousand people take no more
// memory than a few.
package export

import (
	"context"
	"time"
)

// Person is somebody in the account, in the words of the API.
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

// Place is a person's place in a store.
type Place struct {
	StoreHash   string     `json:"storeHash"`
	StoreName   string     `json:"storeName"`
	Role        string     `json:"role"`
	Status      string     `json:"status"`
	Permissions []string   `json:"permissions"`
	LastLoginAt *time.Time `json:"lastLoginAt"`
	UpdatedAt   *time.Time `json:"updatedAt"`
}

// Source returns the people after a place in the list, which is empty for its
// beginning, and the place after them, which is empty at its end.
type Source func(ctx context.Context, after string) (people []Person, next string, err error)

// Copy writes down everybody, page by page: the next page is asked for when the
// last one is written. It returns how many were written, and tells of that
// after each page.
func Copy(ctx context.Context, from Source, to Writer, written func(people int64)) (int64, error) {
	var n int64
	for after := ""; ; {
		people, next, err := from(ctx, after)
		if err != nil {
			return n, err
		}
		if err := to.Write(people); err != nil {
			return n, err
		}
		n += int64(len(people))
		written(n)
		if next == "" {
			return n, to.Close()
		}
		after = next
	}
}
