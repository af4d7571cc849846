package server

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/plain"
)

// answer writes the response to one request. It owns the buffers for the
// request's body and the response.
type answer struct {
	w         http.ResponseWriter
	requestID string
	media     media
	body, out bytes.Buffer
}

var answers = sync.Pool{New: func() any { return &answer{} }}

// maxPooled is the largest buffer, in bytes, that is returned to the pool, so
// that one large request does not hold memory forever. A page of 250 users takes
// about 40 KB.
const maxPooled = 64 << 10

func newAnswer(w http.ResponseWriter) *answer {
	a := answers.Get().(*answer)
	a.w, a.media = w, mediaJSON
	// The middleware that sets the request ID runs before all others.
	a.requestID = w.Header().Get("X-Request-Id")
	return a
}

// release returns the buffers to the pool. The caller must no longer use any
// bytes in them.
func (a *answer) release() {
	if a.body.Cap() > maxPooled || a.out.Cap() > maxPooled {
		return
	}
	a.w = nil
	a.body.Reset()
	a.out.Reset()
	answers.Put(a)
}

// refuse writes the response to a request that was not executed.
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

// countedFor is the length of the response, in bytes, up to which net/http sets
// Content-Length itself, which is cheaper than setting it here.
const countedFor = 2 << 10

// write writes the whole response. If data is nil, the response has no "data"
// entry, as the specification requires for requests that were not executed.
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
	// A write fails only if the client has disconnected.
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
	if p.Remaining != "" {
		b = append(append(b, `,"remaining":`...), p.Remaining...)
	}
	b = plain.AppendString(append(b, `,"requestId":`...), requestID)
	return append(b, '}', '}')
}

// separator returns the text before element i of a list: beginning, or a comma.
func separator(i int, beginning string) string {
	if i == 0 {
		return beginning
	}
	return ","
}

// ending returns the text after a list of n elements. An empty list is omitted.
func ending(n int) string {
	if n == 0 {
		return ""
	}
	return "]"
}
