package scimapi

import (
	"net/http"

	"latchkey/internal/directory"
	"latchkey/internal/scim"
)

// groupsOf returns a page of groups as documents.
func (q *request) groupsOf(s scim.Search, query directory.Query) (total int64, documents []scim.Document, err error) {
	found, leave, err := q.h.directory.Groups(q.Context(), q.by, query)
	if err != nil {
		return 0, nil, err
	}
	q.leave = leave
	selected := s.Projection(scim.Groups)
	for _, g := range found.Items {
		documents = append(documents, selected.Apply(g.Document(q.base)))
	}
	return found.Total, documents, nil
}

func groupPage(s scim.Search) (directory.Query, error) { return page(s, scim.Groups, "members") }

// listGroups answers with a page of groups.
func listGroups(q *request) error { return q.list(groupPage, q.groupsOf) }

// group answers with the group, as it is now.
func (q *request) group() error {
	selected, err := scim.ReadQuery(q.URL.RawQuery)
	if err != nil {
		return err
	}
	members := selected.Projection(scim.Groups).Has("members")
	g, leave, err := q.h.directory.Group(q.Context(), q.by, q.PathValue("id"), members)
	if err != nil {
		return err
	}
	q.leave = leave
	q.note.Subject = g.DisplayName
	return q.one(http.StatusOK, scim.Groups, g.Document(q.base), g.Version(), g.Location(q.base))
}

func getGroup(q *request) error { return q.group() }

func replaceGroup(q *request) error {
	if err := changeGroup(q, scim.ReadGroup); err != nil {
		return err
	}
	return q.group()
}

// patchGroup answers without the group, which can have many members, unless the request selects attributes.
func patchGroup(q *request) error {
	selected, err := scim.ReadQuery(q.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := changeGroup(q, scim.PatchGroup); err != nil {
		return err
	}
	if selected.Attributes != nil || selected.Excluded != nil {
		return q.group()
	}
	g, leave, err := q.h.directory.Group(q.Context(), q.by, q.PathValue("id"), false)
	if err != nil {
		return err
	}
	leave()
	q.note.Subject = g.DisplayName
	q.w.Header().Set("ETag", g.Version())
	return q.answer(http.StatusNoContent, nil)
}

func changeGroup(q *request, read func([]byte) (scim.GroupChange, error)) error {
	body, err := q.body(directory.MayWrite)
	if err != nil {
		return err
	}
	change, err := read(body)
	if err != nil {
		return err
	}
	return q.h.directory.ChangeGroup(q.Context(), q.by, q.PathValue("id"), q.ifMatch(), change)
}

func createGroup(q *request) error {
	body, err := q.body(directory.MayWrite)
	if err != nil {
		return err
	}
	name, err := scim.GroupName(body)
	if err != nil {
		return err
	}
	q.note.Subject = name
	return q.h.directory.RefuseGroup(q.Context(), q.by, name, "")
}

func deleteGroup(q *request) error {
	return q.h.directory.RefuseGroup(q.Context(), q.by, "", q.PathValue("id"))
}

// searchAll answers with a page of users followed by groups (RFC 7644, section 3.4.3). A filter that only one of them
// has the attributes for selects none of the others.
func searchAll(q *request) error {
	s, err := q.search()
	if err != nil {
		return err
	}
	users, wrongForUsers := userPage(s)
	groups, wrongForGroups := groupPage(s)
	if wrongForUsers != nil && wrongForGroups != nil {
		return wrongForUsers
	}
	var total int64
	var documents []scim.Document
	for _, part := range []struct {
		query directory.Query
		wrong error
		read  reader
	}{{users, wrongForUsers, q.usersOf}, {groups, wrongForGroups, q.groupsOf}} {
		if part.wrong != nil {
			continue
		}
		part.query.Skip = max(0, s.Start-1-int(total))
		part.query.Count = s.Count - len(documents)
		n, found, err := part.read(s, part.query)
		if err != nil {
			return err
		}
		total += n
		documents = append(documents, found...)
	}
	return q.answer(http.StatusOK, scim.ListResponse(total, s.Start, documents))
}
