package audit_test

import (
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
)

// What a principal calls itself must be what the audit log calls it.
func TestActorOf(t *testing.T) {
	id := uuid.New()
	for _, tc := range []struct {
		by   auth.Principal
		want audit.Actor
	}{
		{auth.OperatorPrincipal(), audit.Actor{Kind: audit.ActorOperator, Name: "operator"}},
		{auth.Principal{Kind: auth.Session, ID: id, Name: "owner@acme.example"}, audit.Actor{Kind: audit.ActorUser, ID: id, Name: "owner@acme.example"}},
		{auth.Principal{Kind: auth.APIToken, ID: id, Name: "CI"}, audit.Actor{Kind: audit.ActorAPIToken, ID: id, Name: "CI"}},
	} {
		t.Run(string(tc.want.Kind), func(t *testing.T) {
			if got := audit.ActorOf(tc.by.Subject()); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
