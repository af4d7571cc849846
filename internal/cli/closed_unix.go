//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// wasClosed reports whether a standard file was closed when the program
// started. The Go runtime then opens the null device for reading and writing in
// its place, while the shell's >/dev/null opens it for writing only.
func wasClosed(file *os.File) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return true
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	return err != nil || os.SameFile(info, null) && flags&unix.O_ACCMODE == unix.O_RDWR
}
