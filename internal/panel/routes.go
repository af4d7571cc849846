package panel

import (
	"net/http"
	"slices"
)

// audience says which visitors a page is for.
type audience int

const (
	// public does not require a session.
	public audience = iota
	// signedIn requires a session in any account.
	signedIn
	// member requires a session in the account that the address names.
	member
)

// rule is an exception for one route.
type rule int

const (
	// fresh marks an action that cannot be undone: a visitor whose last proof of identity is too old must prove it
	// again.
	fresh rule = iota
	// unbounded says that the form may take longer than auth.WriteTimeout, because it calls other servers or the API,
	// which have time limits of their own.
	unbounded
	// unkept says that the form is not kept if the session has ended, because its fields may have secrets of any kind.
	unkept
)

// route is one page, or the handler of one form.
type route struct {
	method, pattern string
	audience        audience
	serve           func(*request) error
	rules           []rule
}

// get returns the route of a page.
func get(pattern string, to audience, serve func(*request) error) route {
	return route{http.MethodGet, pattern, to, serve, nil}
}

// post returns the route of a form.
func post(pattern string, to audience, serve func(*request) error, rules ...rule) route {
	return route{http.MethodPost, pattern, to, serve, rules}
}

func (r route) is(one rule) bool { return slices.Contains(r.rules, one) }

// The parts that patterns share.
const (
	accountPattern = "/accounts/{account}"
	storePattern   = accountPattern + "/stores/{store}"
	userPattern    = accountPattern + "/users/{user}"
)

// handlers returns the routes of all handlers. Each handler has only the services that its pages use.
func (p *Panel) handlers(c Config) []route {
	webhooks := &webhookHandler{webhooks: c.Webhooks}
	tokens := &tokenHandler{tokens: c.Tokens, accounts: c.Accounts, users: c.Users, catalogue: c.Catalogue}
	return slices.Concat(
		staticRoutes(),
		(&themeHandler{now: c.Now}).routes(),
		p.accounts.routes(),
		p.signIn.routes(),
		(&providerHandler{signIn: c.SignIn, sessions: p.sessions}).routes(),
		(&linkHandler{signIn: c.SignIn, sessions: p.sessions}).routes(),
		(&forgotHandler{signIn: c.SignIn}).routes(),
		(&setupHandler{setup: c.Setup, signIn: c.SignIn, sessions: p.sessions}).routes(),
		(&profileHandler{users: c.Users, signIn: c.SignIn}).routes(),
		(&securityHandler{signIn: c.SignIn}).routes(),
		(&scopeHandler{catalogue: c.Catalogue}).routes(),
		(&storeHandler{accounts: c.Accounts, users: c.Users, forms: c.Forms, publicURL: c.PublicURL}).routes(),
		(&userHandler{users: c.Users, accounts: c.Accounts, tokens: c.Tokens, signIn: c.SignIn,
			forms: c.Forms}).routes(),
		(&inviteHandler{users: c.Users, accounts: c.Accounts, signIn: c.SignIn, forms: c.Forms}).routes(),
		(&removalHandler{c.Users, c.SignIn, c.Accounts, c.Memberships}).routes(),
		(&offboardingHandler{users: c.Users, memberships: c.Memberships}).routes(),
		(&provisioningHandler{users: c.Users, memberships: c.Memberships, directories: c.Directories, tokens: c.Tokens,
			publicURL: c.PublicURL}).routes(),
		(&ownerHandler{users: c.Users, accounts: c.Accounts}).routes(),
		(&storeUserHandler{users: c.Users}).routes(),
		tokens.routes(),
		(&tokenDetailHandler{tokenHandler: tokens, events: c.Audit, forms: c.Forms, publicURL: c.PublicURL}).routes(),
		(&tokenIssueHandler{tokenHandler: tokens, forms: c.Forms, publicURL: c.PublicURL}).routes(),
		(&tokenDeleteHandler{tokenHandler: tokens}).routes(),
		(&checkoutHandler{billing: c.Billing, users: c.Users}).routes(),
		(&subscriptionHandler{billing: c.Billing, users: c.Users}).routes(),
		(&invoiceHandler{billing: c.Billing}).routes(),
		(&salesHandler{billing: c.Billing, accounts: c.Accounts, forms: c.Forms, sessions: p.sessions,
			log: c.Log}).routes(),
		webhooks.routes(),
		(&webhookFormHandler{webhookHandler: webhooks, forms: c.Forms}).routes(),
		(&webhookDetailHandler{webhookHandler: webhooks, events: c.Audit, forms: c.Forms, now: c.Now}).routes(),
		(&auditHandler{
			events: c.Audit, users: c.Users, tokens: c.Tokens, accounts: c.Accounts,
			webhooks: c.Webhooks, catalogue: c.Catalogue, sessions: p.sessions, log: c.Log,
		}).routes(),
		(&explorerHandler{
			api: c.API, sdl: c.SDL, signIn: c.SignIn, sessions: p.sessions, publicURL: c.PublicURL,
		}).routes(),
	)
}
