package gormdb

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// thisProcess names this process so that another one on the same machine can
// tell whether it still runs: the boot, the namespace of process ids, the id,
// and when it was started (proc(5)). It is empty where that is not known.
func thisProcess() string {
	place := processPlace()
	started, running := processStart(os.Getpid())
	if place == "" || !running {
		return ""
	}
	return fmt.Sprintf("%s %d %s", place, os.Getpid(), started)
}

// hasEnded reports whether it is certain that a named process has ended: this
// process would see it, and does not.
func hasEnded(process string) bool {
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

// processPlace is the boot and the namespace that a process id belongs to.
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

// processStart returns when the process was started, in ticks since the boot,
// and whether it runs. One that has ended and was not waited for does not.
func processStart(id int) (ticks string, running bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/stat")
	if err != nil {
		return "", !os.IsNotExist(err)
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, startTime = 0, 19 // fields 3 and 22
	if len(fields) <= startTime {
		return "", true
	}
	return fields[startTime], fields[state] != "Z" && fields[state] != "X"
}
