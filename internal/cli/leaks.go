package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"latchkey/internal/clock"
	"latchkey/internal/config"
	"latchkey/internal/httpserver"
	"latchkey/internal/leaks"
	"latchkey/internal/signin/mail"
)

// leakReports is the part of a server that handles reports of leaked secrets.
type leakReports struct {
	service *leaks.Service
	config  httpserver.LeakReports
}

// readLeakKeys reads the file of the keys of secret scanners. It returns nil if there is none.
func readLeakKeys(path string) (*leaks.Keys, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // signed reports are refused then
	}
	return readFile(config.Called("leak-report-keys"), path, func(r io.Reader) (*leaks.Keys, error) {
		return leaks.ParseKeys(r)
	})
}

// newLeaks returns the handler of reports of a server whose panel is at baseURL.
func newLeaks(b *backend, baseURL string, log *slog.Logger) (*leakReports, error) {
	keys, err := readLeakKeys(b.cfg.Leaks.Keys)
	if err != nil {
		return nil, err
	}
	c := leaks.Config{
		Credentials: b.db.Access(), Accounts: b.db.Accounts(), Keys: b.keys, Tokens: b.tokens, OAuth: newOAuth(b),
		Users: b.users, Now: clock.System, Log: log,
	}
	if b.cfg.Mail.Host != "" {
		c.Notify = leakMails{b, mail.New(mail.Config(b.cfg.Mail)), baseURL}.send
	}
	service, err := leaks.NewService(c)
	if err != nil {
		return nil, err
	}
	return &leakReports{service, httpserver.LeakReports{Leaks: service, Scanners: keys,
		Unsigned: b.cfg.Leaks.Unsigned}}, nil
}

// start mails notices until stop is called.
func (l *leakReports) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { l.service.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// leakMails tells owners that a secret leaked.
type leakMails struct {
	b       *backend
	mail    *mail.Sender
	baseURL string
}

func (m leakMails) send(ctx context.Context, n leaks.Notice) error {
	to, err := m.b.ownerOf(ctx, n.AccountID)
	if err != nil {
		return err
	}
	return m.mail.Leaked(ctx, to, n.Kind.Name(), n.Revoked, n.At,
		m.baseURL+"/accounts/"+n.AccountID.String()+"/audit")
}
