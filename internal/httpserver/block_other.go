//go:build !linux

package httpserver

import (
	"errors"
	"net"
)

// blockConnections returns errors.ErrUnsupported: only Linux can block new connections.
func blockConnections(net.Listener) error { return errors.ErrUnsupported }
