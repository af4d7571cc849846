package dbtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// errNoPostgres says what to install, because a newcomer's first test run may end with it.
var errNoPostgres = errors.New("PostgreSQL's programs initdb and postgres are neither in PATH nor in " + debianBin +
	": install PostgreSQL (on Debian: apt-get install postgresql), or name a running server in " + EnvPostgres)

// debianBin matches the directories of Debian's PostgreSQL versions, which are not in PATH.
const debianBin = "/usr/lib/postgresql/*/bin"

// programs holds the directory of PostgreSQL's programs and the user they run as.
type programs struct {
	bin string
	as  *syscall.Credential // nil: the user who runs the tests
}

// PostgresProgram returns the path of one of PostgreSQL's programs, such as pg_dump or pgbench, of the version that
// clusters run.
func PostgresProgram(name string) (string, error) {
	p, err := findPrograms()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(p.bin, name))
}

// findPrograms prefers the version in PATH over the newest Debian version.
func findPrograms() (programs, error) {
	bin, err := binDir(debianBin)
	if err != nil {
		return programs{}, err
	}
	p := programs{bin: bin}
	// PostgreSQL refuses to run as root, and most containers run tests as root.
	if os.Geteuid() == 0 {
		p.as, err = unprivilegedUser()
	}
	return p, err
}

// binDir returns the directory of PostgreSQL's programs: in PATH, or the newest of those that match the pattern.
func binDir(pattern string) (string, error) {
	var candidates []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// PATH may hold only a link to initdb. The other programs are next to its target.
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			candidates = append(candidates, filepath.Dir(real))
		}
	}
	installed, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	slices.SortFunc(installed, func(a, b string) int { return cmp.Compare(majorVersion(b), majorVersion(a)) })
	for _, dir := range append(candidates, installed...) {
		if isProgram(dir, "initdb") && isProgram(dir, "postgres") {
			return dir, nil
		}
	}
	return "", errNoPostgres
}

// majorVersion returns 15 for /usr/lib/postgresql/15/bin.
func majorVersion(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return 0
	}
	return n
}

func isProgram(dir, name string) bool {
	_, err := exec.LookPath(filepath.Join(dir, name))
	return err == nil
}

// unprivilegedUser returns a user to run the server as when the tests run as root.
func unprivilegedUser() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil,
		errors.New(
			"PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as")
}

// makeDir makes a directory in parent that belongs to the server's user.
func (p programs) makeDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "latchkey-postgres-")
	if err != nil || p.as == nil {
		return dir, err
	}
	if err := os.Chown(dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// command returns a command that runs one of the programs in dir. It has none of the environment's PG… variables, which
// would change the program's behavior, and gets no interrupt from the terminal.
func (p programs) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.as}
	return cmd
}
