package panel

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"latchkey/internal/secret"
	"latchkey/internal/signin"
)

// flowCookie is the prefix of the cookies that hold a sign-in flow's secret, which the browser presents at the
// flow's next step. Each flow has its own cookie, so that flows in several tabs do not interfere.
const flowCookie = "__Host-latchkey-flow-"

// The flows, as suffixes of the cookies' names. A flow at the provider has a suffix derived from its state
// (providerFlow).
const (
	codeFlow       = "code"
	passkeyFlow    = "passkey"
	newPasskeyFlow = "new-passkey"
	appFlow        = "app"
	atProvider     = "provider-"
)

// maxProviderFlows is how many flows at the provider one browser may have at once.
const maxProviderFlows = 5

// providerFlow returns the name of the flow at the provider that has the state.
func providerFlow(state string) string {
	sum := sha256.Sum256([]byte(state))
	return atProvider + hex.EncodeToString(sum[:8])
}

// setFlow sets the cookie with the secret of a flow.
func setFlow(q *request, name string, flow secret.Secret) {
	q.setCookie(flowCookie+name, flow.Reveal(), q.now().Add(signin.FlowLifetime))
}

// setProviderFlow sets the cookie of a flow at the provider's address. A browser that has too many loses the
// others, so that a page that sends it to the provider again and again cannot fill its requests with cookies.
func setProviderFlow(q *request, address string, flow secret.Secret) error {
	to, err := url.Parse(address)
	if err != nil {
		return err
	}
	if others := providerFlows(q); len(others) >= maxProviderFlows {
		for _, name := range others {
			q.dropCookie(name)
		}
	}
	setFlow(q, providerFlow(to.Query().Get("state")), flow)
	return nil
}

// providerFlows returns the names of the cookies of flows at the provider.
func providerFlows(q *request) []string {
	var names []string
	for _, cookie := range q.r.Cookies() {
		if strings.HasPrefix(cookie.Name, flowCookie+atProvider) {
			names = append(names, cookie.Name)
		}
	}
	return names
}

func dropFlow(q *request, name string) { q.dropCookie(flowCookie + name) }

// flowOf returns the secret of a flow from the browser's cookie, or "".
func flowOf(q *request, name string) string {
	cookie, err := q.r.Cookie(flowCookie + name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
