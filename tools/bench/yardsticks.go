package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The yardsticks are servers in processes of their own: this program, started with the yardstick's name. Latchkey is
// measured in the same way.

// serveYardstick serves the named yardstick until ctx ends.
func serveYardstick(ctx context.Context, name, address, database string) error {
	var handler http.Handler
	switch name {
	case "bare":
		handler = bareHandler()
	case "receiver":
		handler = receiverHandler()
	case "hand":
		pool, err := pgxpool.New(ctx, database)
		if err != nil {
			return err
		}
		defer pool.Close()
		handler = handHandler(pool)
	default:
		return fmt.Errorf("no yardstick %q", name)
	}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareWanted is in every response of bare.
const bareWanted = `"padding"`

// refusalPath is the path where bare sends Latchkey's response to a mistyped secret.
const refusalPath = "/refusal"

// permissionPath is the path where bare sends Latchkey's response to a gateway whose client's token has the scope.
const permissionPath = "/permission"

// bareHandler responds with 200 fixed bytes of JSON, a refusal or a permission: the cost of net/http itself.
func bareHandler() http.Handler {
	const size = 200
	open, end := `{`+bareWanted+`:"`, `"}`
	body := []byte(open + strings.Repeat("x", size-len(open)-len(end)) + end)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case refusalPath:
			bareRefuse(w)
			return
		case permissionPath:
			barePermit(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
}

// refusal is as long as Latchkey's, and has as many headers: net/http adds the length and the date.
const refusal = `{"errors":[{"message":"This credential does not work. It may be mistyped, expired, revoked, ` +
	`or used from an address it is not allowed from.","extensions":{"code":"UNAUTHENTICATED","requestId":"LFGJU5USGAQZ3ZMYAHL7KBLTB2-1d2x"}}]}` + "\n"

func bareRefuse(w http.ResponseWriter) {
	h := w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Type"] = []string{"application/json; charset=utf-8"}
	h["Www-Authenticate"] = []string{`Bearer realm="latchkey", error="invalid_token"`}
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, refusal)
}

// barePermit sends a response of the same length and with as many headers as Latchkey's.
func barePermit(w http.ResponseWriter) {
	h := w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["X-Latchkey-Account"] = []string{"0b2c1a6e-6a7e-4f4e-9c1f-0a1f4f4b7a01"}
	h["X-Latchkey-Scopes"] = []string{"store_v2_orders store_v2_orders_read_only store_v2_products_read_only"}
	h["X-Latchkey-Store"] = []string{"benchst1"}
	h["X-Latchkey-Token"] = []string{"0193a1b2-6a7e-7f4e-9c1f-0a1f4f4b7a01"}
	w.WriteHeader(http.StatusNoContent)
}

// page is the response to usersQuery, written by hand.
type page struct {
	Data struct {
		Account struct {
			Users struct {
				Edges []edge `json:"edges"`
			} `json:"users"`
		} `json:"account"`
	} `json:"data"`
}

type edge struct {
	Cursor string `json:"cursor"`
	Node   user   `json:"node"`
}

type user struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Locale    string `json:"locale"`
}

// handQuery reads the newest users of an account, as Latchkey's list does.
const handQuery = `SELECT u.id::text, u.email, u.first_name, u.last_name, u.locale
FROM account_users a JOIN users u ON u.id = a.user_id
WHERE a.account_id = $1 ORDER BY a.user_id DESC LIMIT $2`

// handHandler returns a list of the account in the path, as one would write it for this purpose only: no
// authentication, no GraphQL, one query and encoding/json.
func handHandler(pool *pgxpool.Pool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /users/{account}", func(w http.ResponseWriter, r *http.Request) {
		p, err := handPage(r.Context(), pool, r.PathValue("account"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p)
	})
	mux.Handle("GET /subscriptions/{account}",
		handList(pool, "subscriptions", handSubscriptionsQuery, scanSubscription))
	mux.Handle("GET /charges/{account}", handList(pool, "charges", handChargesQuery, scanCharge))
	return mux
}

func handPage(ctx context.Context, pool *pgxpool.Pool, account string) (page, error) {
	var p page
	rows, err := pool.Query(ctx, handQuery, account, listedUsers)
	if err != nil {
		return p, err
	}
	p.Data.Account.Users.Edges, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (edge, error) {
		var e edge
		err := row.Scan(&e.Node.ID, &e.Node.Email, &e.Node.FirstName, &e.Node.LastName, &e.Node.Locale)
		e.Cursor = e.Node.ID
		e.Node.ID = "bc/account/user/" + e.Node.ID
		return e, err
	})
	return p, err
}
