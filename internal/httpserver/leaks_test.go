package httpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/leaks"
	"latchkey/internal/test/check"
)

// reported has the reports that a server received. The verdict on a token is what its text says.
type reported struct {
	mu  sync.Mutex
	all []string
}

func (r *reported) Report(_ context.Context, from leaks.Reporter, one leaks.Report) (leaks.Verdict, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprintf("%s %t %s", one.Token, from.Scanner, from.Origin.IP))
	switch name, _, _ := strings.Cut(one.Token, "-"); name {
	case "real":
		return leaks.Real, nil
	case "unknown":
		return leaks.Unknown, nil
	case "malformed":
		return leaks.Malformed, nil
	case "broken":
		return leaks.Unchecked, errors.New("the cause")
	}
	return leaks.Unchecked, nil
}

func (r *reported) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

// scannerKey is the key of a scanner.
type scannerKey struct{ private *ecdsa.PrivateKey }

func newScannerKey(t *testing.T) (scannerKey, *leaks.Keys) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]any{"public_keys": []any{map[string]any{"key_identifier": "k1",
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := leaks.ParseKeys(strings.NewReader(string(file)))
	if err != nil {
		t.Fatal(err)
	}
	return scannerKey{key}, keys
}

// headers returns the headers of a signed body.
func (k scannerKey) headers(t *testing.T, body string) []string {
	t.Helper()
	digest := sha256.Sum256([]byte(body))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Github-Public-Key-Identifier: k1",
		"Github-Public-Key-Signature: " + base64.StdEncoding.EncodeToString(signature)}
}

func startLeaks(t *testing.T, c httpserver.LeakReports) (*running, *reported) {
	t.Helper()
	received := &reported{}
	c.Leaks = received
	return start(t, whoami, func(s *httpserver.Config) {
		s.LeakReports = c
		many := config.Rate{Requests: 100, Window: time.Hour}
		few := config.Rate{Requests: 3, Window: time.Hour}
		s.Rates = config.Rates{On: true, Token: many, Account: many, Failure: few}
	}), received
}

func sum(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

func TestSignedReports(t *testing.T) {
	key, keys := newScannerKey(t)
	s, received := startLeaks(t, httpserver.LeakReports{Scanners: keys})
	body := `[{"token":"real-1","type":"t1","url":"https://a.example","source":"content"},
		{"token":"unknown-1","type":"t2"},{"token":"malformed-1","type":"t3"},{"token":"other","type":"t4"},{"token":"real-1","type":"t5"}]`
	got := s.do(t, "POST", s.public+"/leaks", body, key.headers(t, body)...)
	want := fmt.Sprintf(`[{"token_hash":%q,"token_type":"t1","label":"true_positive"},`+
		`{"token_hash":%q,"token_type":"t2","label":"false_positive"},`+
		`{"token_hash":%q,"token_type":"t3","label":"false_positive"},`+
		`{"token_hash":%q,"token_type":"t5","label":"true_positive"}]`+"\n",
		sum("real-1"), sum("unknown-1"), sum("malformed-1"), sum("real-1"))
	check.Equal(t, fmt.Sprint(got.StatusCode, got.text), fmt.Sprint(200, want), "response")
	check.Equal(t, received.take(), []string{"real-1 true 127.0.0.1", "unknown-1 true 127.0.0.1",
		"malformed-1 true 127.0.0.1", "other true 127.0.0.1"}, "reports")
}

func TestReportsAreRefused(t *testing.T) {
	key, keys := newScannerKey(t)
	other, _ := newScannerKey(t)
	const body = `[{"token":"real-1"}]`
	headers := key.headers(t, body)
	large := `[{"token":"` + strings.Repeat("a", 2000) + `"}]`
	for _, c := range []struct {
		name, body string
		config     httpserver.LeakReports
		headers    []string
		status     int
	}{
		{"without keys", body, httpserver.LeakReports{Unsigned: true}, headers, 401},
		{"by another key", body, httpserver.LeakReports{Scanners: keys}, other.headers(t, body), 401},
		{"another body", body + " ", httpserver.LeakReports{Scanners: keys}, headers, 401},
		{"only the identifier", body, httpserver.LeakReports{Scanners: keys, Unsigned: true}, headers[:1], 401},
		{"only the signature", body, httpserver.LeakReports{Scanners: keys, Unsigned: true}, headers[1:], 401},
		{"two identifiers", body, httpserver.LeakReports{Scanners: keys}, append(headers, headers[0]), 401},
		{"unsigned", body, httpserver.LeakReports{Scanners: keys}, nil, 401},
		{"a large signed body", large, httpserver.LeakReports{Scanners: keys}, key.headers(t, large), 413},
		{"a large body", large, httpserver.LeakReports{Unsigned: true}, nil, 413},
		{"no JSON", "x", httpserver.LeakReports{Unsigned: true}, nil, 400},
		{"too many", "[" + strings.Repeat(`{"token":"a"},`, 10) + `{"token":"a"}]`,
			httpserver.LeakReports{Unsigned: true}, nil, 400},
		{"signed without JSON", "x", httpserver.LeakReports{Scanners: keys}, key.headers(t, "x"), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, received := startLeaks(t, c.config)
			got := s.do(t, "POST", s.public+"/leaks", c.body, c.headers...)
			check.Equal(t, got.StatusCode, c.status, "status")
			check.Equal(t, received.take(), nil, "reports")
		})
	}
	t.Run("another method", func(t *testing.T) {
		s, _ := startLeaks(t, httpserver.LeakReports{Unsigned: true})
		check.Equal(t, s.do(t, "GET", s.public+"/leaks", "").StatusCode, 405, "status")
	})
}

// The response to an unsigned report does not depend on whether the secret exists, and an error shows no cause.
func TestUnsignedReportsRevealNothing(t *testing.T) {
	s, received := startLeaks(t, httpserver.LeakReports{Unsigned: true})
	for _, body := range []string{`{"token":"real-1"}`, `[{"token":"unknown-1"}]`, `{"token":"malformed-1"}`,
		`[{"token":"other"},{"token":"real-2"}]`} {
		got := s.do(t, "POST", s.public+"/leaks", body)
		check.Equal(t, fmt.Sprint(got.StatusCode, got.text), "202{\"accepted\":true}\n", "response to %s", body)
		for name := range got.Header {
			check.Equal(t, strings.HasPrefix(name, "X-Rate-Limit"), false, "header %s", name)
		}
	}
	check.Equal(t, len(received.take()), 5, "reports")
	got := s.do(t, "POST", s.public+"/leaks", `{"token":"broken-1"}`)
	check.Equal(t, got.StatusCode, 500, "status after an internal error")
	check.Equal(t, strings.Contains(got.text, "cause"), false, "the cause is in the response")
	for _, line := range strings.Split(s.log.String(), "\n") {
		if strings.Contains(line, "real-1") || strings.Contains(line, "unknown-1") {
			t.Errorf("got a reported token in the log: %s", line)
		}
	}
}

// Reports of secrets that do not exist, and wrong signatures, are limited by address as failed credentials are.
func TestReportsAreLimited(t *testing.T) {
	key, keys := newScannerKey(t)
	t.Run("unsigned", func(t *testing.T) {
		s, received := startLeaks(t, httpserver.LeakReports{Unsigned: true})
		refused := 0
		for i := range 20 {
			got := s.do(t, "POST", s.public+"/leaks", fmt.Sprintf(`{"token":"unknown-%d"}`, i))
			if got.StatusCode == 429 {
				refused++
				check.Equal(t, got.Header.Get("Retry-After") != "", true, "Retry-After")
			}
		}
		// The rate, and as many on trial.
		check.Equal(t, refused, 14, "refused")
		check.Equal(t, len(received.take()), 6, "reports")
	})
	t.Run("real ones are not", func(t *testing.T) {
		s, _ := startLeaks(t, httpserver.LeakReports{Unsigned: true})
		for i := range 10 {
			got := s.do(t, "POST", s.public+"/leaks", fmt.Sprintf(`{"token":"real-%d"}`, i))
			check.Equal(t, got.StatusCode, 202, "status of report %d", i)
		}
	})
	t.Run("signed", func(t *testing.T) {
		s, _ := startLeaks(t, httpserver.LeakReports{Scanners: keys})
		status := 0
		for i := range 7 {
			wrong := key.headers(t, "another body")
			status = s.do(t, "POST", s.public+"/leaks", fmt.Sprintf("[%d]", i), wrong...).StatusCode
		}
		check.Equal(t, status, 429, "status of the last one")
	})
}
