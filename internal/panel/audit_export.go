package panel

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

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

// export streams all events that match the filter as CSV.
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
	read := func(after *uuid.UUID) ([]audit.Event, *uuid.UUID, error) {
		page, err := h.read(q, filter, paging.Window{Size: exportSize, After: after})
		if err != nil {
			return nil, nil, err
		}
		events := make([]audit.Event, len(page.Items))
		for i, item := range page.Items {
			events[i] = item.Node
		}
		if !page.HasNext || len(page.Items) == 0 {
			return events, nil, nil
		}
		return events, &page.Items[len(page.Items)-1].Key, nil
	}
	begin := func(to io.Writer) func([]audit.Event) error { return export.NewEventWriter(to).Write }
	return streamCSV(q, h.log, "audit", "an export of the audit log was aborted", begin, read)
}

// streamCSV answers with a CSV file of pages. read returns the page after an item, the first one for nil, and its last
// item if more follow. begin returns the function that writes a page. The file has no size limit, so each step has a
// time limit instead of the whole request. If a step fails, aborted is logged and the response is aborted, so that the
// browser does not take it for a complete file.
func streamCSV[T any](q *request, log *slog.Logger, name, aborted string, begin func(io.Writer) func([]T) error,
	read func(after *uuid.UUID) ([]T, *uuid.UUID, error)) error {
	page, last, err := read(nil)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	q.w.Header().Set("Content-Disposition",
		"attachment; filename="+url.PathEscape(name+"-"+q.now.Timestamp().Format("2006-01-02")+".csv"))
	write, control := begin(q.w), http.NewResponseController(q.w)
	for {
		if err = control.SetWriteDeadline(q.now().Add(exportStep)); err == nil {
			err = write(page)
		}
		if err == nil && last == nil {
			return nil
		}
		if err == nil {
			page, last, err = read(last)
		}
		if err != nil {
			log.LogAttrs(q.r.Context(), slog.LevelWarn, aborted,
				slog.String("request_id", q.origin.RequestID), slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}
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
