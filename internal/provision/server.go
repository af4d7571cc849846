package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/apiclient"
	"latchkey/internal/fault"
	"latchkey/internal/roster"
	"latchkey/internal/scope"
)

// Server is the account of a running server.
type Server struct {
	API *apiclient.Client
	// Unseen, if there is one, is called when API tokens to review are left out
	// because the token lacks scope.AccountAPITokensRead: once for each batch.
	Unseen func()
}

var _ Target = Server{}

const provisionUsers = `mutation ProvisionUsers($input: ProvisionUsersInput!) { account { provisionUsers(input: $input) {
	items { email action changes { field before after } field code message } } } }`

// person is one item of the API's input. What is empty stays as it is.
type person struct {
	Email      string   `json:"email"`
	FirstName  string   `json:"firstName,omitempty"`
	LastName   string   `json:"lastName,omitempty"`
	Locale     string   `json:"locale,omitempty"`
	ExternalID string   `json:"externalId,omitempty"`
	Stores     []string `json:"stores,omitempty"`
	Role       string   `json:"role,omitempty"`
}

// bulkResult is what both mutations answer.
type bulkResult struct{ Items []Result }

// Provision asks for account.provisionUsers.
func (s Server) Provision(ctx context.Context, people []roster.Person, dryRun bool) ([]Result, error) {
	users := make([]person, len(people))
	for i, p := range people {
		users[i] = person{p.Email, p.FirstName, p.LastName, p.Locale, p.ExternalID, p.Stores, string(p.Role)}
	}
	var got struct {
		Account struct{ ProvisionUsers bulkResult }
	}
	input := map[string]any{"users": users, "dryRun": dryRun}
	if err := s.API.Do(ctx, provisionUsers, map[string]any{"input": input}, &got); err != nil {
		return nil, err
	}
	return inColumns(got.Account.ProvisionUsers.Items), nil
}

const deprovisionUsers = `mutation DeprovisionUsers($input: DeprovisionUsersInput!) { account { deprovisionUsers(input: $input) {
	items { email action field code message %s } } } }`

// Deprovision asks for account.deprovisionUsers. The API tokens to review are
// left out for a token that may not see any, which is not refused for it.
func (s Server) Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error) {
	results, err := s.deprovision(ctx, emails, leave, "apiTokensToReview { id name }")
	var refused *fault.Error
	if errors.As(err, &refused) && slices.Contains(refused.RequiredScopes, scope.AccountAPITokensRead) {
		if s.Unseen != nil {
			s.Unseen()
		}
		return s.deprovision(ctx, emails, leave, "")
	}
	return results, err
}

func (s Server) deprovision(ctx context.Context, emails []string, leave Leave, review string) ([]Result, error) {
	users := make([]person, len(emails))
	for i, email := range emails {
		users[i] = person{Email: email}
	}
	var got struct {
		Account struct{ DeprovisionUsers bulkResult }
	}
	input := map[string]any{"users": users, "dryRun": leave.DryRun, "revokeApiTokens": leave.RevokeAPITokens}
	if err := s.API.Do(ctx, fmt.Sprintf(deprovisionUsers, review), map[string]any{"input": input}, &got); err != nil {
		return nil, err
	}
	return inColumns(got.Account.DeprovisionUsers.Items), nil
}

const listMembers = `query ListMembers($after: String) { account { users(first: 250, after: $after) {
	edges { node { email } } pageInfo { hasNextPage endCursor } } } }`

// Members walks through account.users.
func (s Server) Members(ctx context.Context, each func(email string)) error {
	for after, more := "", true; more; {
		var got struct {
			Account struct {
				Users struct {
					Edges    []struct{ Node struct{ Email string } }
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
				}
			}
		}
		variables := map[string]any{}
		if after != "" {
			variables["after"] = after
		}
		if err := s.API.Do(ctx, listMembers, variables, &got); err != nil {
			return err
		}
		users := got.Account.Users
		for _, e := range users.Edges {
			each(e.Node.Email)
		}
		after, more = users.PageInfo.EndCursor, users.PageInfo.HasNextPage && len(users.Edges) > 0
	}
	return nil
}

// inColumns has the results with the fields of the API's input as a file's
// columns: "input.users.3.firstName" is first_name.
func inColumns(results []Result) []Result {
	for i := range results {
		results[i].Field = column(results[i].Field)
	}
	return results
}

func column(field string) string {
	parts := strings.Split(field, ".")
	for i := range parts[:len(parts)-1] {
		if _, err := strconv.Atoi(parts[i+1]); err == nil && parts[i] == "users" {
			parts = append(parts[i+2:], "")
			break
		}
	}
	switch parts[0] {
	case "firstName":
		return "first_name"
	case "lastName":
		return "last_name"
	case "externalId":
		return "external_id"
	}
	return parts[0]
}
