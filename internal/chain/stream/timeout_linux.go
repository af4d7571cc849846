package stream

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT, in milliseconds.
const tcpUserTimeout = 0x12

// boundUnacknowledged makes the kernel end the connection if the peer does not acknowledge what was sent.
func boundUnacknowledged(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledged.Milliseconds()))
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}
