package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// latchkey is one installation of the measured program: a database, a key and, between start and stop, a server.
type latchkey struct {
	binary string
	dir    string
	env    []string
	server *process
	url    string
}

// install prepares a database and a key file in dir and applies a manifest.
func install(ctx context.Context, binary, dir, database, manifest string) (*latchkey, error) {
	l := &latchkey{binary: binary, dir: dir}
	l.env = []string{
		"LATCHKEY_DATABASE_URL=" + database,
		"LATCHKEY_KEY_FILE=" + l.keyFile(),
		"LATCHKEY_RATE_LIMITS=off",
		"LATCHKEY_CANARY_INTERVAL=off",
		"LATCHKEY_SHUTDOWN_DELAY=0s", // no load balancer has to notice
		// A store gets a few dozen tokens in a run. A faster machine must not reach the limit.
		"LATCHKEY_MAX_TOKENS_PER_STORE=100000",
	}
	manifestFile := filepath.Join(dir, "platform.yaml")
	if err := os.WriteFile(manifestFile, []byte(manifest), 0o600); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"key", "create", l.keyFile()}, {"migrate"}, {"apply", "-f", manifestFile}} {
		if _, err := l.command(ctx, args...); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// on returns another installation of the program with the same keys, on another database or with other settings.
func (l *latchkey) on(database string, settings ...string) *latchkey {
	env := append(slices.Clone(l.env), "LATCHKEY_DATABASE_URL="+database) // the later of two settings counts
	return &latchkey{binary: l.binary, dir: l.dir, env: append(env, settings...)}
}

func (l *latchkey) keyFile() string { return filepath.Join(l.dir, "bench.key") }

// command runs one of the program's commands and returns its standard output.
func (l *latchkey) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.binary, args...)
	cmd.Env = append(os.Environ(), l.env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("latchkey %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// session returns a session token of the account's owner.
func (l *latchkey) session(ctx context.Context, a account) (string, error) {
	return l.command(ctx, "session", "create", "--email", a.email, "--account", a.uuid, "--ttl", "2h")
}

// start runs the server and returns how long it took until it was ready.
func (l *latchkey) start(ctx context.Context) (time.Duration, error) {
	public, publicErr := freeAddress()
	admin, adminErr := freeAddress()
	if err := errors.Join(publicErr, adminErr); err != nil {
		return 0, err
	}
	l.url = "http://" + public
	begin := time.Now()
	env := append(slices.Clone(l.env), "LATCHKEY_ADDR="+public, "LATCHKEY_ADMIN_ADDR="+admin)
	var err error
	if l.server, err = startProcess(l.dir, env, l.binary, "serve"); err != nil {
		return 0, err
	}
	if err := awaitReady(ctx, "http://"+admin+"/readyz"); err != nil {
		return 0, errors.Join(err, l.stop())
	}
	return time.Since(begin), nil
}

func (l *latchkey) stop() error {
	if l.server == nil {
		return nil
	}
	err := l.server.stop()
	l.server = nil
	return err
}

// awaitReady polls every millisecond, so that it returns soon after the server is ready.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not ready in time: %w", url, errors.Join(ctx.Err(), err))
		case <-time.After(time.Millisecond):
		}
	}
}

// query sends a GraphQL request and decodes its data into result. A response with errors is an error.
func (l *latchkey) query(ctx context.Context, r request, result any) error {
	httpRequest, err := http.NewRequestWithContext(ctx, r.method, l.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return err
	}
	httpRequest.Header.Set("Content-Type", "application/json")
	httpRequest.Header.Set("X-Auth-Token", r.token)
	response, err := http.DefaultClient.Do(httpRequest)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors"`)) {
		return fmt.Errorf("%s: %s: %s", r.path, response.Status, body)
	}
	answer := struct{ Data any }{Data: result}
	return json.Unmarshal(body, &answer)
}

// apiPath returns the path of the account's API.
func apiPath(a account) string { return "/accounts/" + a.uuid + "/graphql" }

// graphql returns the request for a document and its variables.
func graphql(a account, credential, document string, variables any) (request, error) {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	return request{method: http.MethodPost, path: apiPath(a), token: credential, body: string(body)}, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
