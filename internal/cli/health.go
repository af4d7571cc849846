package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"latchkey/internal/config"
)

// healthTimeout limits the request to /readyz, whose checks take two seconds at
// most.
const healthTimeout = 4 * time.Second

// healthCommand reports whether the server on this machine is ready. Containers
// without curl use it for their health check.
func (p *program) healthCommand() *cobra.Command {
	c := &cobra.Command{Use: "health", Short: "Ask the server on this machine whether it is ready",
		Args: cobra.NoArgs}
	offer(c, config.Probing)
	c.RunE = p.runs(func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(p.source(c), config.Needs{})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), healthTimeout)
		defer cancel()
		address := reachable(cfg.AdminAddr)
		found, err := askReadiness(ctx, address)
		if err != nil {
			return fmt.Errorf("the server at %s: %w", address, err)
		}
		if !found.Ready {
			return found.failed()
		}
		return p.printed(found, "ready\n", func() {})
	})
	return c
}

// reachable returns the address at which this machine reaches a listener: a
// listener on all addresses also listens on loopback.
func reachable(listener string) string {
	host, port, err := net.SplitHostPort(listener)
	if err != nil {
		return listener // refused by the settings
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// readiness is an answer of /readyz.
type readiness struct {
	Ready  bool `json:"ready"`
	Checks []struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Reason string `json:"reason,omitempty"`
	} `json:"checks"`
}

// failed returns an error with the checks that failed and their reasons.
func (r readiness) failed() error {
	var parts []string
	for _, c := range r.Checks {
		if !c.OK {
			parts = append(parts, c.Name+": "+strings.TrimSuffix(c.Reason, "."))
		}
	}
	return errors.New("the server is not ready: " + strings.Join(parts, "; "))
}

// maxReadiness limits the size of an answer of /readyz.
const maxReadiness = 64 << 10

func askReadiness(ctx context.Context, address string) (readiness, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return readiness{}, err
	}
	// A proxy from the environment has no way to loopback addresses.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return readiness{}, err
	}
	defer res.Body.Close()
	var found readiness
	err = json.NewDecoder(io.LimitReader(res.Body, maxReadiness)).Decode(&found)
	if ready := res.StatusCode == http.StatusOK; err != nil || found.Checks == nil || found.Ready != ready {
		return readiness{}, fmt.Errorf("it answered %s, and not as the admin listener of Latchkey does", res.Status)
	}
	return found, nil
}
