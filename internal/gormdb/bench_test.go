package gormdb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"latchkey/internal/access"
	"latchkey/internal/account"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/chain"
	"latchkey/internal/gormdb"
	"latchkey/internal/oauth"
	"latchkey/internal/paging"
	"latchkey/internal/secret"
	dbtest "latchkey/internal/test/db"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// The benchmarks run the repositories and the same work written by hand on the same database, with the durability of
// production.

// durable is one cluster for all benchmarks of a run.
var durable = sync.OnceValues(func() (*dbtest.Cluster, error) {
	return dbtest.StartCluster(dbtest.Options{Durable: true, Settings: map[string]string{"shared_buffers": "512MB"}})
})

// eachDurable runs a benchmark on both databases.
func eachDurable(b *testing.B, run func(b *testing.B, url string)) {
	b.Run("sqlite", func(b *testing.B) { run(b, migrated(b, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))) })
	b.Run("postgres", func(b *testing.B) {
		cluster, err := durable()
		if err != nil {
			b.Fatal(err)
		}
		url, err := cluster.CreateDatabase(b.Context(), "bench_"+strings.ReplaceAll(uuid.NewString(), "-", ""))
		if err != nil {
			b.Fatal(err)
		}
		run(b, migrated(b, url))
	})
}

func migrated(b *testing.B, url string) string {
	b.Helper()
	if _, err := dbtest.Open(b, url).Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return url
}

// parallel runs work in 32 concurrent clients.
func parallel(b *testing.B, work func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := work(next.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// manyStores creates enough owners that no limit is reached.
func manyStores(b *testing.B, db *gormdb.DB) dbtest.World {
	b.Helper()
	return dbtest.Seed{Stores: 1000}.Make(b, db)
}

func BenchmarkInsert(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		begin(b, db)
		w := manyStores(b, db)
		raw := newRaw(b, url)
		next := func(i int64) token.Draft {
			d, _ := draft(w, w.Stores[i%1000].ID, func(d *token.Draft) { d.MaxLive = 1_000_000 })
			return d
		}
		b.Run("ours", func(b *testing.B) {
			parallel(b, func(i int64) error { return db.Tokens().Insert(b.Context(), auth.NoActor("a test"), next(i)) })
		})
		b.Run("ours while events are sealed", func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			var sealing sync.WaitGroup
			sealer := chain.NewSealer(gormdb.Chain(db), keyring, time.Now, slog.New(slog.DiscardHandler), func(int) {})
			sealing.Go(func() { sealer.Run(ctx) })
			parallel(b, func(i int64) error { return db.Tokens().Insert(b.Context(), auth.NoActor("a test"), next(i)) })
			cancel()
			sealing.Wait()
		})
		b.Run("ours by a token", func(b *testing.B) {
			_, value := issue(b, db, w, uuid.Nil)
			by := actorOf(b, db, value)
			parallel(b, func(i int64) error { return db.Tokens().Insert(b.Context(), by, next(i)) })
		})
		b.Run("ours with a webhook", func(b *testing.B) {
			subscribe(b, url, w.Account.ID, "api_token.*")
			parallel(b, func(i int64) error { return db.Tokens().Insert(b.Context(), auth.NoActor("a test"), next(i)) })
			dbtest.Exec(b, url, "DELETE FROM webhook_types", "DELETE FROM webhook_types")
		})
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(i int64) error {
				return gormdb.ViaGORM{DB: db}.Insert(b.Context(), auth.NoActor("a test"), next(i))
			})
		})
		b.Run("raw", func(b *testing.B) {
			parallel(b, func(i int64) error { return raw.insert(b.Context(), next(i)) })
		})
	})
}

func BenchmarkRevoke(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		raw := newRaw(b, url)
		for _, size := range []int{1, 50} {
			made := func(b *testing.B) []token.Token {
				made := make([]token.Token, b.N*size)
				for i := range made {
					d, _ := draft(w, w.Stores[i%1000].ID)
					if err := raw.insert(b.Context(), d); err != nil {
						b.Fatal(err)
					}
					made[i] = d.Token
				}
				return made
			}
			b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
				made := made(b)
				parallel(b, func(i int64) error {
					some := made[int(i-1)*size : int(i)*size]
					ended, err := db.Tokens().Revoke(b.Context(), auth.NoActor("a test"), revocationOf(idsOf(some),
						some[0]))
					if len(ended.Unknown) > 0 {
						return errors.New("unknown tokens")
					}
					return err
				})
			})
			b.Run(fmt.Sprintf("gorm/%d", size), func(b *testing.B) {
				made := made(b)
				parallel(b, func(i int64) error {
					some := made[int(i-1)*size : int(i)*size]
					return gormdb.ViaGORM{DB: db}.Revoke(b.Context(), auth.NoActor("a test"),
						revocationOf(idsOf(some), some[0]))
				})
			})
		}
	})
}

func BenchmarkGrant(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		made := make([]token.Token, 1000)
		for i := range made {
			made[i], _ = issue(b, db, w, w.Stores[i].ID)
		}
		next := func(i int64) oauth.Draft {
			d, _ := grantDraft(made[i%1000], noon, 1_000_000)
			return d
		}
		b.Run("ours", func(b *testing.B) {
			parallel(b, func(i int64) error { return db.Grants().Grant(b.Context(), auth.NoActor("a test"), next(i)) })
		})
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(i int64) error {
				return gormdb.ViaGORM{DB: db}.Grant(b.Context(), auth.NoActor("a test"),
					next(i))
			})
		})
	})
}

// gorm inserts audit events; statements written by hand do it only where they insert another row as well.
func BenchmarkRecord(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		next := func() []audit.Event {
			return []audit.Event{event(token.Token{ID: uuid.New(), AccountID: w.Account.ID}, audit.APITokenUpdated)}
		}
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(int64) error {
				return gormdb.ViaGORM{DB: db}.Record(b.Context(), auth.NoActor("a test"),
					next())
			})
		})
		b.Run("sql", func(b *testing.B) {
			parallel(b, func(int64) error {
				return gormdb.Record(b.Context(), db, auth.NoActor("a test"),
					next())
			})
		})
	})
}

func BenchmarkStore(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		ref := func(i int64) account.StoreRef { return account.StoreRef{Hash: w.Stores[i%1000].Hash} }
		b.Run("ours", func(b *testing.B) {
			parallel(b, func(i int64) error {
				_, _, err := db.Accounts().Store(b.Context(), w.Account.ID, ref(i))
				return err
			})
		})
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(i int64) error {
				_, err := gormdb.ViaGORM{DB: db}.Store(b.Context(), w.Account.ID, ref(i))
				return err
			})
		})
	})
}

func BenchmarkTokenByDigest(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		raw := newRaw(b, url)
		var candidates [][]secret.KeyedDigest
		for i := range 2000 {
			d, value := draft(w, w.Stores[i%1000].ID)
			if err := raw.insert(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			candidates = append(candidates, keyring.Candidates(value))
		}
		lookups := db.Access() // one, so that concurrent look-ups are batched
		b.Run("ours", func(b *testing.B) {
			parallel(b, func(i int64) error {
				_, err := lookups.Credential(b.Context(), secret.StoreAccessToken, candidates[i%2000])
				return err
			})
		})
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(i int64) error {
				_, err := gormdb.ViaGORM{DB: db}.Credential(b.Context(), candidates[i%2000])
				return err
			})
		})
		b.Run("raw", func(b *testing.B) {
			parallel(b, func(i int64) error {
				var id, account [16]byte
				var scopes string
				return raw.row(b.Context(), `SELECT t.id, t.account_id, t.scopes FROM access_tokens AS x
					JOIN api_tokens AS t ON t.account_id = x.account_id AND t.id = x.api_token_id WHERE x.digest = $1`,
					candidates[i%2000][0].Digest[:]).Scan(raw.uuid(&id), raw.uuid(&account), &scopes)
			})
		})
	})
}

func BenchmarkUsers(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := dbtest.Seed{Users: 2000}.Make(b, db)
		raw := newRaw(b, url)
		list, err := db.Users().Users(b.Context(), w.Account.ID, user.Filter{}, paging.Window{Size: paging.MaxSize})
		if err != nil {
			b.Fatal(err)
		}
		depth := list.Items[len(list.Items)-1].Key
		execute(b, url, "ANALYZE") // PostgreSQL does that within a minute
		b.Run("ours", func(b *testing.B) {
			parallel(b, func(int64) error {
				_, err := db.Users().Users(b.Context(), w.Account.ID, user.Filter{},
					paging.Window{Size: 50, After: &depth})
				return err
			})
		})
		b.Run("gorm", func(b *testing.B) {
			parallel(b, func(int64) error {
				_, err := gormdb.ViaGORM{DB: db}.Users(b.Context(), w.Account.ID,
					paging.Window{Size: 50, After: &depth})
				return err
			})
		})
		b.Run("raw", func(b *testing.B) {
			parallel(b, func(int64) error { return raw.users(b.Context(), w.Account.ID, depth) })
		})
	})
}

func BenchmarkKeepUses(b *testing.B) {
	eachDurable(b, func(b *testing.B, url string) {
		db := dbtest.Open(b, url)
		w := manyStores(b, db)
		raw := newRaw(b, url)
		uses := make([]access.Use, 1000)
		for i := range uses {
			d, _ := draft(w, w.Stores[i].ID)
			if err := raw.insert(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			uses[i] = access.Use{AccountID: w.Account.ID, TokenID: d.Token.ID}
		}
		for i := 0; b.Loop(); i++ {
			for j := range uses {
				uses[j].At = later(time.Duration(i) * time.Second)
			}
			if err := db.Uses().SaveUses(b.Context(), uses); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// rawDatabase does the same work by hand, without limit and feed.
type rawDatabase struct {
	pool   *pgxpool.Pool
	sqlite *sqliteByHand
}

// row is a row of either driver.
type row interface{ Scan(...any) error }

func newRaw(b *testing.B, url string) rawDatabase {
	b.Helper()
	if strings.HasPrefix(url, "sqlite:") {
		db := raw(b, url+"?_pragma=synchronous(full)&_pragma=foreign_keys(on)&_txlock=immediate")
		db.SetMaxOpenConns(1)
		return rawDatabase{sqlite: &sqliteByHand{db}}
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = gormdb.DefaultConnections
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return rawDatabase{pool: pool}
}

func (r rawDatabase) uuid(to *[16]byte) any {
	if r.sqlite != nil {
		return (*uuid.UUID)(to)
	}
	return to
}

func (r rawDatabase) row(ctx context.Context, sql string, args ...any) row {
	if r.sqlite != nil {
		return r.sqlite.db.QueryRowContext(ctx, sql, args...)
	}
	return r.pool.QueryRow(ctx, sql, args...)
}

const (
	rawToken = `INSERT INTO api_tokens (account_id, id, store_id, name, client_id, client_secret_digest, client_secret_key, scopes,
		allowed_ip_ranges, created_at, created_by_kind, created_by_id, created_by_name)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, $10, $11, $12)`
	rawAccess = `INSERT INTO access_tokens (account_id, api_token_id, id, digest, digest_key, hint, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	rawEvent  = `INSERT INTO audit_events (account_id, id, at, actor_kind, actor_id, actor_name, action, target_kind, target_key,
		target_name, ip, request_id, details) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
)

// insert inserts three rows in one transaction and, on PostgreSQL, in one round trip.
func (r rawDatabase) insert(ctx context.Context, d token.Draft) error {
	id := func(id uuid.UUID) any { return [16]byte(id) }
	at := func(t time.Time) any { return t }
	if r.sqlite != nil {
		id = func(id uuid.UUID) any { return id.String() }
		at = func(t time.Time) any { return t.UnixMicro() }
	}
	details, err := json.Marshal(d.Event.Details)
	if err != nil {
		return err
	}
	t, x, e := d.Token, d.Access, d.Event
	statements := []string{rawToken, rawAccess, rawEvent}
	args := [][]any{
		{id(t.AccountID), id(t.ID), id(t.StoreID), t.Name, t.ClientID, d.ClientSecret.Digest[:],
			string(d.ClientSecret.Key), t.Scopes.String(),
			at(t.CreatedAt), string(t.CreatedBy.Kind), id(t.CreatedBy.ID), t.CreatedBy.Name},
		{id(t.AccountID), id(t.ID), id(x.Record.ID), x.Digest.Digest[:], string(x.Digest.Key), x.Record.Hint,
			at(x.Record.CreatedAt)},
		{id(e.AccountID), id(e.ID), at(e.At), string(e.Actor.Kind), id(e.Actor.ID), e.Actor.Name, string(e.Action),
			string(e.Target.Kind),
			e.Target.Key, e.Target.Name, e.IP, e.RequestID, string(details)},
	}
	if r.sqlite != nil {
		return r.sqlite.transact(ctx, statements, args)
	}
	var batch pgx.Batch
	for i := range statements {
		batch.Queue(statements[i], args[i]...)
	}
	return r.pool.SendBatch(ctx, &batch).Close()
}

func (r rawDatabase) users(ctx context.Context, account, after uuid.UUID) error {
	const statement = `SELECT u.id, u.email, u.first_name, u.last_name, u.locale FROM account_users AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.account_id = $1 AND m.user_id < $2 ORDER BY m.user_id DESC LIMIT 51`
	if r.sqlite != nil {
		return r.sqlite.users(ctx, statement, account.String(), after.String())
	}
	rows, err := r.pool.Query(ctx, statement, [16]byte(account), [16]byte(after))
	if err != nil {
		return err
	}
	found := make([]user.User, 0, 51)
	for rows.Next() {
		var u user.User
		if err := rows.Scan((*[16]byte)(&u.ID), &u.Email, &u.FirstName, &u.LastName, &u.Locale); err != nil {
			return err
		}
		found = append(found, u)
	}
	if len(found) != 51 {
		return fmt.Errorf("%d users", len(found))
	}
	return rows.Err()
}
