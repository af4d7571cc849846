package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killWithParent makes the kernel end a server whose benchmark was killed.
func killWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// datasync returns when the data written to the file is on the disk.
func datasync(file *os.File) error { return syscall.Fdatasync(int(file.Fd())) }

// processorTime returns how long all cores of the machine have worked since it started, without idle and steal time
// (proc_stat(5): user, nice, system, irq and softirq, in hundredths of a second). It is zero if that cannot be read.
func processorTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	columns := strings.Fields(first)
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		if i >= len(columns) {
			return 0
		}
		n, err := strconv.ParseInt(columns[i], 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
