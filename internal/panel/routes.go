package panel

import (
	"net/http"
	"slices"
)

// routes are all pages of the panel.
func routes() []route {
	const in = "/accounts/{account}"
	own := []route{
		{method: http.MethodGet, pattern: "/{$}", audience: someone, serve: (*visit).home},
		{method: http.MethodGet, pattern: "/static/{file...}", serve: (*visit).static},
		{method: http.MethodGet, pattern: "/favicon.ico", serve: (*visit).favicon},

		{method: http.MethodGet, pattern: "/signin", serve: (*visit).signInForm},
		{method: http.MethodPost, pattern: "/signin", serve: (*visit).signIn},
		{method: http.MethodPost, pattern: "/signout", serve: (*visit).signOut},

		{method: http.MethodGet, pattern: "/accounts", audience: someone, serve: (*visit).accountList},
		{method: http.MethodPost, pattern: "/accounts", audience: someone, serve: (*visit).switchAccount},
		{method: http.MethodPost, pattern: "/accounts/invitations", audience: someone, serve: (*visit).answerInvitation},
		{method: http.MethodGet, pattern: in + "/{$}", audience: insider, serve: (*visit).home},
		{method: http.MethodGet, pattern: in + "/stores", audience: insider, serve: (*visit).storeList},
	}
	return slices.Concat(own,
		linkRoutes(),
		factorRoutes(),
		peopleRoutes(),
		setupRoutes(),
		forgotRoutes(),
		profileRoutes(),
		tokenRoutes(),
		auditRoutes(),
		explorerRoutes(),
	)
}
