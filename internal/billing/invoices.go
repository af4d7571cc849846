package billing

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"latchkey/internal/auth"
	"latchkey/internal/paging"
)

// mayReadInvoices returns fault.Forbidden unless the principal is the account's owner or the operator.
func mayReadInvoices(by *auth.Principal) error {
	if by.OwnsAccount(by.AccountID) {
		return nil
	}
	return auth.Denied()
}

// InvoicesByID returns the invoices of the account among the IDs, for its owner.
func (s *Service) InvoicesByID(ctx context.Context, by *auth.Principal, ids []uuid.UUID) (map[uuid.UUID]Invoice,
	error) {
	if err := mayReadInvoices(by); err != nil {
		return nil, err
	}
	return s.repo.InvoicesByID(ctx, by.AccountID, ids)
}

// Invoices returns a page of the account's invoices, newest first, for its owner.
func (s *Service) Invoices(ctx context.Context, by *auth.Principal, req paging.Request) (paging.Page[Invoice], error) {
	if err := mayReadInvoices(by); err != nil {
		return paging.Page[Invoice]{}, err
	}
	w, err := req.Window(paging.MaxSubscriptions)
	if err != nil {
		return paging.Page[Invoice]{}, err
	}
	return s.repo.Invoices(ctx, by.AccountID, w)
}

// CountInvoices returns the number of the account's invoices.
func (s *Service) CountInvoices(ctx context.Context, by *auth.Principal) (int64, error) {
	if err := mayReadInvoices(by); err != nil {
		return 0, err
	}
	return s.repo.CountInvoices(ctx, by.AccountID)
}

// InvoiceLines returns a page of the charges of each of the account's invoices, in the order in which they fell due.
func (s *Service) InvoiceLines(ctx context.Context, by *auth.Principal, invoiceIDs []uuid.UUID,
	req paging.Request) (map[uuid.UUID]paging.Page[Charge], error) {
	if err := mayReadInvoices(by); err != nil {
		return nil, err
	}
	w, err := req.Window(paging.MaxSize)
	if err != nil {
		return nil, err
	}
	return s.repo.InvoiceLines(ctx, by.AccountID, invoiceIDs, w)
}

// CountInvoiceLines returns the number of charges on each of the account's invoices.
func (s *Service) CountInvoiceLines(ctx context.Context, by *auth.Principal,
	invoiceIDs []uuid.UUID) (map[uuid.UUID]int64, error) {
	if err := mayReadInvoices(by); err != nil {
		return nil, err
	}
	return s.repo.CountInvoiceLines(ctx, by.AccountID, invoiceIDs)
}

// Sellers returns the names of the accounts whose apps charged what is on each of the account's invoices, in
// alphabetical order. It omits deleted accounts.
func (s *Service) Sellers(ctx context.Context, by *auth.Principal, invoiceIDs []uuid.UUID) (map[uuid.UUID][]string,
	error) {
	if err := mayReadInvoices(by); err != nil {
		return nil, err
	}
	partners, err := s.repo.Sellers(ctx, by.AccountID, invoiceIDs)
	if err != nil {
		return nil, err
	}
	names, known := make(map[uuid.UUID][]string, len(partners)), map[uuid.UUID]string{}
	for invoice, ids := range partners {
		for _, id := range ids {
			name, err := accountName(ctx, s.accounts, known, id)
			if err != nil {
				return nil, err
			}
			if name != "" {
				names[invoice] = append(names[invoice], name)
			}
		}
		slices.Sort(names[invoice])
	}
	return names, nil
}
