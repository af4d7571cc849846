package panel

// The pages, each with the type of its data.
var (
	accountsTemplate           = newTemplate[accountsPage]("accounts")
	reauthTemplate             = newTemplate[reauthPage]("reauthenticate")
	appTemplate                = newTemplate[appPage]("app")
	auditTemplate              = newTemplate[auditPage]("audit")
	checkoutTemplate           = newTemplate[checkoutPage]("checkout")
	codeTemplate               = newTemplate[codePage]("code")
	codesTemplate              = newTemplate[codesPage]("codes")
	elsewhereTemplate          = newTemplate[elsewherePage]("elsewhere")
	errorTemplate              = newTemplate[problem]("error")
	explorerTemplate           = newTemplate[explorerPage]("explorer")
	explorerSchemaTemplate     = newTemplate[schemaPage]("explorer-schema")
	forgotTemplate             = newTemplate[forgotPage]("forgot")
	inviteTemplate             = newTemplate[invitePage]("invite")
	invitedTemplate            = newTemplate[invitedPage]("invited")
	invoiceTemplate            = newTemplate[invoicePage]("invoice")
	invoicesTemplate           = newTemplate[invoiceListPage]("invoices")
	linkTemplate               = newTemplate[linkPage]("link")
	linkDeadTemplate           = newTemplate[deadLinkPage]("link_dead")
	linkingTemplate            = newTemplate[linkingPage]("linking")
	ownerTemplate              = newTemplate[ownerPage]("owner")
	passkeyTemplate            = newTemplate[passkeyPage]("passkey")
	userListTemplate           = newTemplate[userListPage]("people")
	userStoresTemplate         = newTemplate[userStoresPage]("people-stores")
	userTemplate               = newTemplate[userPage]("person")
	userRemoveTemplate         = newTemplate[removePage]("person-remove")
	storeUserTemplate          = newTemplate[storeUserPage]("place")
	storeUserRemoveTemplate    = newTemplate[storeUserRemovePage]("place-remove")
	profileTemplate            = newTemplate[profilePage]("profile")
	provedTemplate             = newTemplate[noData]("proved")
	provisioningTemplate       = newTemplate[provisioningPage]("provisioning")
	refusedTemplate            = newTemplate[refusal]("refused")
	revenueTemplate            = newTemplate[revenuePage]("revenue")
	salesChargeTemplate        = newTemplate[salesChargePage]("sales-charge")
	salesChargesTemplate       = newTemplate[salesChargesPage]("sales-charges")
	salesCreditTemplate        = newTemplate[salesCreditPage]("sales-credit")
	salesSubscriptionsTemplate = newTemplate[salesSubscriptionsPage]("sales-subscriptions")
	scopesTemplate             = newTemplate[scopesPage]("scopes")
	securityTemplate           = newTemplate[securityPage]("security")
	setupTemplate              = newTemplate[setupPage]("setup")
	setupDeadTemplate          = newTemplate[noData]("setup_dead")
	signInTemplate             = newTemplate[signInPage]("signin")
	storesTemplate             = newTemplate[storesPage]("stores")
	storeTemplate              = newTemplate[storePage]("store")
	storeNewTemplate           = newTemplate[newStorePage]("store-new")
	subscriptionTemplate       = newTemplate[subscriptionPage]("subscription")
	subscriptionCancelTemplate = newTemplate[subscriptionCancelPage]("subscription-cancel")
	subscriptionsTemplate      = newTemplate[subscriptionListPage]("subscriptions")
	tokenTemplate              = newTemplate[tokenPage]("token")
	tokenDeleteTemplate        = newTemplate[deletePage]("token-delete")
	tokenNewTemplate           = newTemplate[newTokenPage]("token-new")
	tokenSecretsTemplate       = newTemplate[secretsPage]("token-secrets")
	tokenSentTemplate          = newTemplate[tokenSentPage]("token-sent")
	tokensTemplate             = newTemplate[tokenListPage]("tokens")
	webhookTemplate            = newTemplate[webhookPage]("webhook")
	webhookDeleteTemplate      = newTemplate[webhookDeletePage]("webhook-delete")
	webhookEditTemplate        = newTemplate[webhookFormPage]("webhook-edit")
	webhookNewTemplate         = newTemplate[webhookFormPage]("webhook-new")
	webhookSecretTemplate      = newTemplate[webhookSecretPage]("webhook-secret")
	webhookSentTemplate        = newTemplate[webhookSentPage]("webhook-sent")
	webhookTypesTemplate       = newTemplate[webhookTypesPage]("webhook-types")
	webhooksTemplate           = newTemplate[webhookListPage]("webhooks")
)

// noData is the data of a page that shows only fixed text.
type noData struct{}

// pageData has an empty value of the data of each page, by the page's name.
var pageData = map[string]any{}

// pageTemplate is a page whose template is executed with a contentOf[T].
type pageTemplate[T any] struct{ name string }

// contentOf is what the template of a page is executed with.
type contentOf[T any] struct {
	layout

	Data T
}

// newTemplate registers templates/name.html as the template of a page.
func newTemplate[T any](name string) pageTemplate[T] {
	pageData[name] = contentOf[T]{}
	return pageTemplate[T]{name}
}

// show answers with the page.
func (p pageTemplate[T]) show(q *request, status int, data T) error {
	return q.render(status, p.name, contentOf[T]{q.layout(status), data})
}
