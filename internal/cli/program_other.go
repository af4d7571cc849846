//go:build !linux

package cli

// releaseProgram unmaps the pages of the program's file. Only Linux counts them as the process's memory until then.
func releaseProgram() error { return nil }
