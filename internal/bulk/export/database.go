package export

import (
	"context"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/paging"
	"latchkey/internal/user"
)

// FromDatabase returns a source that reads users through their service, as the principal.
func FromDatabase(users *user.Service, by *auth.Principal, f user.Filter) Source {
	d := database{users, by}
	return func(ctx context.Context, after string) ([]Person, string, error) { return d.page(ctx, f, after) }
}

type database struct {
	users *user.Service
	by    *auth.Principal
}

// page reads a page of users and their stores.
func (d database) page(ctx context.Context, f user.Filter, after string) ([]Person, string, error) {
	size := paging.MaxSize
	request := paging.Request{First: &size}
	if after != "" {
		request.After = &after
	}
	listed, err := d.users.Users(ctx, d.by, f, request)
	if err != nil {
		return nil, "", err
	}
	ids := make([]uuid.UUID, len(listed.Items))
	for i, item := range listed.Items {
		ids[i] = item.Key
	}
	places, err := d.places(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	all := make([]Person, len(ids))
	for i, item := range listed.Items {
		all[i] = personOf(item.Node, places[item.Key])
	}
	next := ""
	if listed.HasNext && len(ids) > 0 {
		next = paging.Cursor(ids[len(ids)-1])
	}
	return all, next, nil
}

// places reads all stores of the users. Users with more than one page of stores are read page by page.
func (d database) places(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]user.StorePlace, error) {
	all := make(map[uuid.UUID][]user.StorePlace, len(ids))
	w := paging.Window{Size: paging.MaxSize}
	pages, err := d.users.UserPlaces(ctx, d.by, ids, w)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		p := pages[id]
		for {
			for _, item := range p.Items {
				all[id] = append(all[id], item.Node)
			}
			if !p.HasNext || len(p.Items) == 0 {
				break
			}
			w.After = &p.Items[len(p.Items)-1].Key
			more, err := d.users.UserPlaces(ctx, d.by, []uuid.UUID{id}, w)
			if err != nil {
				return nil, err
			}
			p = more[id]
		}
	}
	return all, nil
}

func personOf(u user.User, places []user.StorePlace) Person {
	p := Person{
		ID: user.IDPrefix + u.ID.String(), Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		Locale:    u.Locale,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt, Stores: make([]Place, len(places)),
	}
	if u.ExternalID != "" {
		p.ExternalID = &u.ExternalID
	}
	for i, place := range places {
		p.Stores[i] = Place{
			StoreHash: place.Store.Hash, StoreName: place.Store.Name, Role: string(place.Role()),
			Status:      string(place.Status),
			Permissions: append([]string{}, place.Permissions...), LastLoginAt: timeOrNil(place.LastLoginAt),
			UpdatedAt: timeOrNil(place.UpdatedAt),
		}
	}
	return p
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
