// Command prose counts the constructions of words.txt in the comments, messages, descriptions and documents of the
// files that it is given, and fails if there are too many.
//
//	git ls-files | prose -words tools/prose/words.txt
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

// most is the largest number of constructions in 1,000 lines of prose.
const most = 5.0

func main() {
	words := flag.String("words", "tools/prose/words.txt", "the list of constructions, and what to write instead")
	list := flag.Bool("list", false, "print each place, also when there are few enough")
	flag.Parse()
	if err := run(*words, *list, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(1)
	}
}

// run reads names of files, one a line, and writes the places that it finds. It returns an error if there are too many.
func run(words string, list bool, names io.Reader, out io.Writer) error {
	text, err := os.ReadFile(words)
	if err != nil {
		return err
	}
	constructions, err := parseList(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", words, err)
	}
	var lines int
	var found []place
	for scan := bufio.NewScanner(names); scan.Scan(); {
		if scan.Text() == words {
			continue
		}
		prose, err := readProse(scan.Text())
		if err != nil {
			return err
		}
		lines += len(prose)
		found = append(found, constructions.find(scan.Text(), prose)...)
	}
	rate := 1000 * float64(len(found)) / float64(max(lines, 1))
	if list || rate > most {
		for _, p := range found {
			fmt.Fprintln(out, p)
		}
	}
	fmt.Fprintf(out, "%d constructions of %s in %d lines of prose: %.1f in 1,000, at most %v\n", len(found), words,
		lines, rate, most)
	if rate > most {
		return fmt.Errorf("too many constructions that are not plain English: write the places above as %s says", words)
	}
	return nil
}
