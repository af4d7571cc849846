package webhook_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
	"latchkey/internal/webhook"
)

// slowReplay is a repository in which a replay lasts until release is closed.
type slowReplay struct {
	webhook.Repository

	began, release chan struct{}
}

// Webhook returns an enabled webhook.
func (r slowReplay) Webhook(_ context.Context, accountID, id uuid.UUID) (webhook.Webhook, error) {
	return webhook.Webhook{AccountID: accountID, ID: id, State: webhook.Enabled}, nil
}

// Replay waits.
func (r slowReplay) Replay(context.Context, auth.Actor, webhook.Replay, func(int) audit.Event) (int, error) {
	r.began <- struct{}{}
	<-r.release
	return 1, nil
}

// One replay of a time range is scheduled at a time in an account. Another one is refused at once, and not after it has
// waited for longer than a change may take. Other accounts and named events do not wait.
func TestOneReplayOfAnAccountAtATime(t *testing.T) {
	r := slowReplay{began: make(chan struct{}, 4), release: make(chan struct{})}
	s := webhook.NewService(webhook.Config{Repository: r, Now: time.Now})
	account, other := uuid.New(), uuid.New()
	ranged := webhook.ReplayRequest{WebhookID: uuid.New(), Since: time.Now().Add(-time.Hour)}
	named := webhook.ReplayRequest{WebhookID: ranged.WebhookID, EventIDs: []uuid.UUID{uuid.New()}}
	replay := func(account uuid.UUID, req webhook.ReplayRequest) error {
		_, err := s.Replay(t.Context(), &auth.Principal{Kind: auth.Operator, Name: "operator", AccountID: account}, req)
		return err
	}
	done := make(chan error, 3)
	go func() { done <- replay(account, ranged) }()
	<-r.began
	err := replay(account, ranged)
	check.Equal(t, fault.KindOf(err), fault.Conflict, "the kind of the error of a second replay (%v)", err)
	go func() { done <- replay(other, ranged) }()
	go func() { done <- replay(account, named) }()
	<-r.began
	<-r.began
	close(r.release)
	for range 3 {
		if err := <-done; err != nil {
			t.Errorf("a replay beside another failed: %v", err)
		}
	}
	check.Equal(t, replay(account, ranged), nil, "the error of a replay after the first one")
}
