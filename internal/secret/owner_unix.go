//go:build unix

package secret

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the ID of the user who owns a file, and whether the system has
// such IDs.
func ownerOf(info fs.FileInfo) (uint32, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Uid, true
}
