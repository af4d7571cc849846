// Command commits checks the subjects of commits: "package: what the commit does" (CONTRIBUTING.md: "Commits").
//
//	git log --format='%h %s' main.. | commits
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxLength is the maximum length of a subject in characters.
const maxLength = 72

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "commits:", err)
		os.Exit(1)
	}
}

// run reads lines of an abbreviated hash and a subject, and writes what is wrong with each. It returns an error if
// something is wrong.
func run(in io.Reader, out io.Writer) error {
	wrong := 0
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		hash, subject, _ := strings.Cut(scan.Text(), " ")
		for _, problem := range problems(subject) {
			wrong++
			fmt.Fprintf(out, "%s %q: %s\n", hash, subject, problem)
		}
	}
	if err := scan.Err(); err != nil {
		return err
	}
	if wrong > 0 {
		return errors.New(`write subjects as "package: imperative, lower case", at most 72 characters`)
	}
	return nil
}

// parts matches a subject: one or more packages, as "gormdb" or "token, panel", a colon, and what the commit does.
var parts = regexp.MustCompile(`^[a-z.][\w./-]*(?:, [a-z.][\w./-]*)*: (\S.*)$`)

// notImperative matches a verb in another form than the imperative, such as "adds", "added" or "adding".
var notImperative = regexp.MustCompile(`^(?:\w+[^s\W]s|\w+ed|\w+ing)$`)

// imperative has the verbs that only look like another form.
var imperative = map[string]bool{
	"bring": true, "embed": true, "exceed": true, "feed": true, "need": true, "proceed": true, "seed": true,
	"shed": true, "speed": true,
	"bias": true, "alias": true, "canvas": true, "focus": true,
}

// problems returns what is wrong with a subject.
func problems(subject string) []string {
	var found []string
	if n := utf8.RuneCountInString(subject); n > maxLength {
		found = append(found, fmt.Sprintf("has %d characters, at most %d", n, maxLength))
	}
	match := parts.FindStringSubmatch(subject)
	if match == nil {
		return append(found, "must begin with a package and a colon")
	}
	what := match[1]
	verb, _, _ := strings.Cut(what, " ")
	if verb != strings.ToLower(verb) {
		found = append(found, "must go on in lower case after the colon")
	}
	if notImperative.MatchString(verb) && !imperative[verb] {
		found = append(found, fmt.Sprintf("must go on with an imperative, not %q", verb))
	}
	if strings.HasSuffix(what, ".") {
		found = append(found, "must not end with a period")
	}
	return found
}
