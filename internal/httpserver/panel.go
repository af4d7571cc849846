package httpserver

import (
	"net/http"
	"strings"

	"latchkey/internal/access"
	"latchkey/internal/fault"
	"latchkey/internal/panel"
)

// Panel is the control panel. See panel.Panel for its methods.
type Panel interface {
	// Patterns returns the mux patterns of its pages.
	Patterns() []string
	// Credential returns the session secret in the browser's cookie.
	Credential(r *http.Request) string
	// Serve serves a page.
	Serve(w http.ResponseWriter, r *http.Request, from panel.Caller)
}

// pages serves the control panel.
type pages struct {
	*endpoint

	panel Panel // nil if the panel is disabled
}

func (p *pages) unknownPath(rs *requestState, r *http.Request) {
	if p.panel != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		p.serve(rs, r)
		return
	}
	notFound(rs, r)
}

// serve finds the session of the browser. An invalid session counts as
// none: the user has to sign in again.
func (p *pages) serve(rs *requestState, r *http.Request) {
	ctx := p.bounded(rs, r)
	defer ctx.release()
	r.Body = http.MaxBytesReader(rs.ResponseWriter, r.Body, int64(p.limits.MaxBody))
	from := panel.Caller{Origin: rs.origin()}
	if presented := p.panel.Credential(r); presented != "" {
		from.Record, from.Ended, from.Err = p.session(rs, r, presented)
	}
	p.panel.Serve(rs, r.WithContext(ctx), from) //nolint:contextcheck // the deadline's parent is the request's
}

// session returns the record of a session secret, or why the secret does not work.
func (p *pages) session(rs *requestState, r *http.Request, presented string) (*access.Record, access.Reason, error) {
	err := p.rates.admit(r.Context(), rs, presented)
	if err != nil {
		return nil, "", err
	}
	record, err := p.verifier.Verify(r.Context(), presented, rs.origin())
	p.record(rs, presented, err)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		why := access.ReasonUnknown
		if refusal := access.RefusalIn(err); refusal != nil {
			why = refusal.Reason
		}
		return nil, why, nil // not signed in, which is not an error
	case err != nil:
		return nil, "", err
	}
	rs.principal = &record.Principal
	return record, "", p.rates.spend(r.Context(), rs, rs.principal)
}
