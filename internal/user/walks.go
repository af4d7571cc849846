package user

// walks reports whether the filter reads the account's users one by one: no
// index covers a substring search, or limits what the other fields select.
func (f Filter) walks() bool {
	scans := f.Search != "" || !f.UpdatedAfter.IsZero() || f.WithoutStores || f.Standing != "" || f.Role != ""
	return scans && f.Emails == nil && f.ExternalIDs == nil
}
