package cli

import (
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/bulk/client"
	"latchkey/internal/secret"
)

// remote has the flags of a command that can use a running server instead of
// the database.
type remote struct {
	*program

	server, tokenFile string
}

func newRemote(p *program, c *cobra.Command) *remote {
	r := &remote{program: p}
	c.Flags().StringVar(&r.server, "server", "", "use the API of the server at this URL instead of the database")
	c.Flags().StringVar(&r.tokenFile, "token-file", "",
		"a file with the account-level access token for --server; - is standard input")
	return r
}

// used reports whether --server was set. It adds errors for flags that exclude
// each other.
func (r *remote) used(c *cobra.Command, in *inputs) bool {
	switch server, token := c.Flags().Changed("server"), c.Flags().Changed("token-file"); {
	case server && !token:
		in.wrong("--token-file", "must name a file with an access token, since --server is given.")
	case token && !server:
		in.wrong("--server", "must be given with --token-file.")
	case server && c.Flags().Changed("database"):
		in.wrong("--server", "must not be used with --database.")
	}
	return r.server != "" || c.Flags().Changed("server")
}

// client returns a client for the account at the server.
func (r *remote) client(account uuid.UUID) (*client.Client, error) {
	token, err := r.token()
	if err != nil {
		return nil, about("--token-file", err)
	}
	return client.New(client.Config{URL: r.server, Account: account, Token: token})
}

func (r *remote) token() (secret.Secret, error) {
	from := r.stdin
	if r.tokenFile != "-" {
		file, err := os.Open(r.tokenFile)
		if err != nil {
			return secret.Secret{}, cannotRead("--token-file", r.tokenFile, err)
		}
		defer file.Close()
		r.adviseOn(file)
		from = file
	}
	return client.ReadToken(from)
}

// adviseOn warns if other users can read the token file. It returns no error,
// because mounted secrets often have the mode of the mount.
func (r *remote) adviseOn(file *os.File) {
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		r.say("other users can read %s; run chmod 600 on it", r.tokenFile)
	}
}
