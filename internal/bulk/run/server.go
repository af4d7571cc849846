package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"latchkey/internal/bulk/client"
	"latchkey/internal/fault"
	"latchkey/internal/membership"
	"latchkey/internal/scope"
)

// Server is an account reached over the API of a running server.
type Server struct {
	API *client.Client
	// ReviewHidden, if not nil, is called once for each batch whose API tokens to review are omitted because the token
	// lacks scope.AccountAPITokensRead.
	ReviewHidden func()
}

var _ Target = Server{}

const provisionUsers = `mutation ProvisionUsers($input: ProvisionUsersInput!) { account { provisionUsers(input: $input) {
	items { email action changes { field before after } field code message } } } }`

// bulkResult is the payload of both mutations.
type bulkResult struct{ Items []Result }

// Provision calls account.provisionUsers.
func (s Server) Provision(ctx context.Context, users []membership.ProvisionItem, dryRun bool) ([]Result, error) {
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

// Deprovision calls account.deprovisionUsers. If the token may not read API tokens, the users are removed and the API
// tokens to review are omitted.
func (s Server) Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error) {
	results, err := s.deprovision(ctx, emails, leave, "apiTokensToReview { id name }")
	var refused *fault.Error
	if errors.As(err, &refused) && slices.Contains(refused.RequiredScopes, scope.AccountAPITokensRead) {
		if s.ReviewHidden != nil {
			s.ReviewHidden()
		}
		return s.deprovision(ctx, emails, leave, "")
	}
	return results, err
}

func (s Server) deprovision(ctx context.Context, emails []string, leave Leave, review string) ([]Result, error) {
	users := make([]membership.ProvisionItem, len(emails))
	for i, email := range emails {
		users[i].Email = email
	}
	var got struct {
		Account struct{ DeprovisionUsers bulkResult }
	}
	input := map[string]any{"users": users, "dryRun": leave.DryRun}
	if leave.RevokeAPITokens != nil {
		input["revokeApiTokens"] = *leave.RevokeAPITokens
	}
	if err := s.API.Do(ctx, fmt.Sprintf(deprovisionUsers, review), map[string]any{"input": input}, &got); err != nil {
		return nil, err
	}
	return inColumns(got.Account.DeprovisionUsers.Items), nil
}

const listMembers = `query ListMembers($after: String) { account { users(first: 250, after: $after) {
	edges { node { email } } pageInfo { hasNextPage endCursor } } } }`

// Members calls each for every user in account.users.
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

// inColumns replaces the API's field paths with the file's column names: "input.users.3.firstName" becomes first_name.
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
