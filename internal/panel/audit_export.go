package panel

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/export"
	"latchkey/internal/fault"
	"latchkey/internal/page"
)

const (
	// exportSize is how many events are read, and held, at a time.
	exportSize = 1000
	// exportStep is how long each of these may take to be read, and to be
	// written to the browser.
	exportStep = 30 * time.Second
)

// auditExport answers with all events that the filter admits, as CSV. The file
// is as long as it is: each step has its own end, and not the request. What
// cannot be finished is cut off, so that no browser takes it for the whole.
func (v *visit) auditExport() error {
	if err := v.mayReadAudit(); err != nil {
		return err
	}
	f := &form{Values: v.r.URL.Query(), fields: auditFields}
	filter, err := v.auditFilter(f)
	if err != nil {
		return err
	}
	if f.Refused() {
		return fault.List(f.faults).Err()
	}
	first, err := v.exported(filter, page.Window{Size: exportSize})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	v.w.Header().Set("Content-Disposition", "attachment; filename="+url.PathEscape("audit-"+v.Now().UTC().Format("2006-01-02")+".csv"))
	if err := v.export(filter, first); err != nil {
		v.Log.LogAttrs(v.r.Context(), slog.LevelWarn, "an export of the audit log was cut off",
			slog.String("request_id", v.who.Origin.RequestID), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// exported reads a page of events within its own time: that of the request may
// be over. Whoever has left is noticed when they are written to.
//
// Each page is for whoever may read it then: the session may have ended since
// the last one, or its rights changed.
func (v *visit) exported(filter audit.Filter, w page.Window) (page.Page[audit.Event], error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), exportStep)
	defer cancel()
	if err := v.verify(ctx); err != nil {
		return page.Page[audit.Event]{}, err
	}
	if v.by == nil {
		return page.Page[audit.Event]{}, access.ErrRefused()
	}
	if err := v.mayReadAudit(); err != nil {
		return page.Page[audit.Event]{}, err
	}
	return v.Audit.Events(ctx, v.by.AccountID, filter, w)
}

func (v *visit) export(filter audit.Filter, p page.Page[audit.Event]) error {
	out, control := export.NewEventWriter(v.w), http.NewResponseController(v.w)
	for {
		events := make([]audit.Event, len(p.Items))
		for i, item := range p.Items {
			events[i] = item.Node
		}
		if err := control.SetWriteDeadline(v.Now().Add(exportStep)); err != nil {
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
		if p, err = v.exported(filter, page.Window{Size: exportSize, After: &last}); err != nil {
			return err
		}
	}
}
