package scim

// simplified returns a condition with the same result, without parts that are always true or false, and without And in
// And, Or in Or and Not of Not.
func simplified(c Condition) Condition {
	switch c := c.(type) {
	case And:
		return simplifiedList[And, Or](c)
	case Or:
		return simplifiedList[Or, And](c)
	case Not:
		switch of := simplified(c.Condition).(type) {
		case And:
			if len(of) == 0 {
				return Or{}
			}
			return Not{of}
		case Or:
			if len(of) == 0 {
				return And{}
			}
			return Not{of}
		case Not:
			return of.Condition
		default:
			return Not{of}
		}
	case AnyMember:
		of := simplified(c.Condition)
		if or, is := of.(Or); is && len(or) == 0 {
			return Or{}
		}
		return AnyMember{of}
	}
	return c
}

// simplifiedList simplifies a list of conditions. Lists of the same kind are part of it, and an empty list of the other
// kind decides the result: it is always false in an And, and always true in an Or.
func simplifiedList[Same, Other interface {
	And | Or
	Condition
}](c Same) Condition {
	list := Same{}
	for _, each := range c {
		of := simplified(each)
		if same, is := of.(Same); is {
			list = append(list, same...)
			continue
		}
		if other, is := of.(Other); is && len(other) == 0 {
			return other
		}
		list = append(list, of)
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// Key returns a comparison of ID, UserName or ExternalID with Equal that the condition requires, if there is one. At
// most one resource meets it, so that a database can look it up by an index.
func Key(c Condition) (Comparison, bool) {
	switch c := c.(type) {
	case Comparison:
		return c, c.Op == Equal && (c.Field == ID || c.Field == UserName || c.Field == ExternalID)
	case And:
		for _, each := range c {
			if key, ok := Key(each); ok {
				return key, true
			}
		}
	}
	return Comparison{}, false
}
