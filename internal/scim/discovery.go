package scim

import "strings"

// The URNs of the discovery documents' schemas (RFC 7643, section 10.4).
const (
	configURN       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	resourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

// ServiceProviderConfig returns the document of that name (RFC 7643, section 5). base is the address of the account's
// SCIM API without a slash at the end.
func ServiceProviderConfig(base string) Document {
	supported := func(is bool) Document { return Document{"supported": is} }
	return Document{
		"schemas":        []string{configURN},
		"patch":          supported(true),
		"bulk":           Document{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter":         Document{"supported": true, "maxResults": MaxCount},
		"changePassword": supported(false),
		"sort":           supported(false),
		"etag":           supported(true),
		"authenticationSchemes": []Document{{
			"type": "oauthbearertoken", "name": "API token", "primary": true,
			"description": "An access token of an account-level API token, in the header Authorization: Bearer. It needs the " +
				"scopes account_users_read, account_users_write and account_users_delete.",
		}},
		"meta": Document{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"},
	}
}

// ResourceTypes returns the resource types (RFC 7643, section 6).
func ResourceTypes(base string) []Document {
	var all []Document
	for _, t := range []*ResourceType{Users, Groups} {
		d := Document{
			"schemas": []string{resourceTypeURN}, "id": t.Name, "name": t.Name, "endpoint": t.Endpoint,
			"description": t.Description, "schema": t.schema.ID,
			"meta": Document{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + t.Name},
		}
		var extensions []Document
		for _, s := range t.extensions {
			extensions = append(extensions, Document{"schema": s.ID, "required": false})
		}
		if extensions != nil {
			d["schemaExtensions"] = extensions
		}
		all = append(all, d)
	}
	return all
}

// Schemas returns the schemas of users and groups (RFC 7643, section 7).
func Schemas(base string) []Document {
	var all []Document
	for _, t := range []*ResourceType{Users, Groups} {
		for _, s := range append([]Schema{t.schema}, t.extensions...) {
			all = append(all, Document{
				"schemas": []string{schemaURN}, "id": s.ID, "name": s.Name, "description": s.Description,
				"attributes": s.Attributes,
				"meta":       Document{"resourceType": "Schema", "location": base + "/Schemas/" + s.ID},
			})
		}
	}
	return all
}

// ByID returns the document of a list with the id, whose case does not matter. It returns ErrNotFound if there is none.
func ByID(list []Document, id string) (Document, error) {
	for _, d := range list {
		if text, _ := d["id"].(string); strings.EqualFold(text, id) {
			return d, nil
		}
	}
	return nil, ErrNotFound
}
