package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// units are the names under which the units are installed, and their files. The server's is one for a single server,
// and a template for several.
var units = map[string]string{
	"latchkey.service": "latchkey.service", "latchkey@1.service": "latchkey.service",
	"latchkey-backup.service": "latchkey-backup.service", "latchkey-backup.timer": "latchkey-backup.timer",
}

// systemd accepts the units, and rates what the services could do at 2.0 at most, of 10.
func TestSystemdUnits(t *testing.T) {
	program, err := os.Executable() // systemd wants one that exists
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, file := range units {
		text := strings.ReplaceAll(read(t, "systemd/"+file), "/usr/local/bin/latchkey", program)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	analyze := func(args ...string) ([]byte, error) {
		c := exec.CommandContext(t.Context(), "systemd-analyze", args...)
		c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":") // and the default path
		return c.CombinedOutput()
	}
	for name := range units {
		file := filepath.Join(dir, name)
		if out, err := analyze("verify", "--man=no", file); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify %s: got %v, want no complaint\n%s", name, err, out)
		}
		if filepath.Ext(name) == ".timer" {
			continue
		}
		if out, err := analyze("security", "--offline=true", "--threshold=20", file); err != nil {
			t.Errorf("systemd-analyze security %s: got %v, want no complaint\n%s", name, err, out)
		}
	}
	broken := changed(t, "systemd/latchkey-backup.timer", "OnCalendar=*-*-*", "OnCalendar=nightly-")
	if out, err := analyze("verify", "--man=no", broken); err == nil && len(out) == 0 {
		t.Error("systemd-analyze verify: got no complaint about a wrong time, want one")
	}
}
