package httpserver

import (
	"net/http"
	"net/url"
	"slices"
)

// metadata is the authorization server metadata of RFC 8414, section 2.
type metadata struct {
	Issuer             string   `json:"issuer"`
	TokenEndpoint      string   `json:"token_endpoint"`
	ScopesSupported    []string `json:"scopes_supported,omitempty"`
	ResponseTypes      []string `json:"response_types_supported"`
	GrantTypes         []string `json:"grant_types_supported"`
	TokenAuth          []string `json:"token_endpoint_auth_methods_supported"`
	RevocationEndpoint string   `json:"revocation_endpoint"`
	RevocationAuth     []string `json:"revocation_endpoint_auth_methods_supported"`
	Introspection      string   `json:"introspection_endpoint"`
	// IntrospectionAuth lists client authentication methods and registered
	// access token types.
	IntrospectionAuth []string `json:"introspection_endpoint_auth_methods_supported"`

	// scopes returns ScopesSupported; nil for none.
	scopes func() []string
}

// newMetadata returns the metadata of the server at the URL.
func newMetadata(publicURL string, scopes func() []string) metadata {
	clients := []string{"client_secret_basic", "client_secret_post"}
	return metadata{
		Issuer: publicURL, TokenEndpoint: publicURL + tokenPath, scopes: scopes,
		// There is no authorization endpoint, so it has no response types.
		ResponseTypes: []string{}, GrantTypes: []string{"client_credentials"}, TokenAuth: clients,
		RevocationEndpoint: publicURL + revokePath, RevocationAuth: clients,
		Introspection: publicURL + introspectPath, IntrospectionAuth: append(slices.Clone(clients), "Bearer"),
	}
}

// paths returns the paths at which clients request the metadata: with the
// well-known path before the path of the issuer (RFC 8414, section 3.1), and at
// the root, because a proxy may strip the issuer's path.
func (m metadata) paths() []string {
	if issuer, err := url.Parse(m.Issuer); err == nil && issuer.Path != "" {
		return []string{metadataPath, metadataPath + issuer.Path}
	}
	return []string{metadataPath}
}

func (m metadata) serve(rs *requestState, _ *http.Request) {
	if m.scopes != nil {
		m.ScopesSupported = m.scopes()
	}
	writeJSON(rs, http.StatusOK, m)
}
