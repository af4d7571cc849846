package gormdb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/gormdb"
	"latchkey/internal/membership"
	"latchkey/internal/paging"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

var byTest = auth.NoActor("a test")

// userEvent returns an event of a user of the account.
func userEvent(w dbtest.World, userID uuid.UUID, action audit.Action) audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()), AccountID: w.Account.ID, At: noon, Action: action,
		Actor:  audit.Actor{Kind: audit.ActorOperator, Name: "operator"},
		Target: audit.Target{Kind: audit.TargetUser, Key: userID.String(), Name: "User"},
		Data:   []byte(fmt.Sprintf(`{"id": %q}`, userID)),
	}
}

// update records an update of a token in a transaction that stays open for the duration.
func update(ctx context.Context, db *gormdb.DB, t token.Token, open time.Duration) error {
	return db.Tokens().Change(ctx, byTest, t.AccountID, t.ID,
		func(token.Token, []token.AccessToken) (token.Change, error) {
			time.Sleep(open)
			return token.Change{Event: event(t, audit.APITokenUpdated)}, nil
		})
}

// removeUser records an event of a user and then revokes a token, in one transaction that stays open for the duration
// in between.
func removeUser(ctx context.Context, db *gormdb.DB, w dbtest.World, userID uuid.UUID, t token.Token,
	open time.Duration) error {
	return db.Memberships().Change(ctx, byTest, w.Account.ID, func(c membership.Change) error {
		err := c.Record(ctx, []audit.Event{userEvent(w, userID, audit.UserUpdated),
			userEvent(w, userID, audit.UserRemoved)})
		time.Sleep(open)
		_, endErr := c.RevokeTokens(ctx, revocationOf([]uuid.UUID{t.ID}, t))
		return errors.Join(err, endErr)
	})
}

// follower reads a log as a client does: page by page, each after the end of the previous one.
type follower struct {
	log     audit.Log
	account uuid.UUID
	cursor  *string
	seen    []audit.Event
}

// read reads all events that there are now.
func (f *follower) read(ctx context.Context, size int) error {
	for {
		w, err := paging.Request{First: &size, After: f.cursor}.LogWindow(paging.MaxSize)
		if err != nil {
			return err
		}
		page, err := f.log.Log(ctx, f.account, audit.LogFilter{}, w)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			f.seen = append(f.seen, item.Node)
		}
		if n := len(page.Items); n > 0 {
			f.cursor = new(page.Items[n-1].Cursor())
		}
		if !page.HasNext {
			return nil
		}
	}
}

// checkLog fails the test unless the events are n different ones, and those of each subject have the sequences 1, 2
// and so on in this order.
func checkLog(t *testing.T, events []audit.Event, n int) {
	t.Helper()
	check.Equal(t, len(events), n, "the number of events in the log")
	ids, last := map[uuid.UUID]bool{}, map[audit.Target]int64{}
	for _, e := range events {
		subject := audit.Target{Kind: e.Target.Kind, Key: e.Target.Key}
		if ids[e.ID] {
			t.Errorf("event %s was read twice, want it once", e.ID)
		}
		check.Equal(t, e.Sequence, last[subject]+1, "sequence of event %s of %v", e.Action, subject)
		ids[e.ID], last[subject] = true, e.Sequence
	}
}

// While transactions commit in another order than they began, a reader that follows the end of its pages reads every
// event once, and those of a subject in order.
func TestLogIsFollowed(t *testing.T) {
	const writers, rounds = 32, 6
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		dbtest.AwaitLog(t, db, w.Account.ID)
		f := follower{log: db.Log(), account: w.Account.ID}
		if err := f.read(t.Context(), paging.MaxSize); err != nil {
			t.Fatal(err)
		}
		before := len(f.seen)
		shared := make([]token.Token, 8)
		for i := range shared {
			shared[i], _ = issue(t, db, w, uuid.Nil)
		}
		var written atomic.Int64
		written.Add(int64(len(shared)))
		done := make(chan struct{})
		var writing, reading errgroup.Group
		reading.Go(func() error {
			for {
				select {
				case <-done:
					return f.read(t.Context(), 7)
				default:
					if err := f.read(t.Context(), 7); err != nil {
						return err
					}
				}
			}
		})
		for i := range writers {
			writing.Go(func() error {
				for round := range rounds {
					open := time.Duration(rand.Int64N(int64(5 * time.Millisecond)))
					one := shared[rand.IntN(len(shared))]
					switch {
					case i < len(shared) && round == rounds/2: // each of them revokes another token
						if err := removeUser(t.Context(), db, w, w.Owner.ID, shared[i], open); err != nil {
							return err
						}
						written.Add(3)
					case round%3 == 0:
						d, _ := draft(w, w.Stores[0].ID)
						d.MaxLive = 1_000
						if err := db.Tokens().Insert(t.Context(), byTest, d); err != nil {
							return err
						}
						written.Add(1)
					default:
						if err := update(t.Context(), db, one, open); err != nil {
							return err
						}
						written.Add(1)
					}
				}
				return nil
			})
		}
		err := writing.Wait()
		dbtest.AwaitLog(t, db, w.Account.ID)
		close(done)
		if err := errors.Join(err, reading.Wait()); err != nil {
			t.Fatal(err)
		}
		checkLog(t, f.seen[before:], int(written.Load()))
	})
}

// The transaction that gets its number first can change a subject last.
func TestLogOrderOfSubject(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		shared, _ := issue(t, db, w, uuid.Nil)
		var both errgroup.Group
		began := make(chan struct{})
		both.Go(func() error {
			return db.Memberships().Change(t.Context(), byTest, w.Account.ID, func(c membership.Change) error {
				first := []audit.Event{userEvent(w, w.Owner.ID, audit.UserUpdated)}
				if err := c.Record(t.Context(), first); err != nil {
					return err
				}
				close(began)
				if db.Dialect() == "postgres" { // SQLite has one writer
					time.Sleep(100 * time.Millisecond)
				}
				_, err := c.RevokeTokens(t.Context(), revocationOf([]uuid.UUID{shared.ID}, shared))
				return err
			})
		})
		both.Go(func() error {
			<-began
			return update(t.Context(), db, shared, 200*time.Millisecond)
		})
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		filter := audit.LogFilter{SubjectKind: audit.TargetAPIToken, SubjectKey: shared.ID.String()}
		page, err := db.Log().Log(t.Context(), w.Account.ID, filter, audit.LogWindow{Size: paging.MaxSize})
		if err != nil {
			t.Fatal(err)
		}
		checkLog(t, nodes(page), 3)
	})
}

// One statement for many events counts those of each subject.
func TestSequencesOfManyEvents(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		var list []audit.Event
		subjects := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		for i := range 2500 {
			list = append(list, userEvent(w, subjects[i%3], audit.UserUpdated))
			if i%5 == 0 {
				list = append(list, userEvent(w, subjects[i%3], audit.UserInvited)) // without a type
			}
		}
		for range 2 {
			if err := gormdb.Record(t.Context(), db, byTest, list); err != nil {
				t.Fatal(err)
			}
			for i := range list {
				list[i].ID = uuid.Must(uuid.NewV7())
			}
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		f := follower{log: db.Log(), account: w.Account.ID}
		if err := f.read(t.Context(), paging.MaxSize); err != nil {
			t.Fatal(err)
		}
		var theirs []audit.Event
		for _, e := range f.seen {
			if e.Action == audit.UserInvited {
				t.Fatalf("the log: got %+v, want only events with a type", e)
			}
			if e.Target.Name == "User" {
				theirs = append(theirs, e)
			}
		}
		checkLog(t, theirs, 5000)
		first := theirs[0]
		same(t, "data", string(first.Data), fmt.Sprintf(`{"id": %q}`, first.Target.Key))
		check.Equal(t, first.Version, 1, "the version")
	})
}

// Concurrent changes of one token and one user leave no gap in their sequences.
func TestSequencesHaveNoGaps(t *testing.T) {
	dbtest.EachDatabase(t, func(t *testing.T, db *gormdb.DB) {
		w := dbtest.Seed{}.Make(t, db)
		one, _ := issue(t, db, w, w.Stores[0].ID)
		var all errgroup.Group
		for i := range 24 {
			all.Go(func() error {
				switch i % 4 {
				case 0:
					return db.Users().Change(t.Context(), byTest, w.Account.ID, func(c user.Change) error {
						return c.Record(t.Context(), []audit.Event{userEvent(w, w.Owner.ID, audit.UserUpdated)})
					})
				case 1:
					_, err := db.Tokens().Revoke(t.Context(), byTest, revocationOf([]uuid.UUID{one.ID}, one))
					return err
				case 2:
					return db.Manifest().Record(t.Context(), userEvent(w, w.Owner.ID, audit.UserUpdated))
				default:
					return update(t.Context(), db, one, 0)
				}
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		dbtest.AwaitLog(t, db, w.Account.ID)
		for _, tc := range []struct {
			subject audit.LogFilter
			want    int
		}{
			{audit.LogFilter{SubjectKind: audit.TargetAPIToken, SubjectKey: one.ID.String()}, 1 + 6 + 1},
			{audit.LogFilter{SubjectKind: audit.TargetUser, SubjectKey: w.Owner.ID.String(),
				Types: []audit.Type{"user.updated"}}, 12},
		} {
			page, err := db.Log().Log(t.Context(), w.Account.ID, tc.subject, audit.LogWindow{Size: paging.MaxSize})
			if err != nil {
				t.Fatal(err)
			}
			checkLog(t, nodes(page), tc.want)
			if n, err := db.Log().CountLog(t.Context(), w.Account.ID, tc.subject); err != nil || n != int64(tc.want) {
				t.Errorf("counted %d, %v; want %d", n, err, tc.want)
			}
		}
	})
}
