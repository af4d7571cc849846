package cli_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/certs"
	"latchkey/internal/test/check"
	dbtest "latchkey/internal/test/db"
)

const (
	oneScope = `resources:
  - {key: socks, name: Socks, section: Goods, level: store, description: Socks of the store., permissions: [
      {name: read-only, scope: store_socks_read, description: Read socks.}]}
`
	twoScopes = oneScope + `  - {key: hats, name: Hats, section: Goods, level: store, description: Hats of the store., permissions: [
      {name: read-only, scope: store_hats_read, description: Read hats.}]}
`
	socksRoute = "routes:\n  - {paths: [/v9/socks], read: store_socks_read}\n"
	hatsRoute  = "routes:\n  - {paths: [/v9/hats, \"/v9/hats/{id}\"], read: store_hats_read}\n"
)

// reload sends SIGHUP and waits until the log has one more line with the text.
func (s *server) reload(t *testing.T, text string) {
	t.Helper()
	before := strings.Count(s.logged(), text)
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); strings.Count(s.logged(), text) <= before; {
		if time.Now().After(deadline) {
			t.Fatalf("the log: got %s, want one more line with %s", s.logged(), text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A server whose routes are named in a settings file keeps them if the file is emptied.
func TestReloadOfAnEmptiedFile(t *testing.T) {
	handleHangUp(t)
	dir := t.TempDir()
	write := func(name, text string) string { t.Helper(); return certs.Write(t, dir, name, []byte(text)) }
	settings := write("latchkey.conf", "LATCHKEY_ROUTES="+write("routes.yaml", socksRoute)+
		"\nLATCHKEY_CATALOGUE="+write("catalogue.yaml", oneScope)+"\n")
	s := serve(t, environment(t, "sqlite:"+filepath.Join(dir, "l.db")), "--config", settings)
	write("latchkey.conf", "# all gone\n")
	s.reload(t, "is not set any more. Restart the server")
	s.shows(t, "/metrics", "\nlatchkey_config_last_reload_successful 0\n")
}

// A reload and the check for new certificates do not wait for a named pipe in place of a file.
func TestReloadRefusesPipes(t *testing.T) {
	handleHangUp(t)
	a := certs.NewAuthority(t, "Test authority")
	dir := t.TempDir()
	write := func(name, text string) string { t.Helper(); return certs.Write(t, dir, name, []byte(text)) }
	cert, key := a.Issue(t, certs.Options{}).Write(t, dir)
	authorities := write("ca.crt", string(a.PEM))
	catalogue, routes := write("catalogue.yaml", oneScope), write("routes.yaml", socksRoute)
	settings := write("latchkey.conf", "LATCHKEY_LOG_LEVEL=info\n")
	s := serve(t, environment(t, dbtest.SQLiteURL(t)), "--tls-cert", cert, "--tls-key", key, "--tls-client-ca",
		authorities, "--catalogue", catalogue, "--routes", routes, "--config", settings,
		"--gateway-addresses", "127.0.0.0/8")
	for _, path := range []string{cert, key, authorities, catalogue, routes, settings} {
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		s.reload(t, "cannot read "+path+": it is not a regular file")
		if err := os.Rename(path+".old", path); err != nil {
			t.Fatal(err)
		}
	}
	s.reload(t, "reloaded, and nothing has changed")
}

// SIGHUP makes a server use new routes, scopes, settings and certificates, all or none of them, while requests go on
// and none fails. It logs what changed.
func TestReload(t *testing.T) {
	keepRace(t)
	handleHangUp(t)
	a := certs.NewAuthority(t, "Test authority")
	dbtest.EachURL(t, func(t *testing.T, url string) { testReload(t, a, url) })
}

func testReload(t *testing.T, a *certs.Authority, url string) {
	dir := t.TempDir()
	write := func(name, text string) string { t.Helper(); return certs.Write(t, dir, name, []byte(text)) }
	cert, key := a.Issue(t, certs.Options{Serial: 0x2001}).Write(t, dir)
	catalogue, routes := write("catalogue.yaml", oneScope), write("routes.yaml", socksRoute)
	settings := write("latchkey.conf", "# the log\nLATCHKEY_LOG_LEVEL = \"info\"\n")
	env := environment(t, url)
	s := serve(t, env, "--tls-cert", cert, "--tls-key", key, "--catalogue", catalogue, "--routes", routes, "--config",
		settings, "--gateway-addresses", "127.0.0.0/8")
	client := fresh(t, a)
	asks := func(client *http.Client, path string) (status int, challenge string) {
		t.Helper()
		req, err := http.NewRequest("GET", s.public+"/gateway/check", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Original-Uri", path)
		req.Header.Set("X-Original-Method", "GET")
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("a request: %v", err)
			return 0, ""
		}
		defer res.Body.Close()
		return res.StatusCode, res.Header.Get("WWW-Authenticate")
	}
	stop := make(chan struct{})
	var answered atomic.Int64
	var asking sync.WaitGroup
	kept := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: a.Client(t)}}
	for _, c := range []*http.Client{client, kept} {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, _ := asks(c, "/stores/acme1us/v9/socks"); status != 401 {
					t.Errorf("a request without a credential: got %d, want 401", status)
				}
				answered.Add(1)
			}
		})
	}
	finish := sync.OnceFunc(func() { close(stop); asking.Wait() })
	defer finish()

	s.reload(t, `"msg":"reloaded, and nothing has changed"`)
	write("catalogue.yaml", twoScopes)
	write("routes.yaml", hatsRoute)
	write("latchkey.conf", "LATCHKEY_LOG_LEVEL=debug\nLATCHKEY_CACHE_SIZE=7\n")
	s.reload(t, `"msg":"settings have changed that need a restart","settings":["--cache-size"]`)
	for _, want := range []string{
		`"msg":"the log level was changed","from":"INFO","to":"DEBUG"`,
		`"msg":"the catalogue of scopes was changed","added":1,"names":["store_hats_read"],"descriptions_changed":false`,
		`"msg":"the routes were changed","added":2,"added_paths":["/v9/hats","/v9/hats/{id}"],"removed":1,"removed_paths":["/v9/socks"],"changed":0`,
	} {
		s.logs(t, want)
	}
	s.logs(t, `"level":"DEBUG","msg":"request"`)
	metadata, err := client.Get(s.public + "/.well-known/oauth-authorization-server")
	if err != nil {
		t.Fatal(err)
	}
	defer metadata.Body.Close()
	body, err := io.ReadAll(metadata.Body)
	if err != nil {
		t.Fatal(err)
	}
	listed := string(body)
	check.Equal(t, strings.Contains(listed, `"store_hats_read"`), true, "the new scope is in the metadata, %s", listed)
	s.shows(t, "/metrics", "\nlatchkey_config_last_reload_successful 1\n")

	write("latchkey.conf", "LATCHKEY_LOG_LEVEL=debug\n")
	for name, tc := range map[string]struct{ file, text, was, want string }{
		"routes with an unknown scope": {"routes.yaml", strings.ReplaceAll(hatsRoute, "hats_read", "none"), hatsRoute,
			"routes.yaml"},
		"a catalogue without a scope": {"catalogue.yaml", oneScope, twoScopes,
			"The scope store_hats_read was removed, which needs a restart"},
		"a scope of another level": {"catalogue.yaml", strings.Replace(twoScopes, "level: store", "level: account", 1),
			twoScopes, "The scope store_socks_read has another level"},
		"an unknown setting": {"latchkey.conf", "LATCHKEY_NONE=1\n", "LATCHKEY_LOG_LEVEL=debug\n",
			"latchkey.conf, line 1: \\\"LATCHKEY_NONE\\\" is not the variable of a setting"},
		"a certificate without its key": {"tls.crt", string(a.Issue(t, certs.Options{}).Cert), read(t, cert),
			"tls.key does not belong to the first certificate in"},
	} {
		// Valid changes beside the wrong one are not used.
		write(tc.file, tc.text)
		if tc.file != "routes.yaml" {
			write("routes.yaml", socksRoute)
		}
		before := strings.Count(s.logged(), "were changed")
		s.reload(t, `"msg":"the reload failed and changed nothing"`)
		lines := strings.Split(s.logged(), "\n")
		found := false
		for _, line := range lines {
			found = found || strings.Contains(line, "the reload failed") && strings.Contains(line, tc.want)
		}
		check.Equal(t, found, true, "%s: the log names %s: %s", name, tc.want, s.logged())
		check.Equal(t, strings.Count(s.logged(), "were changed"), before, "%s: changes that are logged", name)
		s.shows(t, "/metrics", "\nlatchkey_config_last_reload_successful 0\n")
		write(tc.file, tc.was)
		write("routes.yaml", hatsRoute)
		s.reload(t, `"msg":"reloaded, and nothing has changed"`)
	}

	second := a.Issue(t, certs.Options{Serial: 0x2002})
	certs.Write(t, dir, "tls.crt", second.Cert)
	certs.Write(t, dir, "tls.key", second.Key)
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.logs(t, `"serial":"2002"`)
	check.Equal(t, s.serial(t, client), 0x2002, "serial number of the new certificate")
	finish()
	if answered.Load() < 20 {
		t.Errorf("got %d requests during the reloads, want more", answered.Load())
	}
	check.Equal(t, s.stop(t), 0, "exit status after SIGTERM")
}

// A token that was issued before a reload works on a route that the reload added, and loses one that it removed.
func TestReloadedRoutesApply(t *testing.T) {
	handleHangUp(t)
	dir := t.TempDir()
	routes := certs.Write(t, dir, "routes.yaml", []byte("routes:\n  - {paths: [/v3/catalog/products], read: any}\n"))
	env := environment(t, dbtest.SQLiteURL(t))
	s, session := demo(t, env, "--routes", routes, "--gateway-addresses", "127.0.0.0/8")
	var made issued
	s.must(t, session, issue("Routed", `scopes: ["store_v2_products"]`), &made)
	passes := func(path string) bool {
		t.Helper()
		req, err := http.NewRequest("GET", s.public+"/gateway/check", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"X-Original-Uri": "/stores/acme1us" + path, "X-Original-Method": "GET",
			"X-Auth-Token": made.APIToken.CreateAPIToken.Credentials.AccessToken} {
			req.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == 204
	}
	check.Equal(t, []bool{passes("/v3/catalog/products"), passes("/v9/new")}, []bool{true, false}, "before the reload")
	certs.Write(t, dir, "routes.yaml", []byte("routes:\n  - {paths: [/v9/new], read: any}\n"))
	s.reload(t, `"msg":"the routes were changed","added":1,"added_paths":["/v9/new"],"removed":1`)
	check.Equal(t, []bool{passes("/v3/catalog/products"), passes("/v9/new")}, []bool{false, true}, "after the reload")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
