package signin

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/clock"
	"latchkey/internal/secret"
)

// DeviceLifetime is how long a browser stays known after a sign-in.
const DeviceLifetime = 365 * 24 * time.Hour

// deviceUse is the purpose of the signature.
const deviceUse = "device"

// Devices makes and checks device cookies.
type Devices struct {
	persons *persons
	keys    *secret.Keyring
	random  io.Reader
	now     clock.Clock
}

// Device returns the text of a device cookie, by which the browser is known at
// the user's next sign-in: the user's ID, a random ID of the browser, the time
// and a signature. It is not a credential; it keeps attackers from locking the
// user out. It becomes invalid when the password changes and after ten
// failures.
func (s *Devices) Device(ctx context.Context, userID uuid.UUID) (string, error) {
	person, err := s.persons.PersonByID(ctx, userID)
	if err != nil {
		return "", err
	}
	var number [16]byte
	if _, err := io.ReadFull(s.random, number[:]); err != nil {
		return "", fmt.Errorf("draw the number of a browser: %w", err)
	}
	text := userID.String() + "." + hex.EncodeToString(number[:]) + "." + strconv.FormatInt(s.now().Unix(), 10)
	signed := s.keys.Sign(deviceUse, signedDevice(text, person.version()))
	return text + "." + string(signed.Key) + "." + hex.EncodeToString(signed.Digest[:]), nil
}

// signedDevice returns the text to sign: the cookie's text and the version of
// the password.
func signedDevice(text string, v PasswordVersion) string { return text + "." + string(v) }

// knows returns the key that the browser's attempts are counted under, or "" if
// presented is not a valid device cookie of the person.
func (s *Devices) knows(presented string, p Person) string {
	return s.knowsOf(presented, p.ID, p.version())
}

// knowsOf is knows for a user with this version of the password.
func (s *Devices) knowsOf(presented string, id uuid.UUID, v PasswordVersion) string {
	parts := strings.Split(presented, ".")
	if len(parts) != 5 || id == uuid.Nil || parts[0] != id.String() {
		return ""
	}
	signature := secret.KeyedDigest{Key: secret.KeyID(parts[3])}
	sum, err := hex.DecodeString(parts[4])
	if err != nil || copy(signature.Digest[:], sum) != len(signature.Digest) {
		return ""
	}
	text := strings.Join(parts[:3], ".")
	since, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !s.keys.Signed(deviceUse, signedDevice(text, v), signature) ||
		s.now().Sub(time.Unix(since, 0)) > DeviceLifetime {
		return ""
	}
	return text
}
