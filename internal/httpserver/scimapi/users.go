package scimapi

import (
	"net/http"

	"latchkey/internal/directory"
	"latchkey/internal/scim"
)

// page selects a page of resources of a type. It needs details unless the answer has neither them nor the version,
// which they are part of.
func page(s scim.Search, of *scim.ResourceType, details ...string) (directory.Query, error) {
	where, err := s.Condition(of)
	q := directory.Query{Where: where, Skip: s.Start - 1, Count: s.Count}
	selected := s.Projection(of)
	for _, name := range details {
		q.Details = q.Details || selected.Has(name)
	}
	return q, err
}

// reader returns a page of resources as documents, and the number of all that the query selects.
type reader func(s scim.Search, query directory.Query) (total int64, documents []scim.Document, err error)

// list answers with the page of resources that the request asks for.
func (q *request) list(page func(scim.Search) (directory.Query, error), read reader) error {
	s, err := q.search()
	if err != nil {
		return err
	}
	query, err := page(s)
	if err != nil {
		return err
	}
	total, documents, err := read(s, query)
	if err != nil {
		return err
	}
	return q.answer(http.StatusOK, scim.ListResponse(total, s.Start, documents))
}

// usersOf returns a page of users as documents.
func (q *request) usersOf(s scim.Search, query directory.Query) (total int64, documents []scim.Document, err error) {
	found, err := q.h.directory.Users(q.Context(), q.by, query)
	if err != nil {
		return 0, nil, err
	}
	selected := s.Projection(scim.Users)
	for _, u := range found.Items {
		documents = append(documents, selected.Apply(u.Document(q.base)))
	}
	return found.Total, documents, nil
}

func userPage(s scim.Search) (directory.Query, error) { return page(s, scim.Users, "roles", "meta") }

// listUsers answers with a page of users.
func listUsers(q *request) error { return q.list(userPage, q.usersOf) }

// user answers with a user.
func (q *request) user(status int, u scim.User) error {
	q.note.Subject = u.UserName
	return q.one(status, scim.Users, u.Document(q.base), u.Version(), u.Location(q.base))
}

func getUser(q *request) error {
	u, err := q.h.directory.User(q.Context(), q.by, q.PathValue("id"))
	if err != nil {
		return err
	}
	return q.user(http.StatusOK, u)
}

// createUser answers with 201 for a new user, and with 200 for one who was deactivated and is active again.
func createUser(q *request) error {
	body, err := q.body(directory.MayWrite)
	if err != nil {
		return err
	}
	change, err := scim.ReadUser(body)
	if err != nil {
		return err
	}
	q.note.Subject = *change.UserName
	u, added, err := q.h.directory.CreateUser(q.Context(), q.by, change)
	if err != nil {
		return err
	}
	if added {
		return q.user(http.StatusCreated, u)
	}
	return q.user(http.StatusOK, u)
}

func replaceUser(q *request) error { return changeUser(q, scim.ReadUser) }

func patchUser(q *request) error { return changeUser(q, scim.PatchUser) }

func changeUser(q *request, read func([]byte) (scim.UserChange, error)) error {
	body, err := q.body(directory.MayWrite)
	if err != nil {
		return err
	}
	change, err := read(body)
	if err != nil {
		return err
	}
	u, err := q.h.directory.ChangeUser(q.Context(), q.by, q.PathValue("id"), q.ifMatch(), change)
	if err != nil {
		return err
	}
	return q.user(http.StatusOK, u)
}

func deleteUser(q *request) error {
	if err := q.h.directory.RemoveUser(q.Context(), q.by, q.PathValue("id"), q.ifMatch()); err != nil {
		return err
	}
	return q.answer(http.StatusNoContent, nil)
}
