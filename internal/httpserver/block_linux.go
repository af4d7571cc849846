package httpserver

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// handshake is the time allowed for TCP handshakes in progress.
	handshake = 100 * time.Millisecond
	// longestQueue is the maximum wait for queued connections to be accepted.
	longestQueue = time.Second
)

// blockConnections blocks new connections and waits until all established ones have been
// accepted, so that the listener can be closed. The kernel resets connections
// that are still queued at that time.
func blockConnections(l net.Listener) error {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	if err := control(raw, dropSYN); err != nil {
		return err
	}
	time.Sleep(handshake)
	for deadline := time.Now().Add(longestQueue); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		waiting := false
		err := control(raw, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			waiting = err == nil && info.Unacked > 0 // for a listener, the number of queued connections
			return err
		})
		if err != nil || !waiting {
			return err
		}
	}
	return nil
}

func control(raw syscall.RawConn, work func(fd int) error) (err error) {
	if failed := raw.Control(func(fd uintptr) { err = work(int(fd)) }); failed != nil {
		return failed
	}
	return err
}

// dropSYN makes the kernel drop the first packet of new connections. Clients
// retransmit it, and are refused after the listener is closed.
func dropSYN(fd int) error {
	const flags, syn, all = 13, 0x02, 0xffffffff // in the TCP header (RFC 9293, section 3.1)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: syn},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}
