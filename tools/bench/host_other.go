//go:build !linux

package main

import (
	"os"
	"os/exec"
	"time"
)

// killWithParent does nothing on other systems: a benchmark that is killed leaves its servers running.
func killWithParent(*exec.Cmd) {}

// datasync also writes the file's times to the disk, where the system offers no fdatasync.
func datasync(file *os.File) error { return file.Sync() }

// processorTime is not available on other systems.
func processorTime() time.Duration { return 0 }
