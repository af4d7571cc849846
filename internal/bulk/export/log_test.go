package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"latchkey/internal/bulk/export"
	"latchkey/internal/test/check"
)

// answers are the responses of an API in order, as JSON.
type answers struct {
	texts     []string
	variables []any
}

// Do decodes the next response.
func (a *answers) Do(_ context.Context, _ string, variables, into any) error {
	a.variables = append(a.variables, variables)
	text := a.texts[0]
	a.texts = a.texts[1:]
	return json.Unmarshal([]byte(text), into)
}

const twoEvents = `{"account": {"events": {"pageInfo": {"hasNextPage": true, "endCursor": "c2"}, "edges": [
	{"node": {"id": "bc/account/event/1", "type": "api_token.created", "version": 1,
		"subjectId": "bc/account/apiToken/7", "sequence": 1, "at": "2026-03-04T12:00:00Z", "actor": {"kind": "OPERATOR", "id": null, "name": "operator"},
		"data": "{\"name\": \"<HR>\"}"}},
	{"node": {"id": "bc/account/event/2", "type": "api_token.revoked", "version": 1,
		"subjectId": "bc/account/apiToken/7", "sequence": 2, "at": "2026-03-04T12:00:01Z",
		"actor": {"kind": "USER", "id": "bc/account/user/3", "name": "a@b.example"}, "data": "{}"}}]}}}`

const noEvents = `{"account": {"events": {"pageInfo": {"hasNextPage": false, "endCursor": null}, "edges": []}}}`

// The log is read forward from the cursor, and the data of an event is an object and not text.
func TestLogFromServer(t *testing.T) {
	api := &answers{texts: []string{twoEvents, noEvents}}
	var text bytes.Buffer
	log := export.LogFromServer(api, export.LogFilter{Types: []string{"api_token.*"}})
	after, err := export.CopyLog(t.Context(), log, &text, export.Follow{After: "c0"})
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, text.String(), `{"id":"bc/account/event/1","type":"api_token.created","version":1,`+
		`"subjectId":"bc/account/apiToken/7","sequence":1,"at":"2026-03-04T12:00:00Z",`+
		`"actor":{"kind":"OPERATOR","id":null,"name":"operator"},"data":{"name":"<HR>"}}`+"\n"+
		`{"id":"bc/account/event/2","type":"api_token.revoked","version":1,`+
		`"subjectId":"bc/account/apiToken/7","sequence":2,"at":"2026-03-04T12:00:01Z",`+
		`"actor":{"kind":"USER","id":"bc/account/user/3","name":"a@b.example"},"data":{}}`+"\n", "the lines")
	check.Equal(t, after, "c2", "the cursor")
	sent, err := json.Marshal(api.variables)
	if err != nil {
		t.Fatal(err)
	}
	check.Equal(t, string(sent), `[{"after":"c0","filter":{"types":["api_token.*"]}},`+
		`{"after":"c2","filter":{"types":["api_token.*"]}}]`, "the variables of the requests")
}

var errOver = errors.New("over")

// A run that follows the log waits at its end and goes on from the last cursor.
func TestCopyLogFollows(t *testing.T) {
	event := func(id string) []export.LogEvent {
		return []export.LogEvent{{ID: id, At: time.Unix(0, 0).UTC(), Data: json.RawMessage("{}")}}
	}
	pages := map[string]export.LogPage{
		"": {Events: event("1"), Next: "c1", More: true}, "c1": {Events: event("2"), Next: "c2"}, "c2": {},
	}
	waits := 0
	var text bytes.Buffer
	after, err := export.CopyLog(t.Context(), func(_ context.Context, after string) (export.LogPage, error) {
		return pages[after], nil
	}, &text, export.Follow{Wait: func(context.Context) error {
		switch waits++; waits {
		case 1: // nothing new
		case 2:
			pages["c2"] = export.LogPage{Events: event("3"), Next: "c3"}
			pages["c3"] = export.LogPage{}
		default:
			return errOver
		}
		return nil
	}})
	if !errors.Is(err, errOver) || after != "c3" {
		t.Errorf("got %q, %v, want the cursor c3 with the error of Wait", after, err)
	}
	check.Equal(t, bytes.Count(text.Bytes(), []byte("\n")), 3, "lines")
}

// What was not written is not skipped by the cursor.
func TestCopyLogUnwritten(t *testing.T) {
	pages := []export.LogPage{{Next: "c1", More: true}, {Events: make([]export.LogEvent, 1), Next: "c2"}}
	after, err := export.CopyLog(t.Context(), func(context.Context, string) (export.LogPage, error) {
		p := pages[0]
		pages = pages[1:]
		return p, nil
	}, &limitedWriter{0}, export.Follow{})
	if err == nil || after != "c1" {
		t.Errorf("got %q, %v, want the cursor c1 and an error", after, err)
	}
}
