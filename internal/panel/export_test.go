package panel

// Route is a route of the table.
type Route struct {
	Method, Pattern string
	// Open says that it is for people who are not signed in.
	Open bool
}

// Routes are all routes of the panel.
func Routes() []Route {
	var all []Route
	for _, r := range routes() {
		all = append(all, Route{r.method, r.pattern, r.audience == anyone})
	}
	return all
}

// LocalPath makes an address of what a visitor says is one.
func LocalPath(text string) string { return localPath(text) }
