package secret

// ParseKeyring reads the text of a key file, for tests that make many.
var ParseKeyring = parseKeyring

// Text is the keyring as a key file holds it.
func (k *Keyring) Text() string { return k.text() }
