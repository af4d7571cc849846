//go:build !linux

package httpserver

import (
	"errors"
	"net"
)

// settle keeps new connections from being made, which it cannot here.
func settle(net.Listener) error { return errors.ErrUnsupported }
