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
	"latchkey/internal/paging"
	"latchkey/internal/scope"
	dbtest "latchkey/internal/test/db"
)

// endless is an infinite audit log. It counts the pages read.
type endless struct{ pages int }

func (e *endless) Events(context.Context, uuid.UUID, audit.Filter, paging.Window) (paging.Page[audit.Event], error) {
	e.pages++
	return paging.Page[audit.Event]{Items: []paging.Item[audit.Event]{{Key: uuid.New()}}, HasNext: true}, nil
}

func (e *endless) CountEvents(context.Context, uuid.UUID, audit.Filter) (int64, error) { return 0, nil }

// recorder is a ResponseRecorder with write deadlines.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

// An export stops when its session is revoked or loses the scope to read the log: each page is authorized
// separately.
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
			lookup := func(context.Context, string, auth.Origin) (*access.Record, error) {
				if asked++; asked <= 2 {
					return &reader, nil
				}
				return then()
			}
			h := auditHandler{events: log, sessions: &sessions{lookup: lookup},
				log: slog.New(slog.NewJSONHandler(&dbtest.Log{}, nil))}
			p := New(Config{Now: time.Now})
			q := p.newRequest(recorder{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil),
				Caller{Record: &reader})
			defer func() {
				if what := recover(); what != any(http.ErrAbortHandler) || log.pages != 2 {
					t.Errorf("ended with %v after %d pages, want %v after 2", what, log.pages, http.ErrAbortHandler)
				}
			}()
			t.Errorf("export returned %v, want a panic", h.export(q))
		})
	}
}
