package main

var billingFolders = []folder{
	{"Billing", "The account charges another account's store for an app, as docs/billing.md explains.", []request{
		{
			name:  "createApiToken for billing",
			about: "Issues the API token of the program that charges.",
			query: `
				mutation ($input: CreateApiTokenInput!) {
					apiToken {
						createApiToken(input: $input) {
							apiToken { id }
							credentials { accessToken }
						}
					}
				}`,
			variables: `{"input": {"name": "Billing", "scopes": ["account_checkouts_create", "account_subscriptions_read", "account_subscriptions_cancel", "account_charges_write"]}}`,
			keep: []kept{
				{"partner_token_id", "data.apiToken.createApiToken.apiToken.id"},
				{"partner_access_token", "data.apiToken.createApiToken.credentials.accessToken"},
			},
		},
		{
			name:       "createCheckout",
			about:      "Asks the merchant to approve a subscription.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CreateCheckoutInput!) {
					checkout {
						createCheckout(input: $input) { checkout { id status checkoutUrl expiresAt } }
					}
				}`,
			variables: `{"input": {"accountId": "{{merchant_account_uuid}}", "items": [{"description": "Subscriptions for your store", "redirectUrl": "https://acme.example/welcome", "product": {"id": "{{app_id}}", "type": "APPLICATION", "productLevel": "Basic"}, "scope": {"id": "{{merchant_store_hash}}", "type": "STORE"}, "pricingPlan": {"interval": "MONTH", "price": {"currencyCode": "USD", "value": 30}, "cappedAmount": {"currencyCode": "USD", "value": 10}}}]}}`,
			keep: []kept{
				{"checkout_id", "data.checkout.createCheckout.checkout.id"},
			},
		},
		{
			name:       "approveCheckout",
			about:      "Approves it, as the owner of the merchant's store.",
			account:    "merchant_account_uuid",
			credential: "merchant_token",
			query: `
				mutation ($input: ApproveCheckoutInput!) {
					checkout {
						approveCheckout(input: $input) { checkout { status } }
					}
				}`,
			variables: `{"input": {"id": "{{checkout_id}}"}}`,
		},
		{
			name:       "Poll the checkout",
			about:      "The subscription that the approval started.",
			credential: "partner_access_token",
			query: `
				query ($id: ID!) {
					account { checkout(id: $id) { status items { edges { node { status subscriptionId } } } } }
				}`,
			variables: `{"id": "{{checkout_id}}"}`,
			keep: []kept{
				{"subscription_id", "data.account.checkout.items.edges[0].node.subscriptionId"},
			},
		},
		{
			name:       "createCharge",
			about:      "Charges usage, within the cap of the subscription.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CreateChargeInput!) {
					charge {
						createCharge(input: $input) { charge { id status } replayed }
					}
				}`,
			variables: `{"input": {"subscriptionId": "{{subscription_id}}", "description": "250 mails", "amount": {"currencyCode": "USD", "value": 2.5}, "idempotencyKey": "first-{{subscription_id}}"}}`,
			keep: []kept{
				{"charge_id", "data.charge.createCharge.charge.id"},
			},
		},
		{
			name:       "deleteCharge",
			about:      "Deletes the charge: it is pending until the month's invoice.",
			credential: "partner_access_token",
			query: `
				mutation ($input: DeleteChargeInput!) {
					charge {
						deleteCharge(input: $input) { charge { status } }
					}
				}`,
			variables: `{"input": {"id": "{{charge_id}}", "reason": "sent by mistake"}}`,
		},
		{
			name:       "createCharge again",
			about:      "Charges usage that stays.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CreateChargeInput!) {
					charge {
						createCharge(input: $input) { charge { id status } replayed }
					}
				}`,
			variables: `{"input": {"subscriptionId": "{{subscription_id}}", "description": "250 mails", "amount": {"currencyCode": "USD", "value": 2.5}, "idempotencyKey": "second-{{subscription_id}}"}}`,
			keep: []kept{
				{"charge_id", "data.charge.createCharge.charge.id"},
			},
		},
		{
			name:  "advanceTime",
			about: "Moves the test clock of billing by 40 days, so that the month's invoice is issued. Only on a server with --test-clock.",
			query: `
				mutation ($input: AdvanceTimeInput!) {
					system {
						advanceTime(input: $input) { now }
					}
				}`,
			variables: `{"input": {"seconds": 3456000}}`,
			mayFail:   []string{"FORBIDDEN"},
		},
		{
			name:       "creditCharge",
			about:      "Credits a part of the charge, once it is on an invoice.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CreditChargeInput!) {
					charge {
						creditCharge(input: $input) { charge { kind amount { value } } }
					}
				}`,
			variables: `{"input": {"chargeId": "{{charge_id}}", "amount": {"currencyCode": "USD", "value": 1}, "reason": "too many", "idempotencyKey": "credit-{{charge_id}}"}}`,
			mayFail:   []string{"CONFLICT"},
		},
		{
			name:       "previewChange",
			about:      "What a change of the price would charge now.",
			credential: "partner_access_token",
			query: `
				mutation ($input: PreviewChangeInput!) {
					subscription {
						previewChange(input: $input) { at invoiceTotal { value } charges { kind amount { value } } }
					}
				}`,
			variables: `{"input": {"subscriptionId": "{{subscription_id}}", "pricingPlan": {"interval": "MONTH", "price": {"currencyCode": "USD", "value": 60}}}}`,
		},
		{
			name:       "suspendSubscription",
			about:      "Suspends the subscription, as the owner of the store.",
			account:    "merchant_account_uuid",
			credential: "merchant_token",
			query: `
				mutation ($input: SuspendSubscriptionInput!) {
					subscription {
						suspendSubscription(input: $input) { subscription { status } }
					}
				}`,
			variables: `{"input": {"id": "{{subscription_id}}"}}`,
		},
		{
			name:       "resumeSubscription",
			about:      "Resumes it.",
			account:    "merchant_account_uuid",
			credential: "merchant_token",
			query: `
				mutation ($input: ResumeSubscriptionInput!) {
					subscription {
						resumeSubscription(input: $input) { subscription { status } }
					}
				}`,
			variables: `{"input": {"id": "{{subscription_id}}"}}`,
		},
		{
			name:       "cancelSubscription",
			about:      "Ends it at once.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CancelSubscriptionInput!) {
					subscription {
						cancelSubscription(input: $input) { subscriptionId cancelledAt }
					}
				}`,
			variables: `{"input": {"id": "{{subscription_id}}", "immediately": true}}`,
		},
		{
			name:       "createCheckout to decline",
			about:      "Asks once more.",
			credential: "partner_access_token",
			query: `
				mutation ($input: CreateCheckoutInput!) {
					checkout {
						createCheckout(input: $input) { checkout { id } }
					}
				}`,
			variables: `{"input": {"accountId": "{{merchant_account_uuid}}", "items": [{"description": "Subscriptions for your store", "redirectUrl": "https://acme.example/welcome", "product": {"id": "{{app_id}}", "type": "APPLICATION", "productLevel": "Basic"}, "scope": {"id": "{{merchant_store_hash}}", "type": "STORE"}, "pricingPlan": {"interval": "MONTH", "price": {"currencyCode": "USD", "value": 30}, "cappedAmount": {"currencyCode": "USD", "value": 10}}}]}}`,
			keep: []kept{
				{"checkout_id", "data.checkout.createCheckout.checkout.id"},
			},
		},
		{
			name:       "declineCheckout",
			about:      "Declines it, as the owner of the merchant's store.",
			account:    "merchant_account_uuid",
			credential: "merchant_token",
			query: `
				mutation ($input: DeclineCheckoutInput!) {
					checkout {
						declineCheckout(input: $input) { checkout { declinedAt } }
					}
				}`,
			variables: `{"input": {"id": "{{checkout_id}}"}}`,
		},
		{
			name:       "List charges and invoices",
			about:      "What was charged, as the partner sees it.",
			credential: "partner_access_token",
			query:      `{ account { charges(first: 10) { edges { node { kind status amount { value } description } } } } }`,
		},
	}},
	{"Event sources", "Amazon EventBridge, on a server with --aws-events. Others answer EVENT_BRIDGE_NOT_CONFIGURED.", []request{
		{
			name:  "createEventSource",
			about: "Creates an event source for an AWS account.",
			query: `
				mutation ($input: CreateEventSourceInput!) {
					app {
						createEventSource(input: $input) { eventSource { id arn } }
					}
				}`,
			variables: `{"input": {"appId": "bc/account/app/{{app_id}}", "awsAccount": "123456789012", "eventSourceName": "collection", "eventSourceRegion": "EU_WEST_1"}}`,
			mayFail:   []string{"EVENT_BRIDGE_NOT_CONFIGURED"},
			keep: []kept{
				{"event_source_id", "data.app.createEventSource.eventSource.id"},
			},
		},
		{
			name:  "deleteEventSource",
			about: "Deletes it.",
			query: `
				mutation ($input: DeleteEventSourceInput!) {
					app {
						deleteEventSource(input: $input) { deletedEventSourceId }
					}
				}`,
			variables: `{"input": {"appId": "bc/account/app/{{app_id}}", "id": "{{event_source_id}}"}}`,
			mayFail:   []string{"EVENT_BRIDGE_NOT_CONFIGURED"},
		},
	}},
	{"Clean up", "Revokes the API tokens, and shows what was recorded.", []request{
		{
			name:  "revokeApiTokens",
			about: "Revokes the API tokens of the collection. Their access tokens are refused at once.",
			query: `
				mutation ($input: RevokeApiTokensInput!) {
					apiToken {
						revokeApiTokens(input: $input) { revokedIds revokedAt }
					}
				}`,
			variables: `{"input": {"ids": ["{{token_id}}", "{{store_token_id}}", "{{partner_token_id}}"], "reason": "the collection is done"}}`,
		},
		{
			name:       "A revoked token is refused",
			about:      "The access token no longer works: 401.",
			credential: "access_token",
			query:      `{ viewer { kind } }`,
			status:     401,
		},
		{
			name:  "Audit log",
			about: "What the requests of this collection changed.",
			query: `{ account { auditEvents(first: 20) { nodes { at action targetName actor { name } } } } }`,
		},
	}},
}
