package config_test

import (
	"strings"
	"testing"

	"latchkey/internal/config"
	"latchkey/internal/fault"
	"latchkey/internal/test/check"
)

func TestSettingsFile(t *testing.T) {
	file := written(t, "# A comment\n\nLATCHKEY_ADDR = \":1\"\nLATCHKEY_LOG_LEVEL=debug\n"+
		"LATCHKEY_DATABASE_URL='sqlite:a.db'\r\nLATCHKEY_CACHE_AGE=\n")
	c := load(t, map[string]string{"config": file}, map[string]string{"LATCHKEY_LOG_LEVEL": "warn"})
	check.Equal(t, c.Addr, ":1", "a setting of the file")
	check.Equal(t, c.Log.Level.String(), "WARN", "a setting of the file and the environment")
	check.Equal(t, c.Database, "sqlite:a.db", "a setting in single quotes")
	check.Equal(t, c.CacheAge.String(), "5m0s", "an empty setting")
	c = load(t, map[string]string{"addr": ":2"}, map[string]string{"LATCHKEY_CONFIG": file})
	check.Equal(t, c.Addr, ":2", "a setting of the file and a flag")
	check.Equal(t, config.IsSet(from(nil, map[string]string{"LATCHKEY_CONFIG": file}), "addr"), true,
		"whether a setting of the file is set")
}

// All errors of a file are reported with their lines, and no value is.
func TestWrongSettingsFiles(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no assignment":  {"LATCHKEY_ADDR=:1\nhidden\n", "line 2: must have the form NAME=value"},
		"unknown":        {"LATCHKEY_NONE=hidden\n", `line 1: "LATCHKEY_NONE" is not the variable of a setting`},
		"itself":         {"LATCHKEY_CONFIG=hidden\n", `line 1: "LATCHKEY_CONFIG" is not the variable of a setting`},
		"twice":          {"LATCHKEY_ADDR=:1\nLATCHKEY_ADDR=hidden\n", "line 2: LATCHKEY_ADDR is set twice"},
		"not UTF-8":      {"LATCHKEY_ADDR=\xffhidden\n", "must be a text"},
		"too large":      {"#" + strings.Repeat("x", 300<<10), "must be a text of at most"},
		"a wrong value":  {"LATCHKEY_ADDR=nowhere\n", "--addr (LATCHKEY_ADDR): must be host:port"},
		"two wrong ones": {"x\ny\n", "line 2: must have"},
	} {
		file := written(t, tc.text)
		_, err := config.Load(from(map[string]string{"config": file}, nil), config.Needs{})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) ||
			strings.Contains(err.Error(), "hidden") || strings.Contains(tc.want, "line") &&
			!strings.Contains(err.Error(), "--config (LATCHKEY_CONFIG): "+file) {
			t.Errorf("%s: got %v, want %s, with the file and without the value", name, err, tc.want)
		}
	}
	_, err := config.Load(from(map[string]string{"config": "/none/file"}, nil), config.Needs{})
	if err == nil || !strings.Contains(err.Error(), "cannot read /none/file: no such file or directory") {
		t.Errorf("a missing file: got %v, want an error that names it", err)
	}
}

func TestChangedValues(t *testing.T) {
	values := func(flags map[string]string) config.Values { return config.ReadValues(from(flags, nil)) }
	before := values(map[string]string{"addr": ":1", "log-level": "info"})
	check.Equal(t, before.Changed(values(map[string]string{"addr": ":1"})), nil, "changed settings of the same values")
	check.Equal(t, before.Changed(values(map[string]string{"log-level": "warn"})), []string{"addr", "log-level"},
		"changed settings")
}
