package deploy_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"latchkey/internal/test/check"
)

const composeFile = "compose/compose.yaml"

type service struct {
	Image           string
	Command         []string
	Environment     map[string]string
	ReadOnly        bool   `json:"read_only"`
	StopGracePeriod string `json:"stop_grace_period"`
	Secrets         []struct{ Source string }
	Networks        map[string]any
	DependsOn       map[string]struct{ Condition string } `json:"depends_on"`
	HealthCheck     struct {
		Test    []string
		Timeout string
	}
	Ports []struct{ Target int }
}

// Docker Compose accepts the file. The servers have the settings of the product, stop in time and are healthy while
// they are ready. Only Caddy publishes ports.
func TestCompose(t *testing.T) {
	var projects []struct {
		Services map[string]service
		Secrets  map[string]any
		Networks map[string]struct {
			Internal bool
			IPAM     struct{ Config []struct{ Subnet string } }
		}
	}
	if err := deploycheck(t, &projects, "compose", composeFile); err != nil {
		t.Fatal(err)
	}
	p := projects[0]
	names := map[string]bool{}
	for _, name := range []string{"server1", "server2"} {
		s := p.Services[name]
		c := settings(t, s.Environment)
		grace, err := time.ParseDuration(s.StopGracePeriod)
		if err != nil {
			t.Error(err)
		}
		stopsWithin(t, c, grace)
		names[s.Environment["LATCHKEY_REPLICA_NAME"]] = true
		check.Equal(t, s.Environment["LATCHKEY_REPLICA_URL"], "http://"+name+":8080", "URL of %s for the other", name)
		check.Equal(t, s.HealthCheck.Test, []string{"CMD", "/latchkey", "health"}, "health check of %s", name)
		check.Equal(t, s.DependsOn["migrate"].Condition, "service_completed_successfully", "start of %s", name)
		check.Equal(t, s.ReadOnly, true, "whether the files of %s are read-only", name)
		check.Equal(t, len(c.TrustedProxies) == 1 && c.TrustedProxies[0].String() ==
			p.Networks["inside"].IPAM.Config[0].Subnet, true, "whether %s trusts Caddy's network", name)
	}
	check.Equal(t, len(names), 2, "names of servers")
	check.Equal(t, p.Services["migrate"].Command, []string{"migrate"}, "command of migrate")
	settings(t, p.Services["migrate"].Environment)
	for name, s := range p.Services {
		check.Equal(t, len(s.Ports) > 0, name == "caddy", "whether %s publishes ports", name)
		for variable, value := range s.Environment {
			if strings.Contains(value, "://") && strings.Contains(value, "@") {
				t.Errorf("%s: got a URL with a password in %s, want it in a file", name, variable)
			}
		}
		for _, used := range s.Secrets {
			check.Equal(t, p.Secrets[used.Source] != nil, true, "whether there is the secret %s", used.Source)
		}
	}
	check.Equal(t, p.Networks["inside"].Internal, true, "whether the database has no way to the internet")
}

func TestComposeCheckRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, with string }{
		{"an unknown key", "stop_grace_period: 35s", "stop_period: 35s"},
		{"an unknown service", "condition: service_completed_successfully", "condition: soon"},
		{"a secret that is missing", "secrets: [database_password]", "secrets: [password]"},
		{"a wrong duration", "interval: 5s", "interval: soon"},
	} {
		var nothing any
		if err := deploycheck(t, &nothing, "compose", changed(t, composeFile, tc.text, tc.with)); err == nil {
			t.Errorf("%s: got no error, want one", tc.name)
		}
	}
}

// Caddy accepts its file, which names the servers and the admin port that compose.yaml has.
func TestCaddyfile(t *testing.T) {
	validate := func(file string) ([]byte, error) {
		c := exec.CommandContext(t.Context(), "caddy", "validate", "--adapter", "caddyfile", "--config", file)
		c.Env = append(c.Environ(), "LATCHKEY_HOST=keys.example.com", "HOME="+t.TempDir())
		return c.CombinedOutput()
	}
	const file = "compose/Caddyfile"
	if out, err := validate(file); err != nil {
		t.Errorf("caddy: %v\n%s", err, out)
	}
	if _, err := validate(changed(t, file, "health_uri", "health_address")); err == nil {
		t.Error("caddy: got no error for an unknown word, want one")
	}
	for _, want := range []string{"server1:8080 server2:8080", "health_uri /readyz", "health_port 8081"} {
		check.Equal(t, strings.Contains(read(t, file), want), true, "whether %s has %q", file, want)
	}
}
