package user

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
)

// An event lists at most 100 tokens, with the number of all of them, and its data fits in the 20 kB of a webhook's
// request.
func TestReviewOfManyTokens(t *testing.T) {
	name := strings.Repeat("<", MaxName) // encoded as six bytes each
	p := Person{User: User{ID: uuid.New(), Email: strings.Repeat("<", MaxEmail), FirstName: name, LastName: name,
		Locale: strings.Repeat("a", MaxLocale), CreatedAt: time.Now(), DeactivatedAt: time.Now(), ExternalID: name,
		UpdatedAt: time.Now()}}
	var known []KnownToken
	for i := range maxListedTokens + 3 {
		known = append(known, KnownToken{ID: uuid.New(), Name: fmt.Sprintf("token %d", i)})
	}
	data := string(p.leavingData(known))
	check.Equal(t, strings.Count(data, "bc/account/apiToken/"), maxListedTokens, "tokens in the data")
	if !strings.Contains(data, `"apiTokensToReviewCount":103`) || len(data) > 20_000 {
		t.Errorf("data: got %d bytes, %.300s…, want the number of all tokens and at most 20000 bytes", len(data), data)
	}
	details := ReviewDetails(append(known, KnownToken{Name: "gone", Revoked: true}))
	if len(details) != 2 || !strings.HasSuffix(details[0].Value, `"token 99" and 3 more`) ||
		details[1] != (audit.Detail{Name: "revokedApiTokens", Value: `"gone"`}) {
		t.Errorf("details: got %v, want 100 names and 3 more, and the revoked token", details)
	}
	check.Equal(t, len(ReviewDetails(nil)), 0, "details without tokens")
}
