// Package apiclient asks the Account API of a running server, for the commands
// that work on one from afar.
//
// What it sends must be safe to send again: an answer that is lost, or that
// says that the server is busy, is asked for anew a few times.
package apiclient

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
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/fault"
	"latchkey/internal/secret"
)

const (
	// DefaultTimeout is how long one attempt may take unless told otherwise:
	// longer than a server works on a request by its own default settings.
	DefaultTimeout = 60 * time.Second
	// Attempts is how often something is asked at most.
	Attempts = 6
	// maxPause is the longest that a server may ask to wait between two.
	maxPause = time.Minute
	// firstPause is doubled from one attempt to the next.
	firstPause = 500 * time.Millisecond
	// maxAnswer is the largest answer that is read, in bytes.
	maxAnswer = 64 << 20
	// maxToken is the longest file that can be one token, in bytes.
	maxToken = 1 << 10
)

// Config says whom to ask, and as whom.
type Config struct {
	// URL is the server's address with the path that it is published below, if
	// there is one: "https://keys.example.com".
	URL string
	// Account is the account whose API is asked.
	Account uuid.UUID
	// Token is an account-level access token, or a session's.
	Token secret.Secret
	// Timeout is for one attempt; DefaultTimeout when it is 0.
	Timeout time.Duration
	// Wait waits between two attempts, and fails when ctx ends; by the clock
	// when it is nil.
	Wait func(ctx context.Context, pause time.Duration) error
}

// Client asks one account's API. It is safe for concurrent use.
type Client struct {
	endpoint string
	token    secret.Secret
	wait     func(context.Context, time.Duration) error
	http     *http.Client
}

// New makes a client. It returns fault.Invalid on "server" for an address that
// is none. Certificates are checked as by every program on this machine.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" ||
		base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fault.Errorf(fault.Invalid, "must be a URL such as https://keys.example.com.").On("server")
	}
	client := &Client{
		endpoint: base.JoinPath("accounts", c.Account.String(), "graphql").String(), token: c.Token, wait: c.Wait,
		http: &http.Client{
			Timeout: c.Timeout,
			// The token is for the server that was named. Besides, what is
			// posted would be got there.
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

// ReadToken reads a token, with or without an end of line. It returns
// fault.Invalid, without a word of what it read, if that is no token.
func ReadToken(r io.Reader) (secret.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxToken))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("read the token: %w", err)
	}
	token, err := secret.Parse(strings.TrimRight(string(text), "\r\n"))
	if err != nil {
		return secret.Secret{}, fault.Errorf(fault.Invalid, "The file holds no access token: it must hold one, alone on its line, whole and unchanged.")
	}
	return token, nil
}

// Do runs an operation and reads its data into into. What the API refuses
// comes back as the faults that it told of, with their kinds and fields. A
// server that cannot be reached, or stays busy, is an error of the kind
// Internal.
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

// hopeless reports whether another attempt would fail alike: the server is not
// who it says it is.
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

// post makes one attempt. Its error is one of the connection, which no secret
// is in: the token is in a header.
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
		return answer{}, fmt.Errorf("ask the server: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read the answer of %s: %w", c.endpoint, err)
	case len(text) > maxAnswer:
		return answer{}, fmt.Errorf("the answer of %s has more than %d bytes", c.endpoint, maxAnswer)
	}
	return answer{endpoint: c.endpoint, status: res.StatusCode, header: res.Header, text: text}, nil
}
