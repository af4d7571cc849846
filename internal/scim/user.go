package scim

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/user"
)

// User is a user of an account as SCIM shows it.
type User struct {
	ID uuid.UUID
	// UserName is the email address.
	UserName string
	// ExternalID, the names and Locale can be empty.
	ExternalID, GivenName, FamilyName, Locale string
	// Active is false for a user who was deactivated. A user who has not accepted the membership yet is active.
	Active bool
	// Roles are in the order of ByHash.
	Roles []StoreRole

	Created, LastModified time.Time
}

// StoreRole is a user's role in a store.
type StoreRole struct {
	// Hash and Name are those of the store.
	Hash, Name string
	Role       user.Role
}

// ByHash orders roles by the hashes of their stores. Users have their roles in this order.
func ByHash(a, b StoreRole) int { return strings.Compare(a.Hash, b.Hash) }

// FormattedName returns the first and the last name, or "" if the user has neither.
func (u User) FormattedName() string { return strings.TrimSpace(u.GivenName + " " + u.FamilyName) }

// DisplayName returns the first and the last name, or the address if the user has neither.
func (u User) DisplayName() string {
	if name := u.FormattedName(); name != "" {
		return name
	}
	return u.UserName
}

// Values returns the user's values for conditions.
func (u User) Values() Values {
	return once(func(f Field) []string {
		switch f {
		case ID:
			return []string{u.ID.String()}
		case UserName:
			return []string{user.Fold(u.UserName)}
		case ExternalID:
			return []string{u.ExternalID}
		case GivenName:
			return []string{user.FoldText(u.GivenName)}
		case FamilyName:
			return []string{user.FoldText(u.FamilyName)}
		case FormattedName:
			return []string{user.FoldText(u.FormattedName())}
		case DisplayName:
			return []string{user.FoldText(u.DisplayName())}
		case Active:
			if u.Active {
				return []string{"true"}
			}
			return []string{"false"}
		case Created:
			return []string{timeText(u.Created)}
		case LastModified:
			return []string{timeText(u.LastModified)}
		}
		return nil
	})
}

// Document returns the user with all attributes. base is the address of the account's SCIM API without a slash at the
// end.
func (u User) Document(base string) Document {
	d := Document{
		"schemas": []string{userURN}, "id": u.ID.String(), "userName": u.UserName, "displayName": u.DisplayName(),
		"active": u.Active,
		"emails": []Document{{"value": u.UserName, "type": emailType, "primary": true}},
	}
	name := Document{}
	setText(d, "externalId", u.ExternalID)
	setText(d, "locale", u.Locale)
	setText(d, "preferredLanguage", u.Locale)
	setText(name, "givenName", u.GivenName)
	setText(name, "familyName", u.FamilyName)
	setText(name, "formatted", u.FormattedName())
	if len(name) > 0 {
		d["name"] = name
	}
	if len(u.Roles) > 0 {
		roles := make([]Document, len(u.Roles))
		for i, r := range u.Roles {
			roles[i] = Document{"value": string(r.Role), "display": r.Role.Name() + ", " + r.Name, "type": r.Hash}
		}
		d["roles"] = roles
	}
	d["meta"] = meta(Users, u.Location(base), u.Version(), u.Created, u.LastModified)
	return d
}

// Location returns the address of the user below that of the account's SCIM API.
func (u User) Location(base string) string { return base + Users.Endpoint + "/" + u.ID.String() }

// Version returns the user's weak entity tag. It changes with each attribute that is answered.
func (u User) Version() string {
	parts := []string{u.ID.String(), u.UserName, u.ExternalID, u.GivenName, u.FamilyName, u.Locale,
		timeText(u.Created), timeText(u.LastModified)}
	if u.Active {
		parts = append(parts, "active")
	}
	for _, r := range u.Roles {
		parts = append(parts, r.Hash, r.Name, string(r.Role))
	}
	return entityTag(parts)
}

// setText sets an attribute that is left out if it is empty.
func setText(d Document, name, text string) {
	if text != "" {
		d[name] = text
	}
}

// UserChange is what a request asks to change of a user. A nil field leaves the attribute unchanged.
type UserChange struct {
	// UserName is never empty.
	UserName *string
	// ExternalID, GivenName and FamilyName are empty if the request removes them.
	ExternalID, GivenName, FamilyName *string
	// Locale is user.DefaultLocale if the request removes it.
	Locale *string
	Active *bool
}

// ReadUser reads the body of a POST or a PUT. It returns an *Error with status 400 if userName is missing or a value
// has the wrong type. The caller checks the values themselves, such as the form of an address.
//
// A PUT leaves attributes that the body does not have unchanged, which RFC 7644, section 3.5.1, permits. An attribute
// that is null is removed.
func ReadUser(body []byte) (UserChange, error) {
	root, err := readObject(body)
	if err != nil {
		return UserChange{}, err
	}
	var w userWriter
	if err := (changes{Users, w.write}).each(opReplace, "", root); err != nil {
		return UserChange{}, err
	}
	if w.UserName == nil {
		return UserChange{}, invalid("invalidValue", "userName is missing: it is the user's email address.")
	}
	return w.UserChange, nil
}

// PatchUser reads the body of a PATCH of a user. It returns an *Error with status 400 and the types invalidSyntax,
// invalidPath, invalidValue, noTarget, mutability or tooMany.
func PatchUser(body []byte) (UserChange, error) {
	var w userWriter
	err := changes{Users, w.write}.patch(body)
	return w.UserChange, err
}

// userWriter collects the edits of a user.
type userWriter struct {
	UserChange

	// preferred reports that the request has preferredLanguage, which counts more than locale.
	preferred bool
}

func (w *userWriter) write(e edit) error {
	if e.name() == "active" {
		return w.writeActive(e)
	}
	text, err := e.text()
	if err != nil {
		return err
	}
	trimmed := strings.TrimSpace(text)
	switch e.name() {
	case "userName":
		if trimmed == "" {
			return invalid("invalidValue", "userName cannot be empty: it is the user's email address.")
		}
		w.UserName = &trimmed
	case "externalId":
		w.ExternalID = &text
	case "name.givenName":
		w.GivenName = &trimmed
	case "name.familyName":
		w.FamilyName = &trimmed
	case "locale", "preferredLanguage":
		preferred := e.name() == "preferredLanguage"
		if preferred || !w.preferred {
			locale := languageTag(trimmed)
			w.Locale, w.preferred = &locale, preferred
		}
	}
	return nil
}

func (w *userWriter) writeActive(e edit) error {
	if err := e.removed(); err != nil {
		return err
	}
	active, err := e.boolean()
	if err == nil {
		w.Active = &active
	}
	return err
}

// languageTag returns the first language tag of a text, which can have the form of Accept-Language (RFC 7643, section
// 4.1.1) or an underscore, as in en_US.
func languageTag(text string) string {
	first, _, _ := strings.Cut(text, ",")
	tag, _, _ := strings.Cut(first, ";")
	if tag = strings.ReplaceAll(strings.TrimSpace(tag), "_", "-"); tag == "" {
		return user.DefaultLocale
	}
	return tag
}
