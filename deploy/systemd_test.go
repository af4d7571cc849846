package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd accepts the unit, and rates what the service could do at 2.0 at most, of 10.
func TestSystemdUnit(t *testing.T) {
	unit := read(t, "systemd/latchkey.service")
	program, err := os.Executable() // systemd wants one that exists
	if err != nil {
		t.Fatal(err)
	}
	unit = strings.Replace(unit, "/usr/local/bin/latchkey serve", program+" serve", 1)
	file := filepath.Join(t.TempDir(), "latchkey.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--man=no", file},
		{"security", "--offline=true", "--threshold=20", file}} {
		c := exec.CommandContext(t.Context(), "systemd-analyze", args...)
		out, err := c.CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: got %v, want no complaint\n%s", args[0], err, out)
		}
	}
}
