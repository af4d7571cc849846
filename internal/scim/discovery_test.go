package scim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"latchkey/internal/scim"
	"latchkey/internal/test/check"
)

func TestServiceProviderConfig(t *testing.T) {
	check.Equal(t, encoded(t, scim.ServiceProviderConfig(base)), strings.ReplaceAll(`{"authenticationSchemes":[{
"description":"An access token of an account-level API token, in the header Authorization: Bearer. It needs the scopes `+
		`account_users_read, account_users_write and account_users_delete.","name":"API token","primary":true,
"type":"oauthbearertoken"}],"bulk":{"maxOperations":0,"maxPayloadSize":0,"supported":false},
"changePassword":{"supported":false},"etag":{"supported":true},"filter":{"maxResults":200,"supported":true},
"meta":{"location":"https://latchkey.example/accounts/a/scim/v2/ServiceProviderConfig","resourceType":"ServiceProviderConfig"},
"patch":{"supported":true},"schemas":["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
"sort":{"supported":false}}`, "\n", ""), "the configuration")
}

func TestResourceTypes(t *testing.T) {
	types := scim.ResourceTypes(base)
	check.Equal(t, encoded(t, types[1]), strings.ReplaceAll(`{"description":"The stores of the account. They are neither `+
		`created nor deleted over SCIM.","endpoint":"/Groups","id":"Group",
"meta":{"location":"https://latchkey.example/accounts/a/scim/v2/ResourceTypes/Group","resourceType":"ResourceType"},
"name":"Group","schema":"urn:ietf:params:scim:schemas:core:2.0:Group",
"schemaExtensions":[{"required":false,"schema":"urn:latchkey:params:scim:schemas:extension:2.0:Group"}],
"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"]}`, "\n", ""), "groups")
	found, err := scim.ByID(types, "user")
	check.Equal(t, err, nil, "find users")
	check.Equal(t, found, types[0], "find users")
	_, err = scim.ByID(types, "Device")
	check.Equal(t, err, error(scim.ErrNotFound), "find another type")
}

// What the schemas say is what a document has and what a change may write.
func TestSchemasAreTrue(t *testing.T) {
	for urn, document := range map[string]scim.Document{
		"urn:ietf:params:scim:schemas:core:2.0:User":           ann.Document(base),
		"urn:ietf:params:scim:schemas:core:2.0:Group":          store.Document(base),
		"urn:latchkey:params:scim:schemas:extension:2.0:Group": store.Document(base),
	} {
		schema, err := scim.ByID(scim.Schemas(base), urn)
		check.Equal(t, err, nil, "find the schema")
		attributes, _ := schema["attributes"].([]scim.Attribute)
		extension, extends := document[urn].(scim.Document)
		if extends {
			document = extension
		}
		listed := map[string]bool{"schemas": true, "id": true, "externalId": true, "meta": true}
		for _, a := range attributes {
			listed[a.Name] = true
			checkAttribute(t, urn, a, document[a.Name])
		}
		for name := range document {
			if !listed[name] && !strings.HasPrefix(name, "urn:") {
				t.Errorf("%s has %s, want it in the schema", urn, name)
			}
		}
	}
}

// checkAttribute checks that the attribute describes the value, and that a PATCH changes it if it is not read-only.
func checkAttribute(t *testing.T, urn string, a scim.Attribute, value any) {
	t.Helper()
	if a.Description == "" {
		t.Errorf("%s: %s has no description", urn, a.Name)
	}
	one, many := value.(scim.Document)
	if list, is := value.([]scim.Document); is {
		one, many = list[0], true
		check.Equal(t, a.MultiValued, true, "%s: multiValued of %s", urn, a.Name)
	}
	switch {
	case many:
		check.Equal(t, a.Type, scim.Complex, "%s: the type of %s", urn, a.Name)
		for _, sub := range a.SubAttributes {
			checkAttribute(t, urn, sub, one[sub.Name])
		}
		check.Equal(t, len(one), len(a.SubAttributes), "%s: the number of parts of %s", urn, a.Name)
		return
	case value == nil:
		t.Errorf("%s: %s is in the schema only, want it in the document", urn, a.Name)
		return
	}
	_, boolean := value.(bool)
	check.Equal(t, a.Type == scim.Boolean, boolean, "%s: whether %s is a boolean", urn, a.Name)
	if a.CanonicalValues != nil && !strings.Contains(encoded(t, a.CanonicalValues), encoded(t, value)) {
		t.Errorf("%s: %s is %v, want one of %v", urn, a.Name, value, a.CanonicalValues)
	}
}

// An attribute can be written by a PATCH unless the schema says that it is read-only.
func TestMutability(t *testing.T) {
	for _, schema := range scim.Schemas(base) {
		urn, _ := schema["id"].(string)
		attributes, _ := schema["attributes"].([]scim.Attribute)
		for _, a := range attributes {
			for _, at := range append([]scim.Attribute{a}, a.SubAttributes...) {
				path := urn + ":" + a.Name
				if at.Name != a.Name {
					path += "." + at.Name
				} else if len(a.SubAttributes) > 0 && !a.MultiValued {
					continue
				}
				check.Equal(t, changes(t, urn, path, at), at.Mutability == scim.ReadWrite, "%s can be written", path)
			}
		}
	}
}

// changes reports whether a PATCH of the attribute changes anything.
func changes(t *testing.T, urn, path string, a scim.Attribute) bool {
	t.Helper()
	value := any(memberID('a').String())
	switch {
	case a.Type == scim.Boolean:
		value = true
	case a.CanonicalValues != nil:
		value = a.CanonicalValues[0]
	}
	body, err := json.Marshal(map[string]any{"op": "replace", "path": path, "value": value})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(urn, ":User") {
		change, err := scim.PatchUser(operations(string(body)))
		check.Equal(t, err, nil, "replace %s", path)
		return change != scim.UserChange{}
	}
	change, err := scim.PatchGroup(operations(string(body)))
	check.Equal(t, err, nil, "replace %s", path)
	return change.DefaultRole != nil || change.ExternalID != nil || !change.Members.Empty()
}
