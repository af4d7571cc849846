// Command release builds the archives of a release from a clone of the
// repository's HEAD, with checksums and a bill of materials, or checks that an
// earlier run made the same bytes.
//
//	release -o dist
//	release -verify dist -fresh
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// platforms are those of a release.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	out := flags.String("o", "", "folder for the release; what is in it is deleted")
	verify := flags.String("verify", "", "folder of an earlier release to check, and to compare with a new build")
	names := flags.String("platforms", platforms, "platforms, separated by commas; or host")
	fresh := flags.Bool("fresh", false, "compile everything again, in an empty build cache")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if (*out == "") == (*verify == "") || flags.NArg() > 0 {
		return errors.New("give one of -o and -verify")
	}
	targets, err := parsePlatforms(*names)
	if err != nil {
		return err
	}
	source, err := head()
	if err != nil {
		return err
	}
	build := builder{source: source, platforms: targets, fresh: *fresh}
	if *out != "" {
		if err := build.into(*out); err != nil {
			return err
		}
		return report(*out)
	}
	return build.repeat(*verify)
}

// platform is an operating system and an architecture, by the names of Go.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

func parsePlatforms(names string) ([]platform, error) {
	if names == "host" {
		names = host().String()
	}
	var all []platform
	for name := range strings.SplitSeq(names, ",") {
		system, arch, ok := strings.Cut(name, "/")
		if !ok || system == "" || arch == "" {
			return nil, fmt.Errorf("platform %q: want one such as linux/amd64", name)
		}
		all = append(all, platform{system, arch})
	}
	return all, nil
}

func host() platform { return platform{runtime.GOOS, runtime.GOARCH} }

// report prints the files of a release and their sizes.
func report(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Printf("%10d  %s\n", info.Size(), e.Name())
	}
	return nil
}
