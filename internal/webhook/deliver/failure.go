package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"

	"latchkey/internal/webhook"
	"latchkey/internal/webhook/deliver/egress"
)

// failure returns why a request had no answer, in one line for the account. It says nothing about the server's network:
// no address, and no text of an error that it does not know.
func failure(err error) string {
	var dns *net.DNSError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, egress.ErrNotAllowed):
		return "address not allowed"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host name does not exist"
	case errors.As(err, &dns):
		return "the host name could not be resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no complete answer within %d seconds", int(Timeout.Seconds()))
	case untrusted(err) != "":
		return untrusted(err)
	case errors.As(err, &record):
		return "the receiver does not speak TLS at this port"
	case errors.As(err, &alert):
		return "the receiver refused the TLS connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "the host cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE):
		return "the connection was closed before the answer"
	case timedOut(err):
		return "the connection timed out"
	default:
		return "the connection failed, or the answer is not valid HTTP"
	}
}

// untrusted returns why a certificate was not accepted, or "" if err is another error.
func untrusted(err error) string {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired or is not yet valid"
	case errors.As(err, &host):
		return "the certificate is not valid for this host name"
	case errors.As(err, &authority):
		return "the certificate is not signed by a known authority"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the certificate is not valid"
	default:
		return ""
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unsuccessful returns why an answer with the status is a failure, or "" if it is a success.
func unsuccessful(status int) string {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status >= 300 && status < 400:
		return fmt.Sprintf("status %d: redirects are not followed", status)
	case http.StatusText(status) != "":
		return fmt.Sprintf("status %d: %s", status, http.StatusText(status))
	default:
		return fmt.Sprintf("status %d", status)
	}
}

// headOf returns the beginning of an answer as valid UTF-8 without NUL, which PostgreSQL does not store.
func headOf(read []byte) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(string(read), "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= webhook.MaxResponseHead {
		return text
	}
	cut := webhook.MaxResponseHead
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}
