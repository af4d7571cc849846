package panel

// Route is a route of the table.
type Route struct {
	Method, Pattern string
	// Open reports whether the route requires no session.
	Open bool
}

// Routes returns all routes of the panel.
func Routes() []Route {
	var all []Route
	for _, r := range New(Config{}).handlers(Config{}) {
		all = append(all, Route{r.method, r.pattern, r.audience == public})
	}
	return all
}

// Notice returns the message of a notice for a number, with its placeholders for names.
func Notice(key string, n int) string {
	return notice{N: n, Name: "{name}", Place: "{place}"}.text(key)
}

// SecretFields returns the names of the fields that are never kept.
func SecretFields() []string { return secretFields }

// LocalPath returns localPath(text).
func LocalPath(text string) string { return localPath(text) }
