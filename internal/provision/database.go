package provision

import (
	"context"

	"latchkey/internal/account"
	"latchkey/internal/auth"
	"latchkey/internal/offboard"
	"latchkey/internal/page"
	"latchkey/internal/roster"
	"latchkey/internal/user"
)

// Database is the account in which By acts, without a server between.
type Database struct {
	By       *auth.Principal
	Users    *user.Service
	Offboard *offboard.Service
}

var _ Target = Database{}

// apiTokenIDs leads the ids of API tokens in the API.
const apiTokenIDs = "bc/account/apiToken/"

// Provision calls the service that the API calls.
func (d Database) Provision(ctx context.Context, people []roster.Person, dryRun bool) ([]Result, error) {
	req := user.ProvisionRequest{Users: make([]user.ProvisionItem, len(people)), DryRun: dryRun}
	for i, p := range people {
		item := user.ProvisionItem{
			Email: p.Email, FirstName: said(p.FirstName), LastName: said(p.LastName), Locale: said(p.Locale), ExternalID: said(p.ExternalID), Role: said(p.Role),
		}
		for _, hash := range p.Stores {
			item.Stores = append(item.Stores, account.StoreRef{Hash: hash})
		}
		req.Users[i] = item
	}
	report, err := d.Offboard.Provision(ctx, d.By, req)
	return results(report), err
}

// said is nil for what a file does not say.
func said[T ~string](text T) *T {
	if text == "" {
		return nil
	}
	return &text
}

// Deprovision calls the service that the API calls.
func (d Database) Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error) {
	req := offboard.DeprovisionRequest{Users: make([]user.Whom, len(emails)), DryRun: leave.DryRun, RevokeTokens: leave.RevokeAPITokens}
	for i := range emails {
		req.Users[i].Email = &emails[i]
	}
	report, err := d.Offboard.Deprovision(ctx, d.By, req)
	return results(report), err
}

// Members walks through the account's people.
func (d Database) Members(ctx context.Context, each func(email string)) error {
	size := page.MaxSize
	for req := (page.Request{First: &size}); ; {
		people, err := d.Users.Users(ctx, d.By, user.Filter{}, req)
		if err != nil {
			return err
		}
		for _, one := range people.Items {
			each(one.Node.Email)
		}
		if !people.HasNext || len(people.Items) == 0 {
			return nil
		}
		after := page.Cursor(people.Items[len(people.Items)-1].Key)
		req.After = &after
	}
}

func results(report offboard.Report) []Result {
	all := make([]Result, len(report.Items))
	for i, item := range report.Items {
		r := Result{Email: item.Email, Action: Action(item.Action)}
		for _, c := range item.Changes {
			r.Changes = append(r.Changes, Change(c))
		}
		for _, t := range item.Review {
			r.APITokens = append(r.APITokens, APIToken{apiTokenIDs + t.ID.String(), t.Name})
		}
		if f := item.Fault; f != nil {
			r.Field, r.Code, r.Message = column(f.Field), string(f.Kind), f.Message
		}
		all[i] = r
	}
	return all
}
