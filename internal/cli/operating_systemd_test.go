package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

// serviceLimit is how long a service has to stop, and a backup to finish.
const serviceLimit = time.Minute

// unit is the directives of a unit of systemd, of all its sections.
type unit map[string][]string

// service is a running service. ended is closed after process.Wait.
type service struct {
	process *exec.Cmd
	ended   chan struct{}
}

// systemctl does what systemd would do with the units that the page or Debian's packages installed: it starts and stops
// their programs, with the variables of their EnvironmentFiles and no others. It does not restrict what they can do,
// which deploy's tests check, and runs all as the user of the test.
func (m *machine) systemctl(args []string) (string, error) {
	now := false
	var names []string
	for _, a := range args[1:] {
		switch {
		case a == "--now":
			now = true
		case strings.Contains(a, "."):
			names = append(names, a)
		default:
			names = append(names, a+".service")
		}
	}
	if args[0] == "stop" || args[0] == "disable" && now {
		if err := m.stop(names...); err != nil {
			return "", fmt.Errorf("systemctl: %w", err)
		}
	}
	var out string
	for _, name := range names {
		u, err := m.load(name)
		switch {
		case err != nil:
		case args[0] == "enable" && u["WantedBy"] == nil:
			err = errors.New("it has no WantedBy")
		case args[0] == "enable":
			m.enabled[name] = true
			if now {
				out, err = m.start(name, u)
			}
		case args[0] == "disable":
			delete(m.enabled, name)
		case args[0] == "start":
			out, err = m.start(name, u)
		case args[0] == "restart":
			if err = m.stop(name); err == nil {
				out, err = m.start(name, u)
			}
		case args[0] != "stop":
			err = fmt.Errorf("unexpected %q", args)
		}
		if err != nil {
			return out, fmt.Errorf("systemctl %s %s: %w", args[0], name, err)
		}
	}
	return out, nil
}

// load reads a unit: the one that the page installed, or that of a package.
func (m *machine) load(name string) (unit, error) {
	suffix := filepath.Ext(name)
	whole := strings.TrimSuffix(name, suffix)
	prefix, instance, isInstance := strings.Cut(whole, "@")
	file := name
	if isInstance {
		file = prefix + "@" + suffix
	}
	text, err := os.ReadFile(m.root + "/etc/systemd/system/" + file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile("/lib/systemd/system/" + file)
		text = []byte(m.packaged.Replace(string(text)))
	}
	if err != nil {
		return nil, err
	}
	specifiers := strings.NewReplacer("%%", "%", "%i", instance, "%N", whole, "%S", m.root+"/var/lib")
	u := unit{}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], specifiers.Replace(value))
		}
	}
	return u, nil
}

func (u unit) first(key string) string {
	if len(u[key]) == 0 {
		return ""
	}
	return u[key][0]
}

// start starts a service, or what a timer needs.
func (m *machine) start(name string, u unit) (string, error) {
	if filepath.Ext(name) == ".timer" {
		if _, err := m.load(strings.TrimSuffix(name, ".timer") + ".service"); err != nil {
			return "", err
		}
		out, err := exec.Command("systemd-analyze", "calendar", u.first("OnCalendar")).CombinedOutput()
		return string(out), err
	}
	if s := m.running[name]; s != nil {
		return "", fmt.Errorf("it runs already, as process %d", s.process.Process.Pid)
	}
	if owner := u.first("User"); !m.users[owner] && owner != "caddy" && owner != "prometheus" {
		return "", fmt.Errorf("there is no user %q", owner)
	}
	for _, state := range u["StateDirectory"] {
		if err := os.MkdirAll(m.root+"/var/lib/"+state, 0o700); err != nil {
			return "", err
		}
	}
	if u.first("Type") == "oneshot" {
		for _, command := range append(u["ExecStart"], u["ExecStartPost"]...) {
			if err := m.finish(name, u, command); err != nil {
				return "", err
			}
		}
		return "", nil
	}
	c, err := m.command(context.Background(), name, u, u.first("ExecStart"))
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	s := &service{c, make(chan struct{})}
	m.running[name] = s
	go func() {
		_ = c.Wait()
		close(s.ended)
	}()
	return "", nil
}

// finish runs a command that ends by itself.
func (m *machine) finish(name string, u unit, command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), serviceLimit)
	defer cancel()
	c, err := m.command(ctx, name, u, command)
	if err != nil {
		return err
	}
	return c.Run()
}

// command returns the command of a unit. Its output is appended to a log.
func (m *machine) command(ctx context.Context, name string, u unit, line string) (*exec.Cmd, error) {
	env := map[string]string{"PATH": os.Getenv("PATH"), "HOME": m.root + "/var/lib/" + u.first("User")}
	for _, file := range u["EnvironmentFile"] {
		optional := strings.HasPrefix(file, "-")
		text, err := os.ReadFile(strings.TrimPrefix(file, "-"))
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			variable, value, found := strings.Cut(strings.TrimSpace(line), "=")
			if found && !strings.HasPrefix(variable, "#") {
				env[variable] = strings.Trim(value, `"`)
			}
		}
	}
	words := commandWords(line, env)
	if filepath.Base(words[0]) == "prometheus" { // the paths are in the program
		words = append(words, "--config.file="+m.root+"/etc/prometheus/prometheus.yml",
			"--storage.tsdb.path="+m.root+"/var/lib/prometheus")
	}
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir = m.root
	if dir := u.first("WorkingDirectory"); dir != "" {
		c.Dir = dir
	}
	c.Env = []string{}
	for variable, value := range env {
		c.Env = append(c.Env, variable+"="+value)
	}
	log, err := os.OpenFile(m.root+"/log/"+name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = log, log // closed with the test's process
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, nil
}

var commandWord = regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`)

// commandWords splits a command of a unit as systemd does: a variable that is a whole word becomes the words in it, and
// $$ a dollar.
func commandWords(line string, env map[string]string) []string {
	var words []string
	for _, found := range commandWord.FindAllStringSubmatch(line, -1) {
		name, isVariable := strings.CutPrefix(found[3], "$")
		if isVariable && !strings.HasPrefix(name, "$") {
			words = append(words, strings.Fields(env[name])...)
			continue
		}
		words = append(words, strings.ReplaceAll(found[1]+found[2]+found[3], "$$", "$"))
	}
	return words
}

// stop stops services at the same time. One that does not run is ignored.
func (m *machine) stop(names ...string) error {
	results := make(chan error, len(names))
	for _, name := range names {
		s := m.running[name]
		delete(m.running, name)
		go func() {
			var err error
			if s != nil {
				if err = s.stop(); err != nil {
					err = fmt.Errorf("stop %s: %w", name, err)
				}
			}
			results <- err
		}()
	}
	var err error
	for range names {
		err = errors.Join(err, <-results)
	}
	return err
}

// stop stops the service. It fails if the service had ended already, does not end in time, or reports a failure.
func (s *service) stop() error {
	select {
	case <-s.ended:
		return fmt.Errorf("it ended before: %s", s.process.ProcessState)
	default:
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
	case <-time.After(serviceLimit):
		return errors.Join(fmt.Errorf("it did not end within %s", serviceLimit), s.process.Process.Kill())
	}
	if !s.process.ProcessState.Success() {
		return fmt.Errorf("it ended with %s", s.process.ProcessState)
	}
	return nil
}

// end kills what still runs.
func (m *machine) end(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, s := range m.running {
		_ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
		<-s.ended
		t.Logf("%s was killed at the end of the test", name)
	}
}

// The stand-in of systemd splits commands as it does.
func TestCommandWords(t *testing.T) {
	got := commandWords(`/bin/sh -c 'echo $$(date) "a b"' $ARGS end`, map[string]string{"ARGS": "--one  --two"})
	want := []string{"/bin/sh", "-c", `echo $(date) "a b"`, "--one", "--two", "end"}
	check.Equal(t, got, want, "words")
}
