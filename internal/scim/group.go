package scim

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/user"
)

// Group is a store as SCIM shows it.
type Group struct {
	ID uuid.UUID
	// DisplayName is the store's name.
	DisplayName string
	// ExternalID and DefaultRole can be empty.
	ExternalID  string
	DefaultRole user.Role
	Members     []Member

	// Created and LastModified are left out if they are zero.
	Created, LastModified time.Time
	// Revision is a text that differs whenever the members do. Version includes it, so that a group has the same
	// version whether its members were read or not.
	Revision string
}

// Member is a user with a membership in a store.
type Member struct {
	ID uuid.UUID
	// Display is the user's displayName.
	Display string
}

// Values returns the group's values for conditions.
func (g Group) Values() Values {
	return once(func(f Field) []string {
		switch f {
		case ID:
			return []string{g.ID.String()}
		case DisplayName:
			return []string{user.FoldText(g.DisplayName)}
		case ExternalID:
			return []string{g.ExternalID}
		case Created:
			return []string{timeText(g.Created)}
		case LastModified:
			return []string{timeText(g.LastModified)}
		case MemberID:
			ids := make([]string, len(g.Members))
			for i, m := range g.Members {
				ids[i] = m.ID.String()
			}
			return ids
		}
		return nil
	})
}

// Document returns the group with all attributes. base is the address of the account's SCIM API without a slash at the
// end.
func (g Group) Document(base string) Document {
	d := Document{"schemas": []string{groupURN}, "id": g.ID.String(), "displayName": g.DisplayName}
	setText(d, "externalId", g.ExternalID)
	if g.DefaultRole != "" {
		d["schemas"] = []string{groupURN, extensionURN}
		d[extensionURN] = Document{"defaultRole": string(g.DefaultRole)}
	}
	if len(g.Members) > 0 {
		members := make([]Document, len(g.Members))
		for i, m := range g.Members {
			members[i] = Document{"value": m.ID.String(), "$ref": User{ID: m.ID}.Location(base), "type": "User"}
			setText(members[i], "display", m.Display)
		}
		d["members"] = members
	}
	d["meta"] = meta(Groups, g.Location(base), g.Version(), g.Created, g.LastModified)
	return d
}

// Location returns the address of the group below that of the account's SCIM API.
func (g Group) Location(base string) string { return base + Groups.Endpoint + "/" + g.ID.String() }

// Version returns the group's weak entity tag. It changes with each attribute that is answered, and with Revision.
func (g Group) Version() string {
	return entityTag([]string{g.ID.String(), g.DisplayName, g.ExternalID, string(g.DefaultRole), timeText(g.Created),
		timeText(g.LastModified), g.Revision})
}

// GroupChange is what a request asks to change of a group. A nil field leaves the attribute unchanged.
type GroupChange struct {
	// ExternalID is empty if the request removes it.
	ExternalID *string
	// DefaultRole is empty if the request removes it, otherwise a role without high-risk permissions.
	DefaultRole *user.Role
	Members     MemberChange
}

// MemberChange is a change of a group's members that does not depend on who they are before. Afterwards, the members
// are those in Add, and those before without Remove or, if RemoveAll is set, without all. So the membership of a member
// who is in Add does not change. No user is in both lists or twice in one.
type MemberChange struct {
	RemoveAll   bool
	Add, Remove []uuid.UUID
}

// Removes reports whether the change can take the membership from a user.
func (m MemberChange) Removes() bool { return m.RemoveAll || len(m.Remove) > 0 }

// Empty reports whether the change has no effect.
func (m MemberChange) Empty() bool { return !m.Removes() && len(m.Add) == 0 }

// ReadGroup reads the body of a PUT. Attributes that the body does not have stay unchanged. It returns errors as
// PatchGroup does.
func ReadGroup(body []byte) (GroupChange, error) {
	root, err := readObject(body)
	if err != nil {
		return GroupChange{}, err
	}
	var w groupWriter
	err = changes{Groups, w.write}.each(opReplace, "", root)
	return w.change(), err
}

// PatchGroup reads the body of a PATCH of a group. It returns an *Error with status 400 and the types invalidSyntax,
// invalidPath, invalidValue, noTarget, mutability or tooMany.
func PatchGroup(body []byte) (GroupChange, error) {
	var w groupWriter
	err := changes{Groups, w.write}.patch(body)
	return w.change(), err
}

// GroupName returns the displayName in the body of a POST, or an *Error with status 400 if it is missing.
func GroupName(body []byte) (string, error) {
	root, err := readObject(body)
	if err != nil {
		return "", err
	}
	value, _ := root.get("displayName")
	name, _ := value.(string)
	if name == "" {
		return "", invalid("invalidValue", "displayName is missing.")
	}
	return name, nil
}

// groupWriter collects the edits of a group.
type groupWriter struct {
	externalID  *string
	defaultRole *user.Role
	removeAll   bool
	// adds has each user who was added, with true, or removed last.
	adds map[uuid.UUID]bool
	// order has the users of adds in the order of the request.
	order []uuid.UUID
}

// change returns the edits so far as one change.
func (w *groupWriter) change() GroupChange {
	c := GroupChange{ExternalID: w.externalID, DefaultRole: w.defaultRole}
	c.Members.RemoveAll = w.removeAll
	for _, id := range w.order {
		switch {
		case w.adds[id]:
			c.Members.Add = append(c.Members.Add, id)
		case !w.removeAll:
			c.Members.Remove = append(c.Members.Remove, id)
		}
	}
	return c
}

func (w *groupWriter) write(e edit) error {
	if e.attribute.Name == "members" {
		return w.writeMembers(e)
	}
	text, err := e.text()
	if err != nil {
		return err
	}
	switch e.name() {
	case "externalId":
		w.externalID = &text
	case "defaultRole":
		role, err := defaultRole(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		w.defaultRole = &role
	}
	return nil
}

// defaultRole reads the name of a role, as the schema lists it or as users see it.
func defaultRole(text string) (user.Role, error) {
	for _, role := range defaultRoles {
		if strings.EqualFold(text, string(role)) || strings.EqualFold(text, role.Name()) {
			return role, nil
		}
	}
	if text == "" {
		return "", nil
	}
	return "", invalid("invalidValue",
		"There is no role %q to give to members. defaultRole is one of %s, or null for none.",
		text, strings.Join(names(defaultRoles), ", "))
}

// writeMembers adds, replaces or removes members. Those that a filter selects are replaced by the value. If it selects
// none, the value is added.
func (w *groupWriter) writeMembers(e edit) error {
	selected, err := selectedIDs(e.where)
	if err != nil {
		return err
	}
	var given []string
	if e.value != nil {
		if given, err = memberIDs(e.value, e.where != nil); err != nil {
			return err
		}
	}
	switch {
	case e.op == opRemove && e.where != nil:
		w.set(selected, false)
		return nil
	case e.op == opRemove && e.value != nil:
		w.set(given, false)
		return nil
	case e.where == nil && e.op != opAdd: // replaced, or removed without a value
		w.removeAll, w.adds, w.order = true, nil, nil
	case e.where != nil && len(given) == 0:
		given = selected
	case e.where != nil:
		w.set(selected, false)
	}
	for _, id := range given {
		if _, err := uuid.Parse(id); err != nil {
			return invalid("invalidValue", "%q is not the id of a user. Name members by the id that users have here.", id)
		}
	}
	w.set(given, true)
	return nil
}

// set adds or removes members. It ignores a text that is not an ID, since a member has one.
func (w *groupWriter) set(ids []string, add bool) {
	if w.adds == nil {
		w.adds = map[uuid.UUID]bool{}
	}
	for _, text := range ids {
		id, err := uuid.Parse(text)
		if err != nil {
			continue
		}
		if _, known := w.adds[id]; !known {
			w.order = append(w.order, id)
		}
		w.adds[id] = add
	}
}

// memberIDs returns the IDs in a value of members: an object with value, an ID, or a list of them. If the path selects
// members, an object may have other attributes only.
func memberIDs(value any, selected bool) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case object:
		id, given := v.get("value")
		if text, ok := id.(string); ok {
			return []string{text}, nil
		}
		if !given && selected {
			return nil, nil
		}
	case []any:
		var all []string
		for _, each := range v {
			ids, err := memberIDs(each, selected)
			if err != nil {
				return nil, err
			}
			all = append(all, ids...)
		}
		return all, nil
	}
	return nil, invalid("invalidValue", `members must be a list of objects such as {"value": "id of the user"}.`)
}

// selectedIDs returns the IDs of the members that a condition selects. They must not depend on who the members are.
func selectedIDs(where Condition) ([]string, error) {
	switch c := where.(type) {
	case nil:
		return nil, nil
	case Comparison:
		if c.Op == Equal {
			return []string{c.Value}, nil
		}
	case Or:
		var all []string
		for _, each := range c {
			ids, err := selectedIDs(each)
			if err != nil {
				return nil, err
			}
			all = append(all, ids...)
		}
		return all, nil
	}
	return nil, invalid("invalidFilter", `Members can be selected only by their value, as in members[value eq "id"].`)
}
