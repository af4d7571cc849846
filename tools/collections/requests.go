package main

import "slices"

// gatewayCheck is the path of the check of gateways.
const gatewayCheck = "/gateway/check"

// folder is a group of requests.
type folder struct {
	name, about string
	requests    []request
}

// request is one request, of the Account API unless it has a path. Its texts
// contain variables as {{name}}.
type request struct {
	name, about string
	// account and credential are the variables of the account and of the
	// credential; empty for account_uuid and token.
	account, credential string
	// query is the GraphQL document, and variables its variables as JSON.
	query, variables string
	// path, header and form are of a request to another endpoint.
	path   string
	header [][2]string
	form   [][2]string
	// status is the expected HTTP status of a request whose body is not looked
	// at; 0 for an answer with status 200 and without errors.
	status int
	// mayFail are the codes of errors that are expected on some servers.
	mayFail []string
	// keep are values of the answer that later requests use.
	keep []kept
}

// kept is a value of an answer: the variable that it is kept in, and its path.
type kept struct{ variable, path string }

// folders are the requests, in the order in which they are sent.
var folders = slices.Concat(tokenFolders, userFolders, billingFolders)

var tokenFolders = []folder{
	{"First requests", "What a program asks first, and the schema.", []request{
		{
			name:  "Who am I",
			about: "The caller, with its scopes.",
			query: `{ viewer { kind scopes expiresAt user { email } } }`,
		},
		{
			name:  "Account and stores",
			about: "The account's name and its stores.",
			query: `
				{
					account {
						accountInfo { name }
						stores(first: 50) { edges { node { id name storeHash } } }
					}
				}`,
			keep: []kept{
				{"store_id", "data.account.stores.edges[0].node.id"},
			},
		},
		{
			name:  "Scopes",
			about: "The scopes that a token of a store can hold.",
			query: `{ scopeCatalog(level: STORE) { name permissions { name scope } } }`,
		},
		{
			name:  "Schema",
			about: "The schema with its documentation, as the client's own documentation panel reads it.",
			query: `{ __schema { mutationType { fields { name description } } } }`,
		},
	}},
	{"Stores", "A store is added and renamed.", []request{
		{
			name:  "createStore",
			about: "Adds a store to the account.",
			query: `
				mutation ($input: CreateStoreInput!) {
					store {
						createStore(input: $input) { store { id name storeHash } }
					}
				}`,
			variables: `{"input": {"name": "Acme Outlet"}}`,
			keep: []kept{
				{"new_store_id", "data.store.createStore.store.id"},
			},
		},
		{
			name:  "updateStore",
			about: "Renames the store.",
			query: `
				mutation ($input: UpdateStoreInput!) {
					store {
						updateStore(input: $input) { store { name storeHash } }
					}
				}`,
			variables: `{"input": {"storeId": "{{new_store_id}}", "name": "Acme Outlet, renamed"}}`,
		},
	}},
	{"API tokens", "An API token is issued, used, restricted and rotated. The folder \"Clean up\" revokes it.", []request{
		{
			name:  "createApiToken for the account",
			about: "Issues an account-level API token. Its secrets are in this response only.",
			query: `
				mutation ($input: CreateApiTokenInput!) {
					apiToken {
						createApiToken(input: $input) {
							apiToken { id name scopes }
							credentials { accessToken clientId clientSecret apiPath }
						}
					}
				}`,
			variables: `{"input": {"name": "User sync", "scopes": ["account_read", "account_users_read", "account_apps_read"]}}`,
			keep: []kept{
				{"token_id", "data.apiToken.createApiToken.apiToken.id"},
				{"access_token", "data.apiToken.createApiToken.credentials.accessToken"},
				{"client_id", "data.apiToken.createApiToken.credentials.clientId"},
				{"client_secret", "data.apiToken.createApiToken.credentials.clientSecret"},
			},
		},
		{
			name:       "Use it",
			about:      "Asks with the new access token.",
			credential: "access_token",
			query:      `{ viewer { kind scopes apiToken { name } } account { users(first: 10) { edges { node { email } } } } }`,
		},
		{
			name:  "createApiToken for a store",
			about: "Issues a store-level API token, whose access token works through a gateway.",
			query: `
				mutation ($input: CreateApiTokenInput!) {
					apiToken {
						createApiToken(input: $input) {
							apiToken { id apiPath }
							credentials { accessToken }
						}
					}
				}`,
			variables: `{"input": {"name": "Product import", "storeId": "{{store_hash}}", "scopes": ["store_v2_products_read_only"]}}`,
			keep: []kept{
				{"store_token_id", "data.apiToken.createApiToken.apiToken.id"},
				{"store_access_token", "data.apiToken.createApiToken.credentials.accessToken"},
			},
		},
		{
			name:  "List API tokens",
			about: "The active API tokens of the account and of its stores.",
			query: `
				{
					account {
						apiTokens(first: 50, filter: {statuses: [ACTIVE]}) { nodes { id name scopes lastUsedAt expiresAt } totalCount }
						stores { edges { node { storeHash apiTokens { nodes { id name } } } } }
					}
				}`,
		},
		{
			name:  "updateApiToken",
			about: "Takes a scope away. A token never gets more rights.",
			query: `
				mutation ($input: UpdateApiTokenInput!) {
					apiToken {
						updateApiToken(input: $input) {
							apiToken { name scopes }
						}
					}
				}`,
			variables: `{"input": {"id": "{{token_id}}", "name": "User sync, restricted", "scopes": ["account_read", "account_users_read"]}}`,
		},
		{
			name:  "rotateApiToken",
			about: "Issues another access token. The previous one works for ten more minutes.",
			query: `
				mutation ($input: RotateApiTokenInput!) {
					apiToken {
						rotateApiToken(input: $input) { accessToken previousExpiresAt }
					}
				}`,
			variables: `{"input": {"id": "{{token_id}}", "overlapSeconds": 600}}`,
			keep: []kept{
				{"access_token", "data.apiToken.rotateApiToken.accessToken"},
			},
		},
	}},
	{"OAuth 2.0", "Short-lived access tokens.", []request{
		{
			name:  "Get an access token",
			about: "Exchanges client ID and client secret for a granted access token, which lives for an hour.",
			path:  "/oauth2/token",
			form: [][2]string{
				{"grant_type", "client_credentials"},
				{"client_id", "{{client_id}}"},
				{"client_secret", "{{client_secret}}"},
				{"scope", "account_read"},
			},
			keep: []kept{
				{"granted_token", "access_token"},
			},
		},
		{
			name:       "Use the access token",
			about:      "Asks with the granted access token.",
			credential: "granted_token",
			query:      `{ viewer { scopes expiresAt } account { accountInfo { name } } }`,
		},
		{
			name:  "Introspect the access token",
			about: "Asks for the state and the scopes of the access token, as its client.",
			path:  "/oauth2/introspect",
			form: [][2]string{
				{"client_id", "{{client_id}}"},
				{"client_secret", "{{client_secret}}"},
				{"token", "{{granted_token}}"},
			},
		},
		{
			name:  "Revoke the access token",
			about: "Revokes the granted access token. The API token keeps working.",
			path:  "/oauth2/revoke",
			form: [][2]string{
				{"client_id", "{{client_id}}"},
				{"client_secret", "{{client_secret}}"},
				{"token", "{{granted_token}}"},
			},
			status: 200,
		},
	}},
	{"Gateway", "The question that a gateway asks for each request of a client.", []request{
		{
			name:  "Allowed",
			about: "The token may read products of its store: 204, with the account, the store and the token in the headers.",
			path:  gatewayCheck,
			header: [][2]string{
				{"X-Latchkey-Gateway", "{{gateway_key}}"},
				{"X-Auth-Token", "{{store_access_token}}"},
				{"X-Original-Method", "GET"},
				{"X-Original-URI", "/stores/{{store_hash}}/v3/catalog/products"},
				{"X-Forwarded-For", "192.0.2.1"},
			},
			status: 204,
		},
		{
			name:  "A scope is missing",
			about: "The token may not change products: 403, and the header WWW-Authenticate names the scope.",
			path:  gatewayCheck,
			header: [][2]string{
				{"X-Latchkey-Gateway", "{{gateway_key}}"},
				{"X-Auth-Token", "{{store_access_token}}"},
				{"X-Original-Method", "POST"},
				{"X-Original-URI", "/stores/{{store_hash}}/v3/catalog/products"},
				{"X-Forwarded-For", "192.0.2.1"},
			},
			status: 403,
		},
		{
			name:  "Another store",
			about: "The token does not reach this store: 403.",
			path:  gatewayCheck,
			header: [][2]string{
				{"X-Latchkey-Gateway", "{{gateway_key}}"},
				{"X-Auth-Token", "{{store_access_token}}"},
				{"X-Original-Method", "GET"},
				{"X-Original-URI", "/stores/{{merchant_store_hash}}/v3/catalog/products"},
				{"X-Forwarded-For", "192.0.2.1"},
			},
			status: 403,
		},
	}},
}
