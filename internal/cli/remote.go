package cli

import (
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"latchkey/internal/apiclient"
	"latchkey/internal/secret"
)

// remote is the flags by which a command works on a running server instead of
// the database.
type remote struct {
	*program

	server, tokenFile string
}

func (p *program) remote(c *cobra.Command) *remote {
	r := &remote{program: p}
	c.Flags().StringVar(&r.server, "server", "", "work over the API of the server at this URL, and not on the database")
	c.Flags().StringVar(&r.tokenFile, "token-file", "", "a file with the account-level access token for --server; - is standard input")
	return r
}

// given reports whether a server was named, and notes what does not go
// together.
func (r *remote) given(c *cobra.Command, in *inputs) bool {
	switch server, token := c.Flags().Changed("server"), c.Flags().Changed("token-file"); {
	case server && !token:
		in.wrong("--token-file", "must name a file with an access token, since --server is given.")
	case token && !server:
		in.wrong("--server", "must be given with --token-file.")
	case server && c.Flags().Changed("database"):
		in.wrong("--server", "give --server or --database, and not both.")
	}
	return r.server != "" || c.Flags().Changed("server")
}

// client makes the client of the account at the server.
func (r *remote) client(account uuid.UUID) (*apiclient.Client, error) {
	token, err := r.token()
	if err != nil {
		return nil, about("--token-file", err)
	}
	return apiclient.New(apiclient.Config{URL: r.server, Account: account, Token: token})
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
	return apiclient.ReadToken(from)
}

// adviseOn says that others can read a file with a token. It is no failure:
// where secrets are mounted, files often have the mode that the mount has.
func (r *remote) adviseOn(file *os.File) {
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		r.say("others than its owner can read %s: chmod 600 it", r.tokenFile)
	}
}
