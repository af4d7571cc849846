// Package mail sends mail to users, as plain text over SMTP. What they read
// stands in texts, a folder for each language.
package mail

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"latchkey/internal/signin"
	"latchkey/internal/user"
)

// timeout bounds the sending of one mail, all in all.
const timeout = 10 * time.Second

//go:embed texts
var texts embed.FS

// Config says how mails are sent.
type Config struct {
	// Host and Port are those of the server that takes the mails.
	Host string
	Port int
	// TLS says that the connection begins with TLS (RFC 8314, section 3.3).
	// Otherwise the server must offer STARTTLS (RFC 3207), unless it is on this
	// machine. Of a server on this machine any certificate is taken.
	TLS bool
	// User and Password are what to sign in with; empty for nothing. The
	// password must not be printed.
	User, Password string
	// From is the address that mails come from.
	From string
}

// Sender sends mails. It is safe for concurrent use.
type Sender struct {
	from    string
	host    string
	tls     bool
	options []gomail.Option
}

var _ signin.Mail = (*Sender)(nil)

// New returns a sender. It connects when it has something to send.
func New(c Config) *Sender {
	s := &Sender{from: c.From, host: c.Host, tls: c.TLS}
	options := []gomail.Option{gomail.WithPort(c.Port), gomail.WithTLSConfig(s.trust()),
		gomail.WithDialContextFunc(s.dial)}
	switch {
	case c.TLS || loopback(c.Host): // dial begins with TLS
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.User != "" {
		auth := gomail.SMTPAuthAutoDiscover
		if !c.TLS && loopback(c.Host) {
			auth = gomail.SMTPAuthPlainNoEnc // the connection does not leave this machine
		}
		options = append(options, gomail.WithSMTPAuth(auth), gomail.WithUsername(c.User),
			gomail.WithPassword(c.Password))
	}
	s.options = options
	return s
}

// loopback reports whether what is said to the host stays on this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Invited sends a user an account's invitation, with a link that works
// until then, or to the page to sign in where until is zero.
func (s *Sender) Invited(ctx context.Context, to user.User, accountName, address string, until time.Time) error {
	if until.IsZero() {
		return s.send(ctx, "invited_to_sign_in", to, "{account}", accountName, "{address}", address)
	}
	return s.send(ctx, "invited", to, "{account}", accountName, "{address}", address, "{until}", formatTime(until))
}

// Forgot sends a user the link to set a new password.
func (s *Sender) Forgot(ctx context.Context, to user.User, address string, until time.Time) error {
	return s.send(ctx, "forgot", to, "{address}", address, "{until}", formatTime(until))
}

// Notify tells a user of a sign-in, or of a change of how they sign in.
func (s *Sender) Notify(ctx context.Context, to user.User, n signin.Notice) error {
	from := "the operator of the server"
	if n.IP.IsValid() {
		from = n.IP.Unmap().String()
	}
	return s.send(ctx, "notices/"+string(n.Action), to, "{at}", formatTime(n.At), "{from}", from, "{address}",
		n.Address)
}

// WebhookFailing tells the owner of an account that a webhook has been failing since then. The address is that of the
// webhook's page. The mail does not contain the webhook's URL, which others may have entered.
func (s *Sender) WebhookFailing(ctx context.Context, to user.User, since time.Time, address string) error {
	return s.send(ctx, "webhook_failing", to, "{since}", formatTime(since), "{address}", address)
}

// Leaked tells the owner of an account that a secret was reported as leaked, and whether it was revoked. what is the
// kind of the secret. The address is that of the audit log. The mail does not contain the report, whose text any client
// can choose.
func (s *Sender) Leaked(ctx context.Context, to user.User, what string, revoked bool, at time.Time,
	address string) error {
	name := "leaked"
	if revoked {
		name = "leaked_revoked"
	}
	return s.send(ctx, name, to, "{what}", what, "{at}", formatTime(at), "{address}", address)
}

// formatTime formats a time for a reader whose time zone is unknown.
func formatTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 MST") }

// send sends the text of that name, with what is filled in from pairs.
func (s *Sender) send(ctx context.Context, name string, to user.User, pairs ...string) error {
	subject, body, err := text(name, append(pairs, "{email}", to.Email)...)
	if err != nil {
		return err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := m.From(s.from); err != nil {
		return fmt.Errorf("the sender's address: %w", err)
	}
	if err := m.To(user.Mailbox(to.Email)); err != nil {
		return fmt.Errorf("the recipient's address: %w", err)
	}
	m.Subject(subject)
	m.SetBodyString(gomail.TypeTextPlain, body)
	// Out-of-office answers to it would not be read (RFC 3834, section 5).
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetMessageID()
	m.SetDate()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The client heeds its own time, and not the context's, for what it reads;
	// the connection ends with the context, regardless of the client.
	ends, _ := ctx.Deadline()
	client, err := gomail.NewClient(s.host, append(slices.Clone(s.options),
		gomail.WithTimeout(max(time.Until(ends), time.Millisecond)))...)
	if err != nil {
		return fmt.Errorf("the settings of mail: %w", err)
	}
	return client.DialAndSendWithContext(ctx, m)
}

// text returns the subject and the body of a mail.
func text(name string, pairs ...string) (subject, body string, err error) {
	content, err := texts.ReadFile("texts/en/" + name + ".txt")
	if err != nil {
		return "", "", err
	}
	head, body, found := strings.Cut(string(content), "\n\n")
	subject, is := strings.CutPrefix(head, "Subject: ")
	if !found || !is {
		return "", "", fmt.Errorf("the mail %s has no subject", name)
	}
	if strings.HasPrefix(name, "notices/") {
		end, err := texts.ReadFile("texts/en/notice_end.txt")
		if err != nil {
			return "", "", err
		}
		body += string(end)
	}
	fill := strings.NewReplacer(pairs...)
	return fill.Replace(subject), fill.Replace(body), nil
}
