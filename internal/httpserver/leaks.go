package httpserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/bulkhead"
	"latchkey/internal/fault"
	"latchkey/internal/leaks"
)

// leaksPath is the path at which leaked secrets are reported.
const leaksPath = "/leaks"

// Leaks handles reports of leaked secrets. It is leaks.Service, whose methods
// document their errors.
type Leaks interface {
	Report(ctx context.Context, from leaks.Reporter, r leaks.Report) (leaks.Verdict, error)
}

// LeakReports configures the endpoint for reports of leaked secrets.
type LeakReports struct {
	// Leaks handles the reports; nil disables the endpoint.
	Leaks Leaks
	// Scanners are the keys of secret scanners until Server.UseScanners replaces
	// them; nil refuses signed reports.
	Scanners *leaks.Keys
	// Unsigned reports whether clients without a key may report secrets.
	Unsigned bool
}

// The headers of signed reports, as GitHub sends them.
const (
	keyIDHeader     = "Github-Public-Key-Identifier"
	signatureHeader = "Github-Public-Key-Signature"
)

const (
	// maxUnsignedBody is the maximum size of an unsigned report in bytes.
	maxUnsignedBody = 64 << 10
	// signedBodies is the number of large signed reports that are read at once, because
	// a body is read before its signature can be checked. Others are at most as large
	// as unsigned ones.
	signedBodies = 4
)

// leakEndpoint serves the endpoint for reports of leaked secrets.
type leakEndpoint struct {
	*endpoint
	LeakReports

	scanners *atomic.Pointer[leaks.Keys]
	signed   *bulkhead.Bulkhead
}

func newLeakEndpoint(e *endpoint, c LeakReports, scanners *atomic.Pointer[leaks.Keys]) *leakEndpoint {
	scanners.Store(c.Scanners)
	return &leakEndpoint{e, c, scanners, bulkhead.New(signedBodies)}
}

// feedback is what a scanner learns of a secret that it reported.
type feedback struct {
	Hash  string `json:"token_hash"`
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

// serve handles a request with reports. The response to an unsigned request
// does not depend on whether the secrets exist.
func (l *leakEndpoint) serve(rs *requestState, r *http.Request) {
	ctx := l.bounded(rs, r)
	defer ctx.release()
	id, signature := r.Header[keyIDHeader], r.Header[signatureHeader]
	if len(id)+len(signature) == 0 {
		if err := l.unsigned(ctx, rs, r); err != nil { //nolint:contextcheck // the deadline's parent is the request's
			l.problem(rs, r, err)
			return
		}
		writeJSON(rs, http.StatusAccepted, map[string]bool{"accepted": true})
		return
	}
	found, err := l.fromScanner(ctx, rs, r, strings.Join(id, ","), strings.Join(signature, ",")) //nolint:contextcheck // the deadline's parent is the request's
	if err != nil {
		l.problem(rs, r, err)
		return
	}
	writeJSON(rs, http.StatusOK, found)
}

// problem writes an error in the format of the API.
func (l *leakEndpoint) problem(rs *requestState, r *http.Request, err error) {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		rs.tooLarge(int(large.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		rs.Header().Set("Connection", "close")
		rs.problem(http.StatusRequestTimeout, fault.Invalid, "The body did not arrive in time.")
	default:
		if fault.KindOf(err) == fault.Internal {
			l.log.LogAttrs(r.Context(), slog.LevelError, "a report of leaked secrets failed",
				slog.String("request_id", rs.requestID[0]), slog.Any("error", err))
		}
		l.writeError(rs, r, err)
	}
}

// read reads a body of at most limit bytes.
func (l *leakEndpoint) read(rs *requestState, r *http.Request, limit int) ([]byte, error) {
	limit = min(limit, l.limits.MaxBody)
	if r.ContentLength > int64(limit) {
		return nil, &http.MaxBytesError{Limit: int64(limit)}
	}
	return readBody(rs, r, limit)
}

// unsigned handles reports of a client that has the secrets.
func (l *leakEndpoint) unsigned(ctx context.Context, rs *requestState, r *http.Request) error {
	if !l.Unsigned {
		return errNoReports
	}
	body, err := l.read(rs, r, maxUnsignedBody)
	if err != nil {
		return err
	}
	reports, err := leaks.ParseReports(body, leaks.MaxUnsigned)
	if err != nil {
		return err
	}
	from := leaks.Reporter{Origin: rs.origin()}
	for _, one := range reports {
		// Guessing is limited as for credentials.
		if err := l.rates.admit(ctx, rs, one.Token); err != nil {
			return err
		}
		verdict, err := l.Leaks.Report(ctx, from, one)
		l.rates.reported(rs, one.Token, verdict == leaks.Unknown && err == nil)
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	errNoReports = fault.Errorf(fault.Unauthenticated, "This server accepts only signed reports.")
	errSignature = fault.Errorf(fault.Unauthenticated,
		"The signature is not valid, or this server does not have the key.")
)

// fromScanner handles signed reports.
func (l *leakEndpoint) fromScanner(ctx context.Context, rs *requestState, r *http.Request,
	id, signature string) ([]feedback, error) {
	if err := l.rates.admit(ctx, rs, signature); err != nil {
		return nil, err
	}
	body, err := l.verifySigned(ctx, rs, r, id, signature)
	refused := fault.KindOf(err) == fault.Unauthenticated
	l.rates.reported(rs, signature, refused)
	if err != nil {
		return nil, err
	}
	reports, err := leaks.ParseReports(body, leaks.MaxSigned)
	if err != nil {
		return nil, err
	}
	from := leaks.Reporter{Scanner: true, Origin: rs.origin()}
	all := make([]feedback, 0, len(reports))
	seen := map[string]leaks.Verdict{}
	for _, one := range reports {
		verdict, known := seen[one.Token]
		if !known {
			if verdict, err = l.Leaks.Report(ctx, from, one); err != nil {
				return nil, err
			}
			seen[one.Token] = verdict
		}
		hash := sha256.Sum256([]byte(one.Token))
		f := feedback{hex.EncodeToString(hash[:]), one.Type, "false_positive"}
		switch verdict {
		case leaks.Unchecked:
			continue
		case leaks.Real:
			f.Label = "true_positive"
		}
		all = append(all, f)
	}
	return all, nil
}

// verifySigned returns the body of signed reports.
func (l *leakEndpoint) verifySigned(ctx context.Context, rs *requestState, r *http.Request,
	id, signature string) ([]byte, error) {
	scanners := l.scanners.Load()
	if !scanners.Has(id) {
		return nil, errSignature
	}
	if r.ContentLength < 0 || r.ContentLength > maxUnsignedBody {
		leave, err := l.signed.Enter(ctx, uuid.Nil)
		if err != nil {
			return nil, fault.Wrap(err, fault.RateLimited,
				"Too many large reports are in progress. Send this one again later.")
		}
		defer leave()
	}
	body, err := l.read(rs, r, l.limits.MaxBody)
	if err != nil {
		return nil, err
	}
	if !scanners.Signed(id, signature, body) {
		rs.reason = string(access.ReasonUnknown)
		return nil, errSignature
	}
	return body, nil
}
