package run

import (
	"context"

	"latchkey/internal/auth"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Database is an account reached directly, without a running server. Changes are made by By.
type Database struct {
	By          *auth.Principal
	Users       *user.Service
	Memberships *membership.Service
}

var _ Target = Database{}

// Provision calls the service behind account.provisionUsers.
func (d Database) Provision(ctx context.Context, users []membership.ProvisionItem, dryRun bool) ([]Result, error) {
	report, err := d.Memberships.Provision(ctx, d.By, membership.ProvisionRequest{Users: users, DryRun: dryRun})
	return results(report), err
}

// Deprovision calls the service behind account.deprovisionUsers.
func (d Database) Deprovision(ctx context.Context, emails []string, leave Leave) ([]Result, error) {
	req := membership.DeprovisionRequest{Users: make([]user.Ref, len(emails)), DryRun: leave.DryRun,
		Offboarding: membership.OffboardingOf(leave.RevokeAPITokens)}
	for i := range emails {
		req.Users[i].Email = &emails[i]
	}
	report, err := d.Memberships.Deprovision(ctx, d.By, req)
	return results(report), err
}

// Members calls each for every member of the account.
func (d Database) Members(ctx context.Context, each func(email string)) error {
	size := paging.MaxSize
	for req := (paging.Request{First: &size}); ; {
		page, err := d.Users.Users(ctx, d.By, user.Filter{}, req)
		if err != nil {
			return err
		}
		for _, one := range page.Items {
			each(one.Node.Email)
		}
		if !page.HasNext || len(page.Items) == 0 {
			return nil
		}
		after := paging.Cursor(page.Items[len(page.Items)-1].Key)
		req.After = &after
	}
}

func results(report membership.Report) []Result {
	all := make([]Result, len(report.Items))
	for i, item := range report.Items {
		r := Result{Email: item.Email, Action: item.Action, Changes: item.Changes}
		for _, t := range item.Review {
			r.APITokens = append(r.APITokens, APIToken{token.IDPrefix + t.ID.String(), t.Name})
		}
		if f := item.Fault; f != nil {
			r.Field, r.Code, r.Message = column(f.Field), string(f.Kind), f.Message
		}
		all[i] = r
	}
	return all
}
