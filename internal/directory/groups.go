package directory

import (
	"context"
	"strconv"

	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/scim"
	"latchkey/internal/user"
)

// Groups returns a page of groups. A search by another attribute than id and externalId reads the groups one by one. It
// waits for other expensive reads of the account, as a query for the members of groups does. Both return
// fault.RateLimited if they cost too many requests. The caller must call leave when it has encoded the groups, which
// takes long if they have many members; leave is nil if there is an error.
func (s *Service) Groups(ctx context.Context, by *auth.Principal, q Query) (found Page[scim.Group], leave func(),
	err error) {
	if err := MayRead(by); err != nil {
		return Page[scim.Group]{}, nil, err
	}
	leave = func() {}
	switch {
	case walks(q.Where):
		leave, err = s.admit(ctx, by, s.repo.CountGroups)
	case q.Details:
		leave, err = s.enter(ctx, by)
	}
	if err != nil {
		return Page[scim.Group]{}, nil, err
	}
	found, err = s.repo.Groups(ctx, by.AccountID, q)
	if err == nil && q.Details && len(found.Items) > 0 {
		err = s.addMembers(ctx, by, found.Items)
	}
	if err != nil {
		leave()
		return Page[scim.Group]{}, nil, err
	}
	return found, leave, nil
}

// addMembers charges the members of the groups and reads them.
func (s *Service) addMembers(ctx context.Context, by *auth.Principal, groups []scim.Group) error {
	n, err := s.repo.CountMembers(ctx, by.AccountID, groups)
	if err != nil {
		return err
	}
	if err := s.charge(ctx, int(n)); err != nil {
		return err
	}
	return s.repo.AddMembers(ctx, by.AccountID, groups)
}

// Group returns a group, with or without its members, as Groups does. It returns scim.ErrNotFound if the account has no
// store with the ID.
func (s *Service) Group(ctx context.Context, by *auth.Principal, id string, members bool) (g scim.Group, leave func(),
	err error) {
	if err := MayRead(by); err != nil {
		return scim.Group{}, nil, err
	}
	parsed, err := parseID(id)
	if err != nil {
		return scim.Group{}, nil, err
	}
	found, leave, err := s.Groups(ctx, by, Query{Where: idIs(parsed), Count: 1, Details: members})
	if err != nil {
		return scim.Group{}, nil, err
	}
	if g, err = only(found, nil); err != nil {
		leave()
		return scim.Group{}, nil, err
	}
	return g, leave, nil
}

// ChangeGroup changes a group, if ifMatch is empty or names the group's version. It returns scim.ErrNotFound and
// scim.ErrStale.
func (s *Service) ChangeGroup(ctx context.Context, by *auth.Principal, id, ifMatch string,
	change scim.GroupChange) error {
	if err := MayWrite(by); err != nil {
		return err
	}
	parsed, err := parseID(id)
	if err != nil {
		return err
	}
	err = auth.BoundWrite(ctx, func(ctx context.Context) error {
		return s.memberships.EditGroup(ctx, by, parsed, membership.GroupEdit{
			ExternalID: change.ExternalID, DefaultRole: change.DefaultRole, RemoveAll: change.Members.RemoveAll,
			Add: change.Members.Add, Remove: change.Members.Remove,
		}, func(before membership.Group) error {
			if ifMatch != "" && !scim.MatchesTag(ifMatch, GroupOf(before).Version()) {
				return scim.ErrStale
			}
			return nil
		})
	})
	return notFound(err)
}

// GroupOf returns a group as SCIM shows it, without members.
func GroupOf(g membership.Group) scim.Group {
	return scim.Group{ID: g.ID, DisplayName: g.Name, ExternalID: g.ExternalID, DefaultRole: g.DefaultRole,
		Created: g.CreatedAt, Revision: strconv.FormatInt(g.Revision, 10)}
}

// RefuseGroup returns the error for a request that creates a group with the name, or deletes the one with the ID if the
// name is empty: groups are stores, which are neither created nor deleted here.
func (s *Service) RefuseGroup(ctx context.Context, by *auth.Principal, name, id string) error {
	if err := MayWrite(by); err != nil {
		return err
	}
	if name == "" {
		_, leave, err := s.Group(ctx, by, id, false)
		if err != nil {
			return err
		}
		leave()
		return scim.ErrNoGroupChange
	}
	leave, err := s.admit(ctx, by, s.repo.CountGroups)
	if err != nil {
		return err
	}
	defer leave()
	same := scim.Comparison{Field: scim.DisplayName, Op: scim.Equal, Value: user.FoldText(name)}
	found, err := s.repo.Groups(ctx, by.AccountID, Query{Where: same})
	if err == nil && found.Total > 0 {
		err = scim.ErrNameTaken(name)
	}
	if err == nil {
		err = scim.ErrNoGroupChange
	}
	return err
}
