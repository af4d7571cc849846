package signin

import (
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
func (s *Service) Device(userID uuid.UUID) (string, error) {
	var number [16]byte
	if _, err := io.ReadFull(s.Random, number[:]); err != nil {
		return "", fmt.Errorf("draw the number of a browser: %w", err)
	}
	text := userID.String() + "." + hex.EncodeToString(number[:]) + "." + strconv.FormatInt(s.Now().Unix(), 10)
	signed := s.Keys.Sign(deviceUse, text)
	return text + "." + string(signed.Key) + "." + hex.EncodeToString(signed.Digest[:]), nil
}

// knows returns what the browser is counted by that presents a text as one that
// the person signed in with; empty if it is none.
func (s *Service) knows(presented string, userID uuid.UUID) string {
	parts := strings.Split(presented, ".")
	if len(parts) != 5 || userID == uuid.Nil || parts[0] != userID.String() {
		return ""
	}
	signature := secret.KeyedDigest{Key: secret.KeyID(parts[3])}
	sum, err := hex.DecodeString(parts[4])
	if err != nil || copy(signature.Digest[:], sum) != len(signature.Digest) {
		return ""
	}
	text := strings.Join(parts[:3], ".")
	since, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !s.Keys.Signed(deviceUse, text, signature) || s.Now().Sub(time.Unix(since, 0)) > DeviceLifetime {
		return ""
	}
	return text
}
