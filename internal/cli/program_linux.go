package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// releaseProgram unmaps the pages of the program's file. The start uses many of them, such as those of packages'
// initialization, that are not needed again. Those that are needed are mapped again from the page cache.
func releaseProgram() error {
	file, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps") // proc_pid_smaps(5)
	if err != nil {
		return err
	}
	defer maps.Close()
	var (
		from, to                 uintptr
		perms, offset, dev, path string
		inode                    int64
	)
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "Anonymous:") {
			// A page that was changed, such as one of relocated data, is anonymous and would be lost.
			unchanged := strings.Fields(line)[1] == "0" && !strings.Contains(perms, "w")
			if path != file || !unchanged {
				continue
			}
			if _, _, e := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); e != 0 {
				return fmt.Errorf("madvise: %w", e)
			}
		} else if n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %d", &from, &to, &perms, &offset, &dev, &inode); n == 6 {
			_, path, _ = strings.Cut(line, fmt.Sprintf(" %d ", inode))
			path = strings.TrimSpace(path)
		}
	}
	return lines.Err()
}
