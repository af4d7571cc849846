package arch

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	// link matches a link of Markdown to a file of the repository, or to a heading of the same page.
	link = regexp.MustCompile(`\]\(([^)\s:]*?)(?:#([^)\s]*))?\)`)
	// codePath matches a path in backquotes, except patterns.
	codePath = regexp.MustCompile("`((?:internal|graph|cmd|tools|docs|examples)/[\\w./-]+)`")
	// goFile matches a file of Go code by its name or the end of its path.
	goFile = regexp.MustCompile(`[\w/.*-]*\w\.go\b`)
	// pageCited matches a page with a heading, such as docs/users.md: "Passwords", or with the number of a promise.
	pageCited = regexp.MustCompile(`\b((?:docs/)?[A-Za-z][A-Za-z-]*\.md)\b(?:: (?:"([^"]+)"|(\d+)\b))?`)
	// unnamedPage matches a heading that is cited without a file.
	unnamedPage = regexp.MustCompile(`\(([a-z][a-z-]*): (?:"[A-Z]|promise \d)`)
	docsPage    = regexp.MustCompile(`\bdocs/[A-Za-z][A-Za-z-]*\.md\b`)
	heading     = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// pages are the files that can be cited, with the content of Markdown files.
type pages struct {
	content map[string]string
	paths   map[string]bool
	// goFiles are the files of Go code, each by every end of its path.
	goFiles map[string]bool
}

// checkCitations finds links, paths and headings that are cited and do not exist: in Markdown, in comments of Go code,
// and the pages of docs in any other file.
func checkCitations(m Module) []Finding {
	p := pages{map[string]string{}, map[string]bool{}, map[string]bool{}}
	for _, text := range m.Texts {
		p.add(text.Path)
		if path.Ext(text.Path) == ".md" {
			p.content[text.Path] = text.Content
		}
	}
	for _, file := range m.Heavy {
		p.add(file)
	}
	var findings []Finding
	for _, text := range m.Texts {
		switch {
		case path.Ext(text.Path) == ".md":
			findings = append(findings, p.checkMarkdown(text)...)
		case !strings.HasSuffix(text.Path, "_test.go"):
			for _, at := range docsPage.FindAllStringIndex(text.Content, -1) {
				if page := text.Content[at[0]:at[1]]; !p.paths[page] {
					findings = append(findings, Finding{text.Path, lineAt(text.Content, at[0]), "there is no " + page})
				}
			}
		}
	}
	for _, f := range m.GoFiles {
		for _, group := range f.Syntax.Comments {
			for _, why := range p.checkComment(strings.Join(strings.Fields(group.Text()), " ")) {
				findings = append(findings, Finding{f.Path, m.line(group.Pos()), why})
			}
		}
	}
	return findings
}

// add records a file and its directories.
func (p pages) add(file string) {
	for end, found := file, path.Ext(file) == ".go"; found; _, end, found = strings.Cut(end, "/") {
		p.goFiles[end] = true
	}
	for ; file != "." && file != "/"; file = path.Dir(file) {
		p.paths[file] = true
	}
}

func (p pages) checkMarkdown(text Text) []Finding {
	var findings []Finding
	number := 0
	for line := range strings.Lines(text.Content) {
		number++
		for _, match := range link.FindAllStringSubmatch(line, -1) {
			target := text.Path
			if match[1] != "" {
				target = path.Join(path.Dir(text.Path), match[1])
			}
			if !p.paths[target] {
				findings = append(findings, Finding{text.Path, number, "there is no " + target})
			} else if match[2] != "" && !slices.Contains(anchors(p.content[target]), match[2]) {
				findings = append(findings, Finding{text.Path, number,
					fmt.Sprintf("%s has no heading for #%s", target, match[2])})
			}
		}
		for _, match := range codePath.FindAllStringSubmatch(line, -1) {
			if !p.paths[path.Clean(match[1])] {
				findings = append(findings, Finding{text.Path, number, "there is no " + match[1]})
			}
		}
		for _, file := range goFile.FindAllString(line, -1) {
			if !p.goFiles[strings.TrimLeft(file, "./")] && !strings.Contains(file, "*") && !p.paths[path.Clean(file)] {
				findings = append(findings, Finding{text.Path, number, "there is no " + file})
			}
		}
	}
	return findings
}

// checkComment returns what is wrong with the citations of a comment, whose lines have been joined.
func (p pages) checkComment(comment string) []string {
	var wrong []string
	for _, match := range unnamedPage.FindAllStringSubmatch(comment, -1) {
		wrong = append(wrong, "cites "+match[1]+", which is not a file")
	}
	for _, match := range pageCited.FindAllStringSubmatch(comment, -1) {
		page, title, promise := match[1], match[2], match[3]
		content, ok := p.content[page]
		switch {
		case !ok:
			wrong = append(wrong, "there is no "+page)
		case title != "" && !slices.Contains(titles(content), title):
			wrong = append(wrong, fmt.Sprintf("%s has no heading %q", page, title))
		case promise != "" && !strings.Contains(content, "| "+promise+". "):
			wrong = append(wrong, fmt.Sprintf("%s has no promise %s", page, promise))
		}
	}
	return wrong
}

// titles returns the headings of a page.
func titles(content string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(content, -1) {
		all = append(all, match[1])
	}
	return all
}

// anchors returns the fragments under which GitHub shows the headings of a page.
func anchors(content string) []string {
	all := titles(content)
	for i, title := range all {
		all[i] = strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)
	}
	return all
}
