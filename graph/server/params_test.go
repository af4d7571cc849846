package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"testing"
	"unicode/utf8"

	"latchkey/graph/server"
)

// reference reads what DecodeParams reads, with only encoding/json.
func reference(body []byte) (query, operationName string, variables map[string]any, ok bool) {
	var members map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &members) != nil || members == nil {
		return "", "", nil, false
	}
	var extensions map[string]any
	for name, into := range map[string]any{"query": &query, "operationName": &operationName, "variables": &variables,
		"extensions": &extensions} {
		value, given := members[name]
		if !given {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(value))
		d.UseNumber()
		if d.Decode(into) != nil {
			return "", "", nil, false
		}
		if _, err := d.Token(); err != io.EOF {
			return "", "", nil, false
		}
	}
	return query, operationName, variables, query != ""
}

func FuzzDecodeParams(f *testing.F) {
	for _, body := range []string{
		`{"query":"{a}"}`,
		` { "query" : "{a}" , "variables" : { "a" : [ 1 , "}" , null ] } , "operationName" : null } `,
		`{"query":"a\"\\\né\ud83d\ude00","extensions":{}}`, `{"qu\u0065ry":"x"}`, `{"query":"a","query":"b"}`,
		`{"query":1}`,
		`{"Query":"x"}`, `{"a":{"query":"x"},"query":"y","b":[{}]}`, `{"variables":1e3,"query":"x"}`, `{"query":"x"}{}`,
		`[]`, `null`, `{}`, ``, "{\"query\":\"\xff\"}",
		`{"query":"x","variables":{"a":12345678901234567890.5}}`, `{"query":"x","extensions":nul}`,
		`{"query":"x","z":"\\"}`, `{"z":-1,"query":"x"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		query, name, variables, ok := server.DecodeParams(body)
		wantQuery, wantName, wantVariables, wantOK := reference(body)
		if ok != wantOK {
			t.Fatalf("accepted: %t, want %t", ok, wantOK)
		}
		if !ok {
			return
		}
		if len(variables) == 0 && len(wantVariables) == 0 {
			variables, wantVariables = nil, nil
		}
		if query != wantQuery || name != wantName || !reflect.DeepEqual(variables, wantVariables) {
			t.Errorf("got %q %q %v, want %q %q %v", query, name, variables, wantQuery, wantName, wantVariables)
		}
	})
}
