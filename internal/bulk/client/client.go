// Package client calls the Account API of a running server, for the commands that work on a remote server.
//
// Every request must be safe to repeat: it is sent again a few times if the response is lost or says that the server is
// busy.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

const (
	// DefaultTimeout is the timeout of one attempt unless Config.Timeout is set. It is longer than a server's default
	// request timeout.
	DefaultTimeout = 60 * time.Second
	// Attempts is the maximum number of attempts for one request.
	Attempts = 6
	// maxPause is the longest Retry-After that is waited for.
	maxPause = time.Minute
	// firstPause is doubled from one attempt to the next.
	firstPause = 500 * time.Millisecond
	// maxAnswer is the maximum size of a response in bytes.
	maxAnswer = 64 << 20
	// maxToken is the maximum size of a token file in bytes.
	maxToken = 1 << 10
)

// Config holds the server to call and the token to call it with.
type Config struct {
	// URL is the server's address, with a path if the server is published below one: "https://keys.example.com".
	URL string
	// Account is the account whose API is called.
	Account uuid.UUID
	// Token is an account-level access token, or a session's.
	Token secret.Secret
	// Timeout limits one attempt. 0 means DefaultTimeout.
	Timeout time.Duration
	// Wait waits between two attempts, and returns an error when ctx ends. If nil, it sleeps.
	Wait func(ctx context.Context, pause time.Duration) error
}

// Client calls one account's API. It is safe for concurrent use.
type Client struct {
	endpoint string
	token    secret.Secret
	wait     func(context.Context, time.Duration) error
	http     *http.Client
}

// isPort reports whether text is the number of a TCP port, or empty.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil || text == ""
}

// New returns a client. It returns fault.Invalid on "server" if the URL is not valid. Certificates are checked against
// the system's roots.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" || !isPort(base.Port()) {
		return nil, fault.Errorf(fault.Invalid, "must be a URL such as https://keys.example.com.").On("server")
	}
	client := &Client{
		endpoint: base.JoinPath("accounts", c.Account.String(), "graphql").String(), token: c.Token, wait: c.Wait,
		http: &http.Client{
			Timeout: c.Timeout,
			// Redirects are not followed: the token is meant for the named server only, and a redirected POST would
			// become a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if client.http.Timeout == 0 {
		client.http.Timeout = DefaultTimeout
	}
	if client.wait == nil {
		client.wait = sleep
	}
	return client, nil
}

// ReadToken reads a token, with or without an end of line. It returns fault.Invalid if the text is not a token; the
// error does not contain the text.
func ReadToken(r io.Reader) (secret.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxToken))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("read the token: %w", err)
	}
	token, err := secret.Parse(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return secret.Secret{}, fault.Errorf(fault.Invalid,
			"The file holds no access token: it must hold one complete, unchanged token on a line of its own.")
	}
	return token, nil
}

// Do runs an operation and decodes its data into into. Errors of the API are returned as faults with their kinds and
// fields. A server that cannot be reached, or stays busy, is an error of kind Internal.
func (c *Client) Do(ctx context.Context, query string, variables, into any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	pause := firstPause
	for attempt := 1; ; attempt++ {
		answer, err := c.post(ctx, body)
		if err == nil && !answer.busy() {
			return answer.read(into)
		}
		if err == nil {
			err = answer.refusal()
			pause = max(pause, answer.pause())
		}
		if ctx.Err() != nil || attempt == Attempts || pause > maxPause || hopeless(err) {
			return err
		}
		if err := c.wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

// hopeless reports whether every attempt would fail, because the server's certificate is not valid.
func hopeless(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// post makes one attempt. Its error concerns the connection and contains no secret: the token is in a header.
func (c *Client) post(ctx context.Context, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("write the request: %w", err)
	}
	req.Header.Set("X-Auth-Token", c.token.Reveal())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("call the server: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read the response of %s: %w", c.endpoint, err)
	case len(text) > maxAnswer:
		return answer{}, fmt.Errorf("the response of %s has more than %d bytes", c.endpoint, maxAnswer)
	}
	return answer{endpoint: c.endpoint, status: res.StatusCode, header: res.Header, text: text}, nil
}
