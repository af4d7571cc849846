//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package instance

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"latchkey/internal/fault"
)

// lock takes an exclusive flock(2) lock, which the kernel releases when the process ends for any reason.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fault.Errorf(fault.Conflict,
			"Another server has the instance file %s locked. Stop that one, or give this one a file of its own.",
			file.Name()).On(flag)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// fileNumber returns the inode number, which distinguishes the file from a copy of it.
func fileNumber(info os.FileInfo) uint64 {
	if stat, known := info.Sys().(*syscall.Stat_t); known {
		return stat.Ino
	}
	return 0
}
