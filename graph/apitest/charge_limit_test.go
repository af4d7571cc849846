package apitest_test

import "testing"

const (
	createCharging = `mutation($input: CreateApiTokenInput!) { apiToken { createApiToken(input: $input) { apiToken { ` +
		shownLimit + ` } } } }`
	updateCharging = `mutation($input: UpdateApiTokenInput!) { apiToken { updateApiToken(input: $input) { apiToken { ` +
		shownLimit + ` } } } }`
	shownLimit = `chargeLimit { amount { currencyCode value } per }`
)

func limitInput(currency string, value any) map[string]any {
	return map[string]any{"amount": map[string]any{"currencyCode": currency, "value": value}, "per": "MONTH"}
}

func TestChargeLimits(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.issue(t, w.owner, w.home, request{name: "Free", scopes: []string{"account_charges_write"}})
		capped := w.verified(t, w.issue(t, w.owner, w.home, request{name: "Capped", limit: "100",
			scopes: []string{"account_api_tokens_write", "account_charges_write"}}))
		create := func(limit any) map[string]any {
			return map[string]any{"input": map[string]any{"name": "Made", "scopes": []string{"account_charges_write"},
				"chargeLimit": limit}}
		}
		update := func(limit any) map[string]any {
			return map[string]any{"input": map[string]any{"id": "<Free>", "name": "Free", "chargeLimit": limit}}
		}
		const shown = `{"amount": {"currencyCode": "USD", "value": 12.30}, "per": "MONTH"}`
		const created, updated = `{"apiToken": {"createApiToken": {"apiToken": {"chargeLimit": `,
			`{"apiToken": {"updateApiToken": {"apiToken": {"chargeLimit": `
		const none, kept = `{"apiToken": {"createApiToken": null}}`, `{"apiToken": {"updateApiToken": null}}`
		w.run(t, []scenario{
			{name: "created with a limit", by: w.owner, query: createCharging,
				variables: create(limitInput("USD", 12.3)), data: created + shown + `}}}}`},
			{name: "created without a limit", by: w.owner, query: createCharging, variables: create(nil),
				data: created + `null}}}}`},
			{name: "created in another currency", by: w.owner, query: createCharging,
				variables: create(limitInput("EUR", 1)), data: none, errors: []string{
					"apiToken.createApiToken: INVALID input.chargeLimit: Charges are in USD. Enter the limit in USD."}},
			{name: "created by a token with a lower limit", by: capped, query: createCharging,
				variables: create(limitInput("USD", 100.01)), data: none, errors: []string{
					"apiToken.createApiToken: FORBIDDEN input.chargeLimit: This token can charge at most 100.00 USD in a month. Enter a charge limit of at most that."}},
			{name: "created by a token with a higher limit", by: capped, query: createCharging,
				variables: create(limitInput("USD", 12.3)), data: created + shown + `}}}}`},
			{name: "the first limit", by: w.owner, query: updateCharging, variables: update(limitInput("USD", 12.3)),
				data: updated + shown + `}}}}`},
			{name: "null, which leaves it", by: w.owner, query: updateCharging, variables: update(nil),
				data: updated + shown + `}}}}`},
			{name: "a higher limit", by: w.owner, query: updateCharging, variables: update(limitInput("USD", 12.31)),
				data: kept, errors: []string{
					"apiToken.updateApiToken: INVALID input.chargeLimit: An update can only lower the charge limit: enter at most 12.30 USD."}},
		})
	})
}

func TestDataOfChargeLimits(t *testing.T) {
	eachTenants(t, func(t *testing.T, w *tenants) {
		w.issue(t, w.owner, w.home, request{name: "Charging", scopes: []string{"account_charges_write"}, limit: "100"})
		w.wantData(t, "Charging", "api_token.created", w.tokenShown(t, "Charging"))
		w.do(t, updateToken, map[string]any{"id": "<Charging>", "chargeLimit": limitInput("USD", 0.05)})
		w.wantData(t, "Charging", "api_token.updated", w.tokenShown(t, "Charging"))
		w.do(t, rotateToken, map[string]any{"id": "<Charging>"})
		w.wantData(t, "Charging", "api_token.rotated", w.tokenShown(t, "Charging"))
		w.do(t, revokeTokens, map[string]any{"ids": []string{"<Charging>"}})
		w.wantData(t, "Charging", "api_token.revoked", w.tokenShown(t, "Charging"))
	})
}
