package graph

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/plain"
)

// answer is what is written in answer to one request, and the room to read
// and write in.
type answer struct {
	w         http.ResponseWriter
	requestID string
	media     media
	body, out bytes.Buffer
}

var answers = sync.Pool{New: func() any { return &answer{} }}

// Larger rooms than these are left to the garbage collector, lest one large
// request hold memory for ever. A page of 250 users takes some 40 KB.
const largestKept = 64 << 10

func newAnswer(w http.ResponseWriter) *answer {
	a := answers.Get().(*answer)
	a.w, a.media = w, mediaJSON
	// The server has given the request its id before anything else.
	a.requestID = w.Header().Get("X-Request-Id")
	return a
}

// release gives the room back. Nothing that was read or written there may be
// in use any more.
func (a *answer) release() {
	if a.body.Cap() > largestKept || a.out.Cap() > largestKept {
		return
	}
	a.w = nil
	a.body.Reset()
	a.out.Reset()
	answers.Put(a)
}

// refuse answers a request that was not run.
func (a *answer) refuse(why *refusal) {
	if why.allow != "" {
		a.w.Header().Set("Allow", why.allow)
	}
	status := why.status
	if status == 0 {
		status = a.media.refused()
	}
	a.write(status, why.problems, nil)
}

// countedFor is how many bytes long an answer may be for net/http to count it
// by itself, which costs less than to tell it.
const countedFor = 2 << 10

// write writes the answer, at once. Without data there is no entry for it, as
// the specification has it for requests that were not run.
func (a *answer) write(status int, problems []problem, data graphql.Marshaler) {
	a.out.WriteByte('{')
	if len(problems) > 0 {
		a.out.Write(appendProblems(a.out.AvailableBuffer(), problems, a.requestID))
	}
	if len(problems) > 0 && data != nil {
		a.out.WriteByte(',')
	}
	if data != nil {
		a.out.WriteString(`"data":`)
		data.MarshalGQL(&a.out)
	}
	a.out.WriteString("}\n")
	header := a.w.Header()
	header["Content-Type"] = a.media.contentType()
	if a.out.Len() > countedFor {
		header["Content-Length"] = []string{strconv.Itoa(a.out.Len())}
	}
	a.w.WriteHeader(status)
	// A client that is gone is no failure of ours.
	_, _ = a.w.Write(a.out.Bytes())
}

func appendProblems(b []byte, problems []problem, requestID string) []byte {
	b = append(b, `"errors":[`...)
	for i, p := range problems {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.append(b, requestID)
	}
	return append(b, ']')
}

func (p problem) append(b []byte, requestID string) []byte {
	b = plain.AppendString(append(b, `{"message":`...), p.Message)
	for i, l := range p.locations {
		b = append(b, separator(i, `,"locations":[`)...)
		b = strconv.AppendInt(append(b, `{"line":`...), int64(l.Line), 10)
		b = strconv.AppendInt(append(b, `,"column":`...), int64(l.Column), 10)
		b = append(b, '}')
	}
	b = append(b, ending(len(p.locations))...)
	for i, element := range p.path {
		b = append(b, separator(i, `,"path":[`)...)
		switch e := element.(type) {
		case ast.PathIndex:
			b = strconv.AppendInt(b, int64(e), 10)
		case ast.PathName:
			b = plain.AppendString(b, string(e))
		}
	}
	b = append(b, ending(len(p.path))...)
	b = plain.AppendString(append(b, `,"extensions":{"code":`...), string(p.Kind))
	if p.Field != "" {
		b = plain.AppendString(append(b, `,"field":`...), p.Field)
	}
	for i, scope := range p.RequiredScopes {
		b = plain.AppendString(append(b, separator(i, `,"requiredScopes":[`)...), scope)
	}
	b = append(b, ending(len(p.RequiredScopes))...)
	b = plain.AppendString(append(b, `,"requestId":`...), requestID)
	return append(b, '}', '}')
}

// separator is what stands before element i of a list that begins like this.
func separator(i int, beginning string) string {
	if i == 0 {
		return beginning
	}
	return ","
}

// ending ends a list of n elements, which is left out when there are none.
func ending(n int) string {
	if n == 0 {
		return ""
	}
	return "]"
}
