package httpserver

import "net/http"

// scimPath is the path of an account's SCIM API.
const scimPath = accountPrefix + "{account_uuid}/scim/v2"

// handleSCIM registers the SCIM API of accounts, whose errors have the form of SCIM. Authentication, rate limits and
// large bodies are those of the Account API.
func (p *public) handleSCIM(api *accountAPI, next http.Handler,
	writeError func(http.ResponseWriter, *http.Request, error)) {
	e := *api.endpoint
	e.writeError = writeError
	server := &accountAPI{endpoint: &e, next: next, large: api.large}
	for _, pattern := range []string{scimPath, scimPath + "/{resource...}"} {
		p.handle(pattern, server.serve).scim = true
	}
}
