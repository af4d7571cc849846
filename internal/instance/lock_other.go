//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package instance

import (
	"os"
	"runtime"

	"latchkey/internal/fault"
)

func lock(*os.File) error {
	return fault.Errorf(fault.Invalid, "Instance files do not work on %s.", runtime.GOOS).On(flag)
}

func fileNumber(os.FileInfo) uint64 { return 0 }
