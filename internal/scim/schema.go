package scim

import (
	"cmp"

	"latchkey/internal/user"
)

// The URNs of schemas (RFC 7643, section 10) and of the project's extension of groups.
const (
	userURN      = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN     = "urn:ietf:params:scim:schemas:core:2.0:Group"
	extensionURN = "urn:latchkey:params:scim:schemas:extension:2.0:Group"
)

// emailType is the type of the only address of a user.
const emailType = "work"

// Users is the resource type of users.
var Users = &ResourceType{
	Name: "User", Endpoint: "/Users", Description: "The users of the account.",
	common: common("User"),
	schema: Schema{ID: userURN, Name: "User", Description: "User Account", Attributes: filled([]Attribute{
		{Name: "userName", Required: true, Mutability: ReadWrite, Uniqueness: Server, field: UserName,
			Description: "The user's email address."},
		{Name: "name", Type: Complex, Mutability: ReadWrite, Description: "The user's name.",
			SubAttributes: []Attribute{
				{Name: "givenName", Mutability: ReadWrite, field: GivenName, Description: "The first name."},
				{Name: "familyName", Mutability: ReadWrite, field: FamilyName, Description: "The last name."},
				{Name: "formatted", field: FormattedName, Description: "The first and the last name."},
			}},
		{Name: "displayName", field: DisplayName,
			Description: "The first and the last name, or userName if neither is set."},
		{Name: "locale", Mutability: ReadWrite,
			Description: "The language of messages to the user, as a language tag. The same value as preferredLanguage, which counts if a request has both."},
		{Name: "preferredLanguage", Mutability: ReadWrite,
			Description: "The language of messages to the user, as a language tag."},
		{Name: "active", Type: Boolean, Mutability: ReadWrite, field: Active,
			Description: "Whether the user can sign in. False ends the user's sessions at once."},
		{Name: "emails", Type: Complex, MultiValued: true,
			Description: "The address in userName. Other addresses are accepted and not stored.",
			SubAttributes: []Attribute{
				{Name: "value", field: UserName, Description: "The address."},
				{Name: "type", constant: emailType, CanonicalValues: []string{emailType}, Description: "Always work."},
				{Name: "primary", Type: Boolean, constant: "true", Description: "Always true."},
			}},
		{Name: "roles", Type: Complex, MultiValued: true, Description: "The user's roles in stores.",
			SubAttributes: []Attribute{
				{Name: "value", CaseExact: true, Description: "The role."},
				{Name: "display", Description: "The role and the name of the store."},
				{Name: "type", CaseExact: true, Description: "The hash of the store."},
			}},
	})},
}

// Groups is the resource type of groups, which are the account's stores.
var Groups = &ResourceType{
	Name: "Group", Endpoint: "/Groups",
	Description: "The stores of the account. They are neither created nor deleted over SCIM.",
	common:      common("Group"),
	schema: Schema{ID: groupURN, Name: "Group", Description: "A store of the account.", Attributes: filled([]Attribute{
		{Name: "displayName", Uniqueness: Server, field: DisplayName, Description: "The store's name."},
		{Name: "members", Type: Complex, MultiValued: true, Mutability: ReadWrite,
			Description: "The users with a membership in the store. The owner of the store stays.",
			SubAttributes: []Attribute{
				{Name: "value", Mutability: ReadWrite, field: MemberID, Description: "The user's id."},
				{Name: "$ref", Type: Reference, CaseExact: true, ReferenceTypes: []string{"User"},
					Description: "The user's address in this API."},
				{Name: "display", Description: "The user's displayName."},
				{Name: "type", constant: "User", CanonicalValues: []string{"User"}, Description: "Always User."},
			}},
	})},
	extensions: []Schema{{ID: extensionURN, Name: "StoreGroup", Description: "What Latchkey adds to groups.",
		Attributes: filled([]Attribute{
			{Name: "defaultRole", Mutability: ReadWrite, CanonicalValues: names(defaultRoles),
				Description: "The role that members get when they are added. Without it they get none."},
		})}},
}

// defaultRoles are the roles that a group can give. They have no high-risk permissions.
var defaultRoles = []user.Role{user.StoreAdministrator, user.SalesManager, user.SalesStaff}

func names(roles []user.Role) []string {
	list := make([]string, len(roles))
	for i, role := range roles {
		list[i] = string(role)
	}
	return list
}

// common returns the attributes of every resource.
func common(resourceType string) []Attribute {
	return filled([]Attribute{
		{Name: "schemas", Type: Reference, MultiValued: true, Required: true, CaseExact: true, Returned: Always,
			ReferenceTypes: []string{"uri"}},
		{Name: "id", CaseExact: true, Returned: Always, Uniqueness: Server, field: ID},
		{Name: "externalId", CaseExact: true, Mutability: ReadWrite, Uniqueness: Server, field: ExternalID},
		{Name: "meta", Type: Complex, SubAttributes: []Attribute{
			{Name: "resourceType", CaseExact: true, constant: resourceType},
			{Name: "created", Type: DateTime, field: Created},
			{Name: "lastModified", Type: DateTime, field: LastModified},
			{Name: "location", Type: Reference, CaseExact: true, ReferenceTypes: []string{"uri"}},
			{Name: "version", CaseExact: true},
		}},
	})
}

// filled returns the attributes with what most have: they are read-only texts, not unique, and returned by default.
func filled(list []Attribute) []Attribute {
	for i := range list {
		a := &list[i]
		a.Type = cmp.Or(a.Type, String)
		a.Mutability = cmp.Or(a.Mutability, ReadOnly)
		a.Returned = cmp.Or(a.Returned, Default)
		a.Uniqueness = cmp.Or(a.Uniqueness, None)
		a.SubAttributes = filled(a.SubAttributes)
	}
	return list
}
