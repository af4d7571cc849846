package cli

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// The pages of the program's file that are not in use do not count as the process's memory.
func TestReleaseProgram(t *testing.T) {
	before := residentFile(t)
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := residentFile(t); after > before/2 {
		t.Errorf("resident pages of files: got %d kB, want at most half of %d kB", after, before)
	}
}

// residentFile returns the size in kB of this process's resident pages of files (proc_pid_status(5)).
func residentFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^RssFile:\s*(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no size of resident pages of files in %s", status)
	}
	kB, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kB
}
