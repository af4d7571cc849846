package httpserver

import (
	"net/http"
	"strings"

	"latchkey/internal/access"
	"latchkey/internal/fault"
	"latchkey/internal/panel"
)

// Panel is the control panel. It is panel.Panel, whose methods say more.
type Panel interface {
	// Patterns are those of its pages.
	Patterns() []string
	// Credential returns the secret of a session that a browser presents.
	Credential(r *http.Request) string
	// ServeVisit answers a request for a page.
	ServeVisit(w http.ResponseWriter, r *http.Request, who panel.Visit)
}

// handlePanel makes a route of each page. What is nowhere is a page, too, for
// whoever asks for pages.
func (p *public) handlePanel() {
	p.unmatched = p.handle("/", p.nowhere)
	if p.Panel == nil {
		return
	}
	for _, pattern := range p.Panel.Patterns() {
		p.handle(pattern, p.panelPage).quiet = strings.HasPrefix(pattern, "/static/")
	}
}

func (p *public) nowhere(x *exchange, r *http.Request) {
	if p.Panel != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		p.panelPage(x, r)
		return
	}
	notFound(x, r)
}

// panelPage finds out whose session the browser presents. One that does not
// work is none: its person signs in again.
func (p *public) panelPage(x *exchange, r *http.Request) {
	ctx := p.bounded(x, r)
	defer ctx.release()
	r.Body = http.MaxBytesReader(x.ResponseWriter, r.Body, int64(p.Limits.MaxBody))
	who := panel.Visit{Origin: x.origin()}
	if presented := p.Panel.Credential(r); presented != "" {
		who.Record, who.Err = p.session(x, r, presented)
	}
	p.Panel.ServeVisit(x, r.WithContext(ctx), who) //nolint:contextcheck // the deadline's parent is the request's
}

// session returns the record of the session that a secret opens; nil for a
// secret that opens none.
func (p *public) session(x *exchange, r *http.Request, presented string) (*access.Record, error) {
	err := p.rates.admit(r.Context(), x, presented)
	if err != nil {
		return nil, err
	}
	record, err := p.Verifier.Look(r.Context(), presented, x.origin())
	p.judged(x, presented, err)
	switch {
	case fault.KindOf(err) == fault.Unauthenticated:
		return nil, nil //nolint:nilnil // nobody is signed in, which is no fault
	case err != nil:
		return nil, err
	}
	x.principal = &record.Principal
	return record, p.rates.spend(r.Context(), x, x.principal)
}
