package cli_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	dbtest "latchkey/internal/test/db"
)

// balancer is a load balancer in front of servers. Its configuration is the one
// in examples, without retries.
type balancer interface {
	url() string
	client() *http.Client
	// remove takes a server out of rotation before it stops. restore returns it
	// once it is ready.
	remove(t *testing.T, server int)
	restore(t *testing.T, server int)
}

// configuration returns the text of an example with replacements, given as
// pairs of old and new text. Each old text must occur exactly once.
func configuration(t *testing.T, name string, oldNew ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldNew); i += 2 {
		if strings.Count(string(text), oldNew[i]) != 1 {
			t.Fatalf("%q occurs %d times in %s, want once", oldNew[i], strings.Count(string(text), oldNew[i]), name)
		}
	}
	return strings.NewReplacer(oldNew...).Replace(string(text))
}

// port returns the port number of an address.
func port(t *testing.T, address string) int {
	t.Helper()
	n, err := strconv.Atoi(address[strings.LastIndex(address, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// awaitText polls a URL until the response matches.
func awaitText(t *testing.T, url, pattern string) {
	t.Helper()
	var text []byte
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if res, err := http.Get(url); err == nil {
			text, err = io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil && regexp.MustCompile(pattern).Match(text) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %s within the time, want it to match %s", url, text, pattern)
		}
	}
}

// haproxy checks the readiness of the servers itself.
type haproxy struct{ address, stats string }

func startHAProxy(t *testing.T, nodes []node) *haproxy {
	t.Helper()
	h := &haproxy{freeAddress(t), freeAddress(t)}
	text := configuration(t, "haproxy/haproxy.cfg", "127.0.0.1:8000", h.address, "retries 2", "retries 0",
		"    option redispatch\n", "",
		"inter 500ms", "inter 100ms",
		"10.0.0.1:8080 check port 8081", nodes[0].checked(),
		"10.0.0.2:8080 check port 8081", nodes[1].checked(),
		"10.0.0.3:8080 check port 8081", nodes[2].checked())
	text += "\nlisten stats\n    bind " + h.stats + "\n    stats enable\n    stats uri /\n"
	dbtest.Daemon{
		Program: "haproxy", Package: "haproxy", Args: []string{"-db", "-f", "haproxy.cfg"}, Port: port(t, h.address),
		Files: map[string]string{"haproxy.cfg": text},
	}.Start(t)
	return h
}

// checked has the addresses of the servers in HAProxy's configuration.
func (n node) checked() string {
	return n.public + " check port " + n.admin[strings.LastIndex(n.admin, ":")+1:]
}

func (h *haproxy) url() string          { return "http://" + h.address }
func (h *haproxy) client() *http.Client { return http.DefaultClient }

func (h *haproxy) remove(*testing.T, int) {}

func (h *haproxy) restore(t *testing.T, server int) {
	t.Helper()
	awaitText(t, "http://"+h.stats+"/;csv", "latchkey,"+string(rune('a'+server))+",.*,UP,")
}

// nginx uses the servers in its configuration, without checks.
type nginx struct {
	address, generations string
	nodes                []node
	generation           int
	*dbtest.RunningDaemon
}

func startNginxBalancer(t *testing.T, nodes []node) *nginx {
	t.Helper()
	n := &nginx{address: freeAddress(t), generations: freeAddress(t), nodes: nodes}
	n.RunningDaemon = dbtest.Daemon{
		Program: "nginx", Package: "nginx", Args: []string{"-p", ".", "-c", "nginx.conf", "-e", "stderr"},
		Port:  port(t, n.address),
		Files: map[string]string{"nginx.conf": nginxAround, "latchkey.conf": n.without(t, -1)},
	}.Start(t)
	// nginx opens its port before it is ready for signals: a reload at that moment would wait for the next signal.
	n.await(t)
	return n
}

// without returns the configuration without a server, or with all for -1. The
// configuration also serves its generation, to detect when it is loaded.
func (n *nginx) without(t *testing.T, server int) string {
	t.Helper()
	var servers [3]string
	for i, node := range n.nodes {
		servers[i] = node.public
		if i == server {
			servers[i] += " down"
		}
	}
	n.generation++
	return configuration(t, "nginx/balancer.conf", "127.0.0.1:8000", n.address, "proxy_next_upstream error timeout",
		"proxy_next_upstream off",
		"10.0.0.1:8080", servers[0], "10.0.0.2:8080", servers[1], "10.0.0.3:8080", servers[2]) +
		"server { listen " + n.generations + "; location / { return 200 ." + strconv.Itoa(n.generation) + ".; } }\n"
}

func (n *nginx) url() string { return "http://" + n.address }

// client returns a client that opens a connection per request, because nginx
// closes idle connections when it is reloaded.
func (n *nginx) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func (n *nginx) remove(t *testing.T, server int) {
	t.Helper()
	n.Reload(t, map[string]string{"latchkey.conf": n.without(t, server)})
	n.await(t)
}

// await waits until the newest configuration is used.
func (n *nginx) await(t *testing.T) {
	t.Helper()
	awaitText(t, "http://"+n.generations, `\.`+strconv.Itoa(n.generation)+`\.`)
}

func (n *nginx) restore(t *testing.T, _ int) {
	t.Helper()
	n.remove(t, -1)
}
