package panel

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/access"
	"latchkey/internal/audit"
	"latchkey/internal/auth"
	"latchkey/internal/dbtest"
	"latchkey/internal/page"
	"latchkey/internal/scope"
)

// endless is an audit log without an end. It counts the pages that were read.
type endless struct{ pages int }

func (e *endless) Events(context.Context, uuid.UUID, audit.Filter, page.Window) (page.Page[audit.Event], error) {
	e.pages++
	return page.Page[audit.Event]{Items: []page.Item[audit.Event]{{Key: uuid.New()}}, HasNext: true}, nil
}

func (e *endless) CountEvents(context.Context, uuid.UUID, audit.Filter) (int64, error) { return 0, nil }

// recorder is one that has deadlines.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

// An export ends where its session does, or its right to read the log, however
// far it has come: each page is for those who may read it then.
func TestAuditExportEndsWithItsRights(t *testing.T) {
	reader := access.Record{Principal: auth.Principal{Kind: auth.Session, Scopes: scope.NewSet(scope.AccountAuditRead)}}
	for name, then := range map[string]func() (*access.Record, error){
		"signed out": func() (*access.Record, error) { return nil, access.ErrRefused() },
		"not the owner any more": func() (*access.Record, error) {
			return &access.Record{Principal: auth.Principal{Kind: auth.Session}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, asked := &endless{}, 0
			look := func(context.Context, string, auth.Origin) (*access.Record, error) {
				if asked++; asked <= 2 {
					return &reader, nil
				}
				return then()
			}
			p := New(Config{Audit: log, Look: look, Now: time.Now, Log: slog.New(slog.NewJSONHandler(&dbtest.Log{}, nil))})
			v := p.visit(recorder{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil), Visit{Record: &reader})
			defer func() {
				if what := recover(); what != any(http.ErrAbortHandler) || log.pages != 2 {
					t.Errorf("ended with %v after %d pages", what, log.pages)
				}
			}()
			t.Errorf("ended with %v", v.auditExport())
		})
	}
}
