package stream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// syslog is a syslog receiver. Messages have the format of RFC 5424 and are counted on the connection (RFC 6587, and
// RFC 5425 with TLS).
//
// Syslog has no receipts. So an event counts as arrived if the connection is still there some time after it was
// written. The time is longer than the one after which the kernel ends a connection whose peer acknowledges nothing
// (unacknowledged).
type syslog struct {
	address string
	tls     bool
	ca      string
	host    string
	conn    net.Conn
	// lost receives the error with which the receiver ended the connection.
	lost chan error
}

const (
	// unacknowledged is the time after which a connection ends whose peer does not acknowledge what was sent.
	unacknowledged = 15 * time.Second
	arrivedAfter   = 20 * time.Second
	// writeTimeout bounds writing a batch, and connecting.
	writeTimeout = 10 * time.Second
	// priority is facility 13, log audit, and severity 5, notice.
	priority = 13*8 + 5
)

// NewSyslog returns a syslog receiver as a target.
func NewSyslog(address string) Target {
	host, _ := os.Hostname() // empty if it is not known
	return &syslog{address: address, host: cmp.Or(host, "-")}
}

// NewSyslogTLS returns a syslog receiver that is reached over TLS. ca is the file of its authorities, which is read for
// each connection; empty means those of the machine.
func NewSyslogTLS(address, ca string) Target {
	host, _ := os.Hostname() // empty if it is not known
	return &syslog{address: address, tls: true, ca: ca, host: cmp.Or(host, "-")}
}

// Authorities reads a file of authorities for NewSyslogTLS. It returns nil for an empty path.
func Authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // crypto/tls: nil means the authorities of the machine
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New(path + " has no certificate in PEM form")
	}
	return pool, nil
}

func (s *syslog) Name() string {
	if s.tls {
		return "syslog+tls://" + s.address
	}
	return "syslog://" + s.address
}

func (s *syslog) Arrived() time.Duration { return arrivedAfter }

// Check returns an error if the receiver ended the connection.
func (s *syslog) Check() error {
	if s.conn == nil {
		return nil
	}
	select {
	case err := <-s.lost:
		return fmt.Errorf("the syslog receiver ended the connection: %w", err)
	default:
		return nil
	}
}

func (s *syslog) Close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// Write writes lines as messages.
func (s *syslog) Write(ctx context.Context, lines []Line) error {
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	for _, l := range lines {
		m := s.message(l)
		text.WriteString(strconv.Itoa(len(m)))
		text.WriteByte(' ')
		text.Write(m)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil { //nolint:forbidigo // the kernel's clock
		return err
	}
	_, err := s.conn.Write(text.Bytes())
	return err
}

// message returns an event as a message. RFC 5424, section 6.
func (s *syslog) message(l Line) []byte {
	at := l.At.UTC().Format("2006-01-02T15:04:05.000000Z")
	head := fmt.Sprintf("<%d>1 %s %s latchkey %d %s - ", priority, at, s.host, os.Getpid(), l.Type)
	return append([]byte(head), l.JSON...)
}

func (s *syslog) dialTLS(ctx context.Context, dialer *net.Dialer) (net.Conn, error) {
	authorities, err := Authorities(s.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", s.address)
}

func (s *syslog) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	dialer := &net.Dialer{Control: boundUnacknowledged,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 2}}
	var err error
	var conn net.Conn
	if s.tls {
		conn, err = s.dialTLS(ctx, dialer)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", s.address)
	}
	if err != nil {
		return err
	}
	lost := make(chan error, 1)
	s.conn, s.lost = conn, lost
	go func() {
		_, err := io.Copy(io.Discard, conn) // receivers send nothing
		lost <- cmp.Or(err, errors.New("end of file"))
	}()
	return nil
}
