package manifest

import (
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/strictyaml"
	"latchkey/internal/user"
)

// personKeys are the keys of every mention of a user.
var personKeys = []string{"email", "first_name", "last_name", "locale"}

// personList is the list of mentioned users, by folded email address.
type personList struct {
	order []string
	at    map[string]*mention
}

// mention is a user, with the line on which each field was first set.
type mention struct {
	Person
	firstName, lastName, locale int
}

// person parses a mention and returns the folded address, or "" if the address is not valid.
func (p *parser) person(m strictyaml.Mapping, accountID uuid.UUID) string {
	email := m.Text("email", user.ValidEmail, "is not an email address")
	nameRule := fmt.Sprintf("is not a single line of 1 to %d characters without leading or trailing space",
		user.MaxName)
	first := m.OptionalText("first_name", user.ValidName, nameRule)
	last := m.OptionalText("last_name", user.ValidName, nameRule)
	locale := m.OptionalText("locale", user.ValidLocale, "is not a language tag such as en or pt-BR")
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
	p.merge(m, "first_name", first, &known.FirstName, &known.firstName, email)
	p.merge(m, "last_name", last, &known.LastName, &known.lastName, email)
	p.merge(m, "locale", locale, &known.Locale, &known.locale, email)
	return folded
}

// merge adds a mention's value to the known one. The two must be equal if both are set.
func (p *parser) merge(m strictyaml.Mapping, key, said string, known *string, line *int, email string) {
	switch {
	case said == "":
	case *known == "":
		*known, *line = said, m.LineOf(key)
	case *known != said:
		p.Add(m.LineOf(key), "%s of %s is %q here and %q on line %d", key, email, said, *known, *line)
	}
}

// all returns all users in the order of first mention.
func (p *personList) all() []Person {
	var all []Person
	for _, folded := range p.order {
		all = append(all, p.at[folded].Person)
	}
	return all
}
