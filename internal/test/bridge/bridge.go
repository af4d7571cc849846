// Package bridge is a double of Amazon EventBridge as its partners use it. It checks the signatures of requests (AWS
// Signature Version 4) and keeps the event sources and events.
package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The operations.
const (
	Put    = "PutPartnerEvents"
	Create = "CreatePartnerEventSource"
	Delete = "DeletePartnerEventSource"
)

// Event is an event that was accepted.
type Event struct {
	Source, DetailType, Detail string
	Time                       time.Time
}

// Bridge is a running double. It is safe for concurrent use.
type Bridge struct {
	// URL is its endpoint.
	URL string

	t       testing.TB
	mu      sync.Mutex
	sources map[string]string // AWS accounts by region and name
	events  []Event
	// refusals are the answers to the next requests of each operation; "" accepts one.
	refusals map[string][]string
	entries  []string
	requests map[string]int
}

// keyID and key are the credentials that the double accepts.
const (
	keyID = "AKIDEXAMPLE"
	key   = "a-key-of-a-test"
)

// Start starts a double and sets its credentials in the environment. It ends with the test.
func Start(t testing.TB) *Bridge {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": keyID, "AWS_SECRET_ACCESS_KEY": key, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	b := &Bridge{t: t, sources: map[string]string{}, refusals: map[string][]string{}, requests: map[string]int{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.URL = server.URL
	return b
}

// Refuse makes the next n requests of an operation fail with an error code. The code "" closes the connection without
// an answer.
func (b *Bridge) Refuse(operation, code string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.refusals[operation] = append(b.refusals[operation], code)
	}
}

// RefuseEntries makes the next n requests to put events succeed with an entry that failed with the code.
func (b *Bridge) RefuseEntries(code string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		b.entries = append(b.entries, code)
	}
}

// Events returns the events that were accepted, in their order.
func (b *Bridge) Events() []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// Sources returns the event sources, each as "REGION NAME ACCOUNT", sorted.
func (b *Bridge) Sources() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(b.sources)) {
		all = append(all, name+" "+b.sources[name])
	}
	return all
}

// Forget deletes an event source, as its AWS account would not be asked.
func (b *Bridge) Forget(region, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sources, region+" "+name)
}

// Requests returns how many requests of an operation there were, refused ones included.
func (b *Bridge) Requests(operation string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests[operation]
}

// ServeHTTP answers a request of the service's JSON protocol.
func (b *Bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Errorf("read a request to EventBridge: %v", err)
	}
	region, err := verify(r, body)
	if err != nil {
		b.t.Errorf("a request to EventBridge: %v", err)
		refuse(w, http.StatusForbidden, "InvalidSignatureException")
		return
	}
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSEvents.")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[operation]++
	if codes := b.refusals[operation]; len(codes) > 0 {
		b.refusals[operation] = codes[1:]
		if codes[0] == "" {
			panic(http.ErrAbortHandler)
		}
		refuse(w, http.StatusBadRequest, codes[0])
		return
	}
	switch operation {
	case Put:
		b.put(w, region, body)
	case Create, Delete:
		b.change(w, operation, region, body)
	default:
		b.t.Errorf("operation: got %q, want one of EventBridge that Latchkey uses", operation)
		refuse(w, http.StatusBadRequest, "UnknownOperationException")
	}
}

func (b *Bridge) put(w http.ResponseWriter, region string, body []byte) {
	var in struct {
		Entries []struct {
			Source, DetailType, Detail string
			Time                       float64
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Entries) != 1 {
		b.t.Errorf("entries: got %s, %v, want one", body, err)
		refuse(w, http.StatusBadRequest, "ValidationException")
		return
	}
	entry := in.Entries[0]
	code := ""
	if len(b.entries) > 0 {
		code, b.entries = b.entries[0], b.entries[1:]
	} else if _, known := b.sources[region+" "+entry.Source]; !known {
		code = "ResourceNotFoundException"
	}
	if code != "" {
		answer(w, map[string]any{"FailedEntryCount": 1,
			"Entries": []any{map[string]any{"ErrorCode": code, "ErrorMessage": "refused"}}})
		return
	}
	b.events = append(b.events, Event{Source: entry.Source, DetailType: entry.DetailType, Detail: entry.Detail,
		Time: time.UnixMilli(int64(entry.Time * 1000)).UTC()})
	answer(w, map[string]any{"FailedEntryCount": 0,
		"Entries": []any{map[string]any{"EventId": fmt.Sprint("event-", len(b.events))}}})
}

// The forms in the API Reference.
var (
	nameForm    = regexp.MustCompile(`^aws\.partner(/[.\-_A-Za-z0-9]+){2,}$`)
	accountForm = regexp.MustCompile(`^\d{12}$`)
)

func (b *Bridge) change(w http.ResponseWriter, operation, region string, body []byte) {
	var in struct{ Account, Name string }
	if err := json.Unmarshal(body, &in); err != nil || !nameForm.MatchString(in.Name) || len(in.Name) > 256 ||
		!accountForm.MatchString(in.Account) {
		refuse(w, http.StatusBadRequest, "ValidationException")
		return
	}
	id := region + " " + in.Name
	account, known := b.sources[id]
	switch {
	case operation == Create && known:
		refuse(w, http.StatusBadRequest, "ResourceAlreadyExistsException")
	case operation == Create:
		b.sources[id] = in.Account
		answer(w, map[string]any{"EventSourceArn": "arn:aws:events:" + region + "::event-source/" + in.Name})
	case account != in.Account:
		refuse(w, http.StatusBadRequest, "ResourceNotFoundException")
	default:
		delete(b.sources, id)
		answer(w, map[string]any{})
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(value) // the client has gone
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "refused"}) // the client has gone
}

var authorizationForm = regexp.MustCompile(
	`^AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/events/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$`)

// verify signs the request again and compares. It returns the region of the signature.
func verify(r *http.Request, body []byte) (region string, err error) {
	found := authorizationForm.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil || found[1] != keyID {
		return "", fmt.Errorf("the header Authorization is %q", r.Header.Get("Authorization"))
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.Path,
		strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	for name := range strings.SplitSeq(found[3], ";") {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: key},
		again, hex.EncodeToString(sum[:]), "events", found[2], at); err != nil {
		return "", err
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
		return "", fmt.Errorf("the signature is %q, want %q", got, want)
	}
	return found[2], nil
}
