// The receiver receives webhooks of Latchkey and prints their events.
//
//	WEBHOOK_SECRET=whsec_... go run ./examples/webhooks [PORT]
//
// It needs only the standard library, and listens on 127.0.0.1, port 9000 unless another is given. WEBHOOK_SECRET may
// have several secrets, separated by spaces. A request whose signature or time is wrong is refused, and an event that
// arrives again is dropped. Latchkey's docs/webhooks.md describes the requests.
package main

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// tolerance is the time by which a request's time may differ from this clock.
	tolerance = 5 * time.Minute
	// maxBody is in bytes. Latchkey sends less.
	maxBody = 64 << 10
	// maxSeen is the number of IDs of events that are kept to find duplicates.
	maxSeen = 10_000
)

func main() {
	log.SetFlags(0)
	keys, err := parseSecrets(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	port := "9000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on http://", listener.Addr())
	server := http.Server{Handler: &receiver{keys: keys, seen: map[string]bool{}, out: os.Stdout},
		ReadTimeout: 30 * time.Second}
	log.Fatal(server.Serve(listener))
}

// parseSecrets returns the keys of secrets that are separated by spaces.
func parseSecrets(text string) ([][]byte, error) {
	var keys [][]byte
	for secret := range strings.FieldsSeq(text) {
		encoded, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) == 0 {
			return nil, errors.New("a text in WEBHOOK_SECRET is not a webhook's secret, which begins with whsec_")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("set WEBHOOK_SECRET to the webhook's secret, which begins with whsec_")
	}
	return keys, nil
}

// verify returns the ID of the event. The signature covers the ID, the time and the bytes of the body, so verify it
// before the body is parsed.
func verify(keys [][]byte, header http.Header, body []byte, now time.Time) (string, error) {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return "", errors.New("a header is missing")
	}
	if difference := now.Sub(time.Unix(seconds, 0)).Abs(); difference > tolerance {
		return "", errors.New("the time is too far from this clock")
	}
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
		expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for given := range strings.FieldsSeq(header.Get("webhook-signature")) {
			if hmac.Equal([]byte(given), []byte(expected)) {
				return id, nil
			}
		}
	}
	return "", errors.New("no signature is valid")
}

// receiver answers 204 to an event, and 400 to what is not one.
type receiver struct {
	keys [][]byte
	out  io.Writer

	mu sync.Mutex
	// seen and order have the IDs of the events that were handled. A program that acts on events keeps them in its
	// database instead, and adds the ID in the same transaction as its own change.
	seen  map[string]bool
	order []string
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	id, err := verify(r.keys, request.Header, body, time.Now())
	if err == nil {
		err = r.handle(id, body)
	}
	if err != nil {
		log.Print("refused: ", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// handle prints an event, unless it was printed before.
func (r *receiver) handle(id string, body []byte) error {
	var event struct {
		ID, Type string
		Sequence int64
		Data     json.RawMessage
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return nil
	}
	if _, err := fmt.Fprintln(r.out, "verified", event.Type, "sequence", event.Sequence, "id", event.ID, "data",
		cmp.Or(string(event.Data), "null")); err != nil {
		return err
	}
	r.seen[id] = true
	if r.order = append(r.order, id); len(r.order) > maxSeen {
		delete(r.seen, r.order[0])
		r.order = r.order[1:]
	}
	return nil
}
