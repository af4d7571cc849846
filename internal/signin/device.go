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

	"latchkey/internal/secret"
)

// DeviceLifetime is how long a browser is known as one that its person signed in
// with.
const DeviceLifetime = 365 * 24 * time.Hour

// deviceUse is what the server's key signs here.
const deviceUse = "device"

// Device returns what the person's browser is to keep, so that it is known again
// when they next sign in: who they are, a number of the browser's own, when, and
// a signature. It lets nobody in; it keeps others from locking the person out.
// It ends with the password that the person has now, and after ten failures.
func (s *Service) Device(ctx context.Context, userID uuid.UUID) (string, error) {
	person, err := s.Repository.PersonByID(ctx, userID)
	if err != nil {
		return "", err
	}
	var number [16]byte
	if _, err := io.ReadFull(s.Random, number[:]); err != nil {
		return "", fmt.Errorf("draw the number of a browser: %w", err)
	}
	text := userID.String() + "." + hex.EncodeToString(number[:]) + "." + strconv.FormatInt(s.Now().Unix(), 10)
	signed := s.Keys.Sign(deviceUse, signedDevice(text, person.version()))
	return text + "." + string(signed.Key) + "." + hex.EncodeToString(signed.Digest[:]), nil
}

// signedDevice is what is signed for a browser: not only its text, but the
// version of the password as well.
func signedDevice(text string, v PasswordVersion) string { return text + "." + string(v) }

// knows returns what the browser is counted by that presents a text as one that
// the person signed in with; empty if it is none.
func (s *Service) knows(presented string, p Person) string {
	return s.knowsOf(presented, p.ID, p.version())
}

// knowsOf is knows for a user who has a password of the version.
func (s *Service) knowsOf(presented string, id uuid.UUID, v PasswordVersion) string {
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
	if err != nil || !s.Keys.Signed(deviceUse, signedDevice(text, v), signature) || s.Now().Sub(time.Unix(since, 0)) > DeviceLifetime {
		return ""
	}
	return text
}
