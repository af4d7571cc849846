package secret

// ParseKeyring parses the text of a key file.
var ParseKeyring = parseKeyring

// Text returns the keyring in the format of a key file.
func (k *Keyring) Text() string { return k.text() }
