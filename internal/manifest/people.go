package manifest

import (
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/strictyaml"
	"latchkey/internal/user"
)

// personKeys are the keys of every mention of a person.
var personKeys = []string{"email", "first_name", "last_name", "locale"}

// people gathers who is mentioned, by folded e-mail address.
type people struct {
	order []string
	at    map[string]*mention
}

// mention is a person, and on which line each part was said.
type mention struct {
	Person
	firstName, lastName, locale int
}

// person reads a mention and returns the folded address, or nothing when
// there is no good one.
func (p *parser) person(m strictyaml.Mapping, accountID uuid.UUID) string {
	email := m.Text("email", user.ValidEmail, "is no e-mail address")
	nameRule := fmt.Sprintf("is not one line of 1 to %d characters without space around it", user.MaxName)
	first := m.OptionalText("first_name", user.ValidName, nameRule)
	last := m.OptionalText("last_name", user.ValidName, nameRule)
	locale := m.OptionalText("locale", user.ValidLocale, "is no language tag such as en or pt-BR")
	if email == "" {
		return ""
	}
	folded := user.Fold(email)
	known := p.people.at[folded]
	if known == nil {
		known = &mention{Person: Person{Line: m.Line, AccountID: accountID, Email: email}}
		p.people.at[folded] = known
		p.people.order = append(p.people.order, folded)
	}
	p.agree(m, "first_name", first, &known.FirstName, &known.firstName, email)
	p.agree(m, "last_name", last, &known.LastName, &known.lastName, email)
	p.agree(m, "locale", locale, &known.Locale, &known.locale, email)
	return folded
}

// agree adds what a mention says to what is known, which must not differ.
func (p *parser) agree(m strictyaml.Mapping, key, said string, known *string, line *int, email string) {
	switch {
	case said == "":
	case *known == "":
		*known, *line = said, m.LineOf(key)
	case *known != said:
		p.Add(m.LineOf(key), "%s of %s is %q here and %q on line %d", key, email, said, *known, *line)
	}
}

// all returns everybody in the order of first mention.
func (p *people) all() []Person {
	var all []Person
	for _, folded := range p.order {
		all = append(all, p.at[folded].Person)
	}
	return all
}
