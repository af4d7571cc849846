package main

var userFolders = []folder{
	{"Users", "Users are added, changed and removed.", []request{
		{
			name:  "createUser",
			about: "Creates a user and adds them to the account.",
			query: `
				mutation ($input: CreateUserInput!) {
					user {
						createUser(input: $input) { user { id email pending } }
					}
				}`,
			variables: `{"input": {"email": "dana@acme.example", "firstName": "Dana", "lastName": "Dietrich", "locale": "de"}}`,
			keep: []kept{
				{"user_id", "data.user.createUser.user.id"},
			},
		},
		{
			name:  "createUserWithPassword",
			about: "The same with a password. Deprecated: the user should choose their own.",
			query: `
				mutation ($input: CreateUserWithPasswordInput!) {
					user {
						createUserWithPassword(input: $input) { user { id } }
					}
				}`,
			variables: `{"input": {"email": "eli@acme.example", "firstName": "Eli", "lastName": "Evans", "locale": "en", "password": "{{new_password}}", "passwordConfirmation": "{{new_password}}"}}`,
			keep: []kept{
				{"second_user_id", "data.user.createUserWithPassword.user.id"},
			},
		},
		{
			name:  "updateUser",
			about: "Changes names, locale and external ID in this account.",
			query: `
				mutation ($input: UpdateUserInput!) {
					user {
						updateUser(input: $input) { user { firstName externalId } }
					}
				}`,
			variables: `{"input": {"userId": "{{user_id}}", "firstName": "Daniela", "externalId": "hr-1004"}}`,
		},
		{
			name:  "addUserToStore",
			about: "Adds the user to a store, without permissions yet.",
			query: `
				mutation ($input: AddUserToStoreInput!) {
					user {
						addUserToStore(input: $input) { storeId }
					}
				}`,
			variables: `{"input": {"storeId": "{{store_hash}}", "user": {"id": "{{user_id}}"}}}`,
		},
		{
			name:  "setStoreUserPermissions",
			about: "Sets the complete list of the user's permissions in the store.",
			query: `
				mutation ($input: SetStoreUserPermissionsInput!) {
					user {
						setStoreUserPermissions(input: $input) { storeUser { role permissions } }
					}
				}`,
			variables: `{"input": {"storeId": "{{store_hash}}", "userId": "{{user_id}}", "permissions": ["Add_Orders", "Add_Customer"]}}`,
		},
		{
			name:  "setStoreUserStatus",
			about: "Deactivates the user in the store.",
			query: `
				mutation ($input: SetStoreUserStatusInput!) {
					user {
						setStoreUserStatus(input: $input) { storeUser { status } }
					}
				}`,
			variables: `{"input": {"storeId": "{{store_hash}}", "userId": "{{user_id}}", "status": "INACTIVE"}}`,
		},
		{
			name:  "removeUserFromStore",
			about: "Removes the user from the store.",
			query: `
				mutation ($input: RemoveUserFromStoreInput!) {
					user {
						removeUserFromStore(input: $input) { storeId user { email } }
					}
				}`,
			variables: `{"input": {"storeId": "{{store_hash}}", "userId": "{{user_id}}"}}`,
		},
		{
			name:  "removeUserFromAccount",
			about: "Removes the user from the account and all its stores.",
			query: `
				mutation ($input: RemoveUserFromAccountInput!) {
					account {
						removeUserFromAccount(input: $input) { userId revokedApiTokenIds }
					}
				}`,
			variables: `{"input": {"userId": "{{user_id}}"}}`,
		},
		{
			name:  "addUserToAccount",
			about: "Adds a user by address.",
			query: `
				mutation ($input: AddUserToAccountInput!) {
					account {
						addUserToAccount(input: $input) { account { id } }
					}
				}`,
			variables: `{"input": {"email": "fatima@acme.example"}}`,
		},
		{
			name:  "provisionUsers",
			about: "Adds and updates up to 1,000 users, with stores and roles. It can be repeated.",
			query: `
				mutation ($input: ProvisionUsersInput!) {
					account {
						provisionUsers(input: $input) { counts { created updated added unchanged failed } items { email action message } }
					}
				}`,
			variables: `{"input": {"users": [{"email": "fatima@acme.example", "stores": ["{{store_hash}}"], "role": "SALES_STAFF"}]}}`,
		},
		{
			name:  "deprovisionUsers",
			about: "Removes up to 1,000 users.",
			query: `
				mutation ($input: DeprovisionUsersInput!) {
					account {
						deprovisionUsers(input: $input) { counts { removed unchanged failed } items { email action message } }
					}
				}`,
			variables: `{"input": {"users": [{"email": "fatima@acme.example"}, {"email": "eli@acme.example"}]}}`,
		},
		{
			name:  "updateAccount",
			about: "Sets what happens by default to the API tokens that a leaving user knows.",
			query: `
				mutation ($input: UpdateAccountInput!) {
					account {
						updateAccount(input: $input) { account { offboardingPolicy } }
					}
				}`,
			variables: `{"input": {"offboardingPolicy": "KEEP_TOKENS"}}`,
		},
		{
			name:  "Find a member of a store",
			about: "Finds the owner of the second store and another member.",
			query: `
				{
					chloe: account { users(filter: {emails: ["chloe@acme.example"]}) { edges { node { id email } } } }
					owner: account { users(filter: {emails: ["eu@acme.example"]}) { edges { node { id email } } } }
				}`,
			keep: []kept{
				{"member_id", "data.chloe.users.edges[0].node.id"},
				{"former_owner_id", "data.owner.users.edges[0].node.id"},
			},
		},
		{
			name:  "transferOwnership",
			about: "Makes another user the owner of a store.",
			query: `
				mutation ($input: TransferOwnershipInput!) {
					account {
						transferOwnership(input: $input) { store { owner { email } } }
					}
				}`,
			variables: `{"input": {"storeId": "acme2eu", "userId": "{{member_id}}"}}`,
		},
		{
			name:  "transferOwnership back",
			about: "Makes the former owner the owner again.",
			query: `
				mutation ($input: TransferOwnershipInput!) {
					account {
						transferOwnership(input: $input) { store { owner { email } } }
					}
				}`,
			variables: `{"input": {"storeId": "acme2eu", "userId": "{{former_owner_id}}"}}`,
		},
	}},
	{"Webhooks", "A webhook is created, changed, tested and deleted. Nothing has to listen at its URL.", []request{
		{
			name:  "createWebhook",
			about: "Creates a webhook. Its signing secret is in this response only.",
			query: `
				mutation ($input: CreateWebhookInput!) {
					webhook {
						createWebhook(input: $input) { webhook { id state } secret }
					}
				}`,
			variables: `{"input": {"url": "http://127.0.0.1:9000/", "eventTypes": ["api_token.*"], "description": "From the collection"}}`,
			keep: []kept{
				{"webhook_id", "data.webhook.createWebhook.webhook.id"},
			},
		},
		{
			name:  "updateWebhook",
			about: "Changes its event types.",
			query: `
				mutation ($input: UpdateWebhookInput!) {
					webhook {
						updateWebhook(input: $input) { webhook { eventTypes state } }
					}
				}`,
			variables: `{"input": {"id": "{{webhook_id}}", "eventTypes": ["api_token.*", "user.removed"]}}`,
		},
		{
			name:  "rotateWebhookSecret",
			about: "Issues another signing secret. Both sign for an hour.",
			query: `
				mutation ($input: RotateWebhookSecretInput!) {
					webhook {
						rotateWebhookSecret(input: $input) { secret previousExpiresAt }
					}
				}`,
			variables: `{"input": {"id": "{{webhook_id}}", "overlapSeconds": 3600}}`,
		},
		{
			name:  "sendTestEvent",
			about: "Sends the event webhook.test to it.",
			query: `
				mutation ($input: SendTestEventInput!) {
					webhook {
						sendTestEvent(input: $input) { eventId }
					}
				}`,
			variables: `{"input": {"id": "{{webhook_id}}"}}`,
		},
		{
			name:  "List events",
			about: "The account's events, oldest first.",
			query: `{ account { events(first: 5, filter: {types: ["api_token.created"]}) { edges { node { id type at } } pageInfo { endCursor } } } }`,
			keep: []kept{
				{"event_id", "data.account.events.edges[0].node.id"},
			},
		},
		{
			name:  "replayDeliveries",
			about: "Sends an event again, or for the first time.",
			query: `
				mutation ($input: ReplayDeliveriesInput!) {
					webhook {
						replayDeliveries(input: $input) { scheduled }
					}
				}`,
			variables: `{"input": {"webhookId": "{{webhook_id}}", "eventIds": ["{{event_id}}"]}}`,
		},
		{
			name:  "List deliveries",
			about: "What was sent to the webhook, and how its receiver answered.",
			query: `
				query ($id: ID!) {
					account { webhook(id: $id) { state deliveries(first: 5) { nodes { state attempts { at status } } } } }
				}`,
			variables: `{"id": "{{webhook_id}}"}`,
		},
		{
			name:  "deleteWebhook",
			about: "Deletes it with its deliveries.",
			query: `
				mutation ($input: DeleteWebhookInput!) {
					webhook {
						deleteWebhook(input: $input) { deletedWebhookId }
					}
				}`,
			variables: `{"input": {"id": "{{webhook_id}}"}}`,
		},
	}},
}
