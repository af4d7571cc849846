// Command latchkey serves and administers Latchkey. See docs/commands.md.
package main

import (
	"context"
	"os"

	"latchkey/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}
