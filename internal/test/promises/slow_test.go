package promises_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// request is a POST whose body can arrive slowly.
type request struct {
	path, body string
	header     http.Header
}

// mutation returns the request for a mutation of Acme's API.
func mutation(t *testing.T, credential, query string, in vars) request {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars{"in": in}})
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Auth-Token": {credential}}
	return request{"/accounts/" + acme + "/graphql", string(body), header}
}

// clientRequest returns the request of an API token's client to an OAuth endpoint.
func clientRequest(i issued, path string, form url.Values) request {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(i.clientID+":"+i.clientSecret))
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {basic}}
	return request{path, form.Encode(), header}
}

// trickle sends a request up to the middle of its body. When it returns, the server has accepted the header and waits
// for the rest, which finish sends.
func (n *node) trickle(r request) (finish func() answer) {
	n.t.Helper()
	rest, body := io.Pipe()
	// The server asks for the body (100 Continue) only when it needs it.
	continued := make(chan struct{}, 1)
	ctx := httptrace.WithClientTrace(n.t.Context(),
		&httptrace.ClientTrace{Got100Continue: func() { continued <- struct{}{} }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.public+r.path, rest)
	if err != nil {
		n.t.Fatal(err)
	}
	req.ContentLength, req.Header = int64(len(r.body)), r.header.Clone()
	req.Header.Set("Expect", "100-continue")
	answered := make(chan answer, 1)
	go func() { answered <- n.answerTo(req) }()
	select {
	case <-continued:
	case a := <-answered:
		n.t.Fatalf("before the body: got %d %s, want the server to wait for it", a.status, a.body)
	}
	half := len(r.body) / 2
	if _, err := io.WriteString(body, r.body[:half]); err != nil {
		n.t.Fatal(err)
	}
	return func() answer {
		_, err := io.WriteString(body, r.body[half:])
		if err := errors.Join(err, body.Close()); err != nil {
			n.t.Error(err)
		}
		return <-answered
	}
}

// answerTo sends a request over a connection of its own. A failure fails the test and returns the zero answer.
func (n *node) answerTo(req *http.Request) (a answer) {
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		n.t.Error(err)
		return answer{}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	a.status, a.body = res.StatusCode, string(text)
	if len(text) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		err = errors.Join(err, json.Unmarshal(text, &a))
	}
	if err != nil {
		n.t.Error(err)
	}
	return a
}

// finishAll finishes requests concurrently.
func finishAll(finish []func() answer) []answer {
	answers := make([]answer, len(finish))
	var all sync.WaitGroup
	for i, f := range finish {
		all.Go(func() { answers[i] = f() })
	}
	all.Wait()
	return answers
}
