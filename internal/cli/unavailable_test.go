package cli_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

// If the database is down, clients are asked to retry. The response does not
// reveal the cause.
func TestUnavailableDatabase(t *testing.T) {
	keepRace(t)
	cluster, url := dbtest.OwnCluster(t, dbtest.Options{})
	env := environment(t, url)
	run(t, env, "migrate")
	s, session := demo(t, env, "--request-timeout", "5s")
	post := func() (status int, retryAfter, text string) {
		t.Helper()
		req, err := http.NewRequest("GET", s.public+"/accounts/"+acmeID+"/graphql?query={viewer{kind}}", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", session)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("Retry-After"), string(body)
	}
	await := func(want int) (retryAfter, text string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			status, retryAfter, text := post()
			if status == want {
				return retryAfter, text
			}
			if time.Now().After(deadline) {
				t.Fatalf("got %d, %s within the time, want %d", status, text, want)
			}
		}
	}
	await(200)
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	retryAfter, text := await(503) // once the server no longer uses its cache
	const want = `{"errors":[{"message":"Something went wrong on our side. Try again. If it keeps failing, report the request id.","extensions":{"code":"INTERNAL","requestId":"`
	if !strings.HasPrefix(text, want) || retryAfter != "1" {
		t.Errorf("got Retry-After %q, %s, want \"1\", %s", retryAfter, text, want)
	}
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	await(200)
}
