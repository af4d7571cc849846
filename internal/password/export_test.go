package password

// Occupy takes all places of h, until they are given back.
func (h *Hasher) Occupy() (release func()) {
	for range AtOnce {
		h.slots <- struct{}{}
	}
	return func() {
		for range AtOnce {
			<-h.slots
		}
	}
}

// Parse parses a hash and writes it again.
func Parse(text string) (string, error) {
	h, err := parse(text)
	if err != nil {
		return "", err
	}
	return h.String(), nil
}
