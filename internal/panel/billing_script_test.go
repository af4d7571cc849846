package panel_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// january is the setting of a test clock that stands at the last day of a month.
const january = "LATCHKEY_TEST_CLOCK=2026-01-31T00:00:00Z"

// bicycles is the demo's merchant, Blue Bicycles. Its owner owns its store, too.
const (
	bicycles      = "3f1d9f0e-52b4-4c0e-8a6d-2b7c1e9d4c02"
	bicyclesOwner = "owner@bicycles.example"
)

// script is a program of the partner, Acme Retail. It calls the API with a token, and moves the test clock.
type script struct {
	server *server
	token  string
	// site is where the app is. Checkouts lead back to it.
	site string
	// visits are the pages of the site that browsers opened.
	visits chan string
}

// script creates a token for billing, and the site of the app on localhost.
func (s *server) script() *script {
	s.t.Helper()
	made := s.run("", "token", "create", "--account", s.Account, "--name", "Billing", "--scope",
		"account_checkouts_create,account_checkouts_read", "--scope",
		"account_subscriptions_read,account_subscriptions_cancel", "--scope",
		"account_charges_read,account_charges_write", "--output", "json")
	var issued struct{ Credentials struct{ AccessToken string } }
	if err := json.Unmarshal([]byte(made), &issued); err != nil || issued.Credentials.AccessToken == "" {
		s.t.Fatalf("the new token: got no access token (%v), want one", err)
	}
	p := &script{server: s, token: issued.Credentials.AccessToken, visits: make(chan string, 10)}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			return
		}
		p.visits <- r.Method + " " + r.URL.RequestURI()
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>The app</title>Thank you for subscribing"))
	}))
	s.t.Cleanup(site.Close)
	p.site = strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
	return p
}

// call sends a document with the token, and decodes the data of the answer.
func (p *script) call(document string, variables map[string]any, into any) {
	p.server.t.Helper()
	p.send(p.token, document, variables, into)
}

func (p *script) send(token, document string, variables map[string]any, into any) {
	p.server.t.Helper()
	status, text := p.server.sendsWith(token, document, variables)
	answer := struct {
		Data   any
		Errors []any
	}{Data: into}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK || len(answer.Errors) > 0 {
		p.server.t.Fatalf("%s: got %d %s, want data", document, status, text)
	}
}

// days moves the test clock, as the partner's owner.
func (p *script) days(n int) {
	p.server.t.Helper()
	p.send(p.server.SessionToken,
		"mutation($input: AdvanceTimeInput!) { system { advanceTime(input: $input) { now } } }",
		map[string]any{"input": map[string]any{"seconds": n * int(24*time.Hour/time.Second)}}, &struct{}{})
}

// dollars is an amount in a request.
func dollars(value float64) map[string]any {
	return map[string]any{"currencyCode": "USD", "value": value}
}

// monthly is a plan of a price for each month, and of a usage cap if that is not 0.
func monthly(price, limit float64) map[string]any {
	plan := map[string]any{"interval": "MONTH", "price": dollars(price)}
	if limit > 0 {
		plan["cappedAmount"] = dollars(limit)
	}
	return plan
}

// checkout is a checkout as the script polls it.
type checkout struct {
	ID, Status, CheckoutURL, DeclinedAt string
	Items                               struct {
		Edges []struct {
			Node struct{ Status, SubscriptionID string }
		}
	}
}

// subscription returns the ID of the first item's subscription.
func (c checkout) subscription() string { return c.Items.Edges[0].Node.SubscriptionID }

const checkoutFields = "{ id status checkoutUrl declinedAt items { edges { node { status subscriptionId } } } }"

// asks creates a checkout for Blue Bicycles, and returns it with its path. more are other fields of the input.
func (p *script) asks(item map[string]any, more ...any) (c checkout, path string) {
	p.server.t.Helper()
	item["redirectUrl"] = p.site + "/welcome?shop=1"
	input := map[string]any{"accountId": bicycles, "items": []any{item}}
	for i := 0; i+1 < len(more); i += 2 {
		input[more[i].(string)] = more[i+1]
	}
	var made struct {
		Checkout struct{ CreateCheckout struct{ Checkout checkout } }
	}
	p.call("mutation($input: CreateCheckoutInput!) { checkout { createCheckout(input: $input) { checkout "+
		checkoutFields+" } } }", map[string]any{"input": input}, &made)
	c = made.Checkout.CreateCheckout.Checkout
	path, found := strings.CutPrefix(c.CheckoutURL, p.server.URL)
	if !found {
		p.server.t.Fatalf("checkoutUrl: got %s, want an address of the panel at %s", c.CheckoutURL, p.server.URL)
	}
	return c, path
}

// polls reads a checkout again.
func (p *script) polls(c checkout) checkout {
	p.server.t.Helper()
	var got struct{ Account struct{ Checkout checkout } }
	p.call("query($id: ID!) { account { checkout(id: $id) "+checkoutFields+" } }", map[string]any{"id": c.ID}, &got)
	return got.Account.Checkout
}

// stock is an item for a new subscription.
func stock(plan map[string]any) map[string]any {
	return map[string]any{
		"description": "Subscriptions for your store", "pricingPlan": plan,
		"product": map[string]any{"id": "4711", "type": "APPLICATION", "productLevel": "Basic"},
		"scope":   map[string]any{"id": "bluebike", "type": "STORE"},
	}
}

// changing is an item that changes a subscription.
func changing(id, level string, plan map[string]any) map[string]any {
	return map[string]any{"description": "More subscriptions for your store", "subscriptionId": id,
		"pricingPlan": plan, "product": map[string]any{"productLevel": level}}
}

// visited returns the next page of the site that a browser opened.
func (p *script) visited(t *testing.T) string {
	t.Helper()
	select {
	case at := <-p.visits:
		return at
	case <-time.After(stepTimeout):
		t.Fatal("the app's site: got no visit, want the browser to go there")
		return ""
	}
}
