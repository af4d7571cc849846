package panel

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/bulk/export"
	"latchkey/internal/fault"
	"latchkey/internal/paging"
)

const (
	// exportSize is how many events one step reads and holds in memory.
	exportSize = 1000
	// exportStep is the time limit for reading one such batch, and again for writing it to the browser.
	exportStep = 30 * time.Second
)

// export streams all events that match the filter as CSV. The file has no size limit, so each step has a time
// limit instead of the whole request. If a step fails, the response is aborted so that the browser does not take it
// for a complete file.
func (h *auditHandler) export(q *request) error {
	if err := mayReadAudit(q); err != nil {
		return err
	}
	f := &form{Values: q.r.URL.Query(), fields: auditFields}
	filter, err := h.filter(q, f)
	if err != nil {
		return err
	}
	if f.Refused() {
		return fault.List(f.faults).Err()
	}
	first, err := h.read(q, filter, paging.Window{Size: exportSize})
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	q.w.Header().Set("Content-Disposition",
		"attachment; filename="+url.PathEscape("audit-"+q.now.Timestamp().Format("2006-01-02")+".csv"))
	if err := h.write(q, filter, first); err != nil {
		h.log.LogAttrs(q.r.Context(), slog.LevelWarn, "an export of the audit log was aborted",
			slog.String("request_id", q.origin.RequestID), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// read reads one page of events with its own time limit, because the request's may have passed. A client that
// disconnected is noticed on the next write. | It verifies the session again for each page: the session may have
// been revoked, or its permissions changed, since the last one.
func (h *auditHandler) read(q *request, filter audit.Filter, w paging.Window) (paging.Page[audit.Event], error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.r.Context()), exportStep)
	defer cancel()
	if err := h.sessions.verify(ctx, q); err != nil {
		return paging.Page[audit.Event]{}, err
	}
	if q.by == nil {
		return paging.Page[audit.Event]{}, access.ErrRefused()
	}
	if err := mayReadAudit(q); err != nil {
		return paging.Page[audit.Event]{}, err
	}
	return h.events.Events(ctx, q.by.AccountID, filter, w)
}

func (h *auditHandler) write(q *request, filter audit.Filter, p paging.Page[audit.Event]) error {
	out, control := export.NewEventWriter(q.w), http.NewResponseController(q.w)
	for {
		events := make([]audit.Event, len(p.Items))
		for i, item := range p.Items {
			events[i] = item.Node
		}
		if err := control.SetWriteDeadline(q.now().Add(exportStep)); err != nil {
			return err
		}
		if err := out.Write(events); err != nil {
			return err
		}
		if !p.HasNext || len(p.Items) == 0 {
			return nil
		}
		last := p.Items[len(p.Items)-1].Key
		var err error
		if p, err = h.read(q, filter, paging.Window{Size: exportSize, After: &last}); err != nil {
			return err
		}
	}
}
