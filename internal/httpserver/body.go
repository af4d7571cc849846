package httpserver

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"latchkey/internal/fault"
)

const (
	// smallBody is the number of bytes of a request body that is read first.
	smallBody = 64 << 10
	// largeBodies is the number of requests with larger bodies that one account
	// may have in memory. A request uses several times its body's size.
	largeBodies = 2
)

// receive reads the request body, up to the limit, into memory. A request with
// a large body first waits for other such requests of its account. The caller
// must call leave after the response. A read error is returned by reads of
// r.Body. receive returns fault.RateLimited if the request times out while it
// waits.
func (a *accountAPI) receive(ctx context.Context, rs *requestState, r *http.Request) (leave func(), err error) {
	body := http.MaxBytesReader(rs.ResponseWriter, r.Body, int64(a.limits.MaxBody))
	var read bytes.Buffer
	_, failed := io.CopyN(&read, body, smallBody)
	leave = func() {}
	if failed == nil {
		leave, err = a.large.Enter(ctx, rs.principal.AccountID)
		if err != nil {
			return nil, fault.Wrap(err, fault.RateLimited,
				"Too many requests of this account with large bodies are in progress. Send fewer at the same time.")
		}
		// What ReadFrom needs to find the end.
		read.Grow(max(int(r.ContentLength), smallBody) - smallBody + bytes.MinRead)
		_, failed = io.Copy(&read, body)
	}
	if failed == nil {
		failed = io.EOF
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&read, failing{failed}), body}
	return leave, nil
}

// failing is a reader that always returns err.
type failing struct{ err error }

// Read returns 0 and the error.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
