package config

// Purpose is what a command other than serve uses settings for. Purposes can be combined.
type Purpose uint8

// The purposes.
const (
	// Storage is opening the database.
	Storage Purpose = 1 << iota
	// Scopes is reading the catalogue of scopes.
	Scopes
	// Issuing is issuing API tokens.
	Issuing
	// Links is printing URLs of the server.
	Links
	// Mailing is sending mail.
	Mailing
	// Receivers is checking the URLs of webhooks.
	Receivers
	// LegacyAccounts is creating legacy API accounts.
	LegacyAccounts
	// Probing is asking the server whether it is ready.
	Probing
)

// UsedBy reports whether a command with these purposes uses the setting.
func (s Setting) UsedBy(purposes Purpose) bool { return s.For&purposes != 0 }
