package feed

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// thisProcess identifies this process so that another process on the same machine can check whether it still runs. It
// returns the boot id, the namespace of process ids, the process id, and the start time (proc(5)), or "" if one of
// them is not available.
func thisProcess() string {
	place := processPlace()
	started, running := processStart(os.Getpid())
	if place == "" || !running {
		return ""
	}
	return fmt.Sprintf("%s %d %s", place, os.Getpid(), started)
}

// processEnded reports whether the process has certainly ended: this process could see it, and does not.
func processEnded(process string) bool {
	fields := strings.Fields(process)
	place := processPlace()
	if len(fields) != 4 || place == "" || fields[0]+" "+fields[1] != place {
		return false
	}
	id, err := strconv.Atoi(fields[2])
	if err != nil {
		return false
	}
	started, running := processStart(id)
	return !running || started != fields[3]
}

// processPlace returns the boot id and the namespace that a process id belongs to.
func processPlace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + namespace
}

// processStart returns the start time of the process, in ticks since boot, and whether it is running. A zombie
// process counts as not running.
func processStart(id int) (ticks string, running bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
	if err != nil {
		return "", !os.IsNotExist(err)
	}
	// The name, in parentheses, may contain any characters.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, startTime = 0, 19 // fields 3 and 22
	if len(fields) <= startTime {
		return "", true
	}
	return fields[startTime], fields[state] != "Z" && fields[state] != "X"
}
