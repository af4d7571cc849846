package user

// walks reports whether the filter looks at one user of the account after the
// other: no index finds a part of a text, or bounds what the rest admits.
func (f Filter) walks() bool {
	return (f.Search != "" || !f.UpdatedAfter.IsZero() || f.WithoutStores) && f.Emails == nil && f.ExternalIDs == nil
}
