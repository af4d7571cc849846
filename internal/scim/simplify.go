package scim

// simplified returns a condition with the same result, without parts that are always true or false, and without And in
// And, Or in Or and Not of Not.
func simplified(c Condition) Condition {
	switch c := c.(type) {
	case And:
		return simplifiedAnd(c)
	case Or:
		return simplifiedOr(c)
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

func simplifiedAnd(c And) Condition {
	list := And{}
	for _, each := range c {
		switch of := simplified(each).(type) {
		case And:
			list = append(list, of...)
		case Or:
			if len(of) == 0 {
				return Or{}
			}
			list = append(list, of)
		default:
			list = append(list, of)
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func simplifiedOr(c Or) Condition {
	list := Or{}
	for _, each := range c {
		switch of := simplified(each).(type) {
		case Or:
			list = append(list, of...)
		case And:
			if len(of) == 0 {
				return And{}
			}
			list = append(list, of)
		default:
			list = append(list, of)
		}
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
