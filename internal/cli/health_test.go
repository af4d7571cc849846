package cli_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

// health succeeds while the server is ready, and otherwise names the check that failed.
func TestHealth(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		s := serve(t, environment(t, url))
		s.shows(t, "/readyz", `{"ready":true`)
		_, port, _ := strings.Cut(strings.TrimPrefix(s.admin, "http://"), ":")
		// In a container the listener is on all addresses.
		for _, address := range []string{"127.0.0.1:" + port, "0.0.0.0:" + port, ":" + port} {
			check.Equal(t, run(t, map[string]string{"LATCHKEY_ADMIN_ADDR": address}, "health"), "ready\n",
				"health at %s", address)
		}
		dbtest.Exec(t, url,
			"CREATE TRIGGER full_disk BEFORE UPDATE ON write_checks BEGIN SELECT RAISE(ABORT, 'disk full'); END",
			"ALTER TABLE write_checks ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
		s.shows(t, "/readyz", `{"name":"writing","ok":false`)
		_, said, status := attempt(t, nil, "health", "--admin-addr", "127.0.0.1:"+port)
		check.Equal(t, status, 1, "status of health while the server cannot write")
		check.Equal(t, strings.HasPrefix(said, "latchkey: the server is not ready: writing: "), true,
			"whether %q names only the check that failed", said)
		s.stop(t)
		_, said, status = attempt(t, nil, "health", "--admin-addr", "127.0.0.1:"+port)
		check.Equal(t, status, 1, "status of health without a server")
		check.Equal(t, strings.Contains(said, "connection refused"), true, "whether %q has the reason", said)
	})
}

// An answer that is not of the admin listener is an error, such as that of the public listener or of another program.
func TestHealthOfAnotherProgram(t *testing.T) {
	for name, answer := range map[string]string{"text": "ok", "other JSON": `{"ready":true}`,
		"another status": `{"ready":false,"checks":[]}`} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(answer))
		}))
		_, said, status := attempt(t, nil, "health", "--admin-addr", strings.TrimPrefix(other.URL, "http://"))
		check.Equal(t, status, 1, "status for %s", name)
		check.Equal(t, strings.Contains(said, "not as the admin listener"), true, "whether %q says why", said)
		other.Close()
	}
}
