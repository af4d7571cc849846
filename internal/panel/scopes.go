package panel

import (
	"net/http"

	"latchkey/internal/scope"
)

// scopeHandler serves the page that describes the scopes.
type scopeHandler struct{ catalogue *scope.Catalogue }

func (h *scopeHandler) routes() []route {
	return []route{get(accountPattern+"/scopes", member, h.page)}
}

// scopesPage is the data of the page that describes the scopes.
type scopesPage struct {
	Sections []scopeSection
	// Schema is the address of the API documentation.
	Schema string
}

// page describes the scopes that the account's tokens can have.
func (h *scopeHandler) page(q *request) error {
	offered := h.catalogue.Resources(scope.LevelAccount, q.account.Features)
	return scopesTemplate.show(q, http.StatusOK, scopesPage{sectionsOf(offered, nil), q.address("/graphiql/schema")})
}
