package panel

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

const (
	// keptID is the ID of the element that says that a form was filled in again, and keptLinkID that of its link.
	keptID     = "kept"
	keptLinkID = "kept-link"
)

// refill fills the values of a form that was kept into the page that shows the form. It works on the finished page, so
// that every form of the panel can be kept without code of its own. If the page does not have the form any more, it
// removes the message that says so.
func refill(page []byte, kept *keptForm) ([]byte, error) {
	values, err := kept.values()
	if err != nil {
		return nil, err
	}
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, err
	}
	var first *html.Node
	if form := formFor(doc, kept, values); form != nil {
		first = fill(controlsOf(doc, form), values)
	}
	message := byID(doc, keptID)
	switch {
	case first == nil && message != nil:
		message.Parent.RemoveChild(message)
	case first != nil:
		open(first)
		if link := byID(doc, keptLinkID); link != nil && valueOf(first, "id") != "" {
			set(link, "href", "#"+valueOf(first, "id"))
		}
	}
	var out bytes.Buffer
	err = html.Render(&out, doc)
	return out.Bytes(), err
}

// formFor returns the form of the page that was kept, or nil. Of several forms with one address, it is the one with the
// same hidden fields, except for its form token.
func formFor(doc *html.Node, kept *keptForm, values url.Values) *html.Node {
	var found []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" && strings.EqualFold(valueOf(n, "method"), "post") &&
			kept.isFor(valueOf(n, "action")) {
			found = append(found, n)
		}
	}
	if len(found) < 2 {
		return append(found, nil)[0]
	}
	i := slices.IndexFunc(found, func(form *html.Node) bool {
		return !slices.ContainsFunc(controlsOf(doc, form), func(c *html.Node) bool {
			name, hidden := valueOf(c, "name"), valueOf(c, "type") == "hidden"
			return hidden && name != "form" && !slices.Contains(values[name], valueOf(c, "value"))
		})
	})
	return append(found[max(i, 0):], nil)[0]
}

// controlsOf returns the fields of a form with names, in it or referring to it.
func controlsOf(doc, form *html.Node) []*html.Node {
	var found []*html.Node
	id := valueOf(form, "id")
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || !slices.Contains([]string{"input", "select", "textarea"}, n.Data) ||
			valueOf(n, "name") == "" {
			continue
		}
		owner, has := attributeOf(n, "form")
		if has && owner == id && id != "" || !has && isBelow(n, form) {
			found = append(found, n)
		}
	}
	return found
}

// isBelow reports whether a node is below another one.
func isBelow(n, above *html.Node) bool {
	for n = n.Parent; n != nil; n = n.Parent {
		if n == above {
			return true
		}
	}
	return false
}

// fill sets the values of fields that the visitor can change, and returns the first of them. Hidden fields keep the
// page's values, such as its form token. Secrets were not kept, so their fields stay empty.
func fill(controls []*html.Node, values url.Values) (first *html.Node) {
	next := map[string]int{} // the position among the values of fields with the same name
	for _, n := range controls {
		name, kind := valueOf(n, "name"), strings.ToLower(valueOf(n, "type"))
		if slices.Contains(secretFields, name) || n.Data == "input" &&
			slices.Contains([]string{"hidden", "password", "file", "submit", "image", "reset", "button"}, kind) {
			continue
		}
		if first == nil {
			first = n
		}
		switch {
		case kind == "checkbox" || kind == "radio":
			value, has := attributeOf(n, "value")
			if !has {
				value = "on"
			}
			mark(n, "checked", slices.Contains(values[name], value))
		case n.Data == "select":
			choose(n, values[name])
		case next[name] >= len(values[name]):
		case n.Data == "textarea":
			for n.FirstChild != nil {
				n.RemoveChild(n.FirstChild)
			}
			n.AppendChild(&html.Node{Type: html.TextNode, Data: values[name][next[name]]})
		default:
			set(n, "value", values[name][next[name]])
		}
		next[name]++
	}
	return first
}

// choose selects the options of a select that have one of the values. It changes nothing if there are none.
func choose(n *html.Node, chosen []string) {
	if len(chosen) == 0 {
		return
	}
	for option := range n.Descendants() {
		if option.Type != html.ElementNode || option.Data != "option" {
			continue
		}
		value, has := attributeOf(option, "value")
		if !has && option.FirstChild != nil {
			value = strings.TrimSpace(option.FirstChild.Data)
		}
		mark(option, "selected", slices.Contains(chosen, value))
	}
}

// open opens the parts of the page that a node is in.
func open(n *html.Node) {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "details" {
			mark(n, "open", true)
		}
	}
}

// byID returns the element with an ID, or nil.
func byID(doc *html.Node, id string) *html.Node {
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && valueOf(n, "id") == id {
			return n
		}
	}
	return nil
}

// attributeOf returns an attribute of an element.
func attributeOf(n *html.Node, name string) (value string, has bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// valueOf returns the value of an attribute, or "".
func valueOf(n *html.Node, name string) string {
	value, _ := attributeOf(n, name)
	return value
}

// set sets an attribute of an element.
func set(n *html.Node, name, value string) {
	mark(n, name, false)
	n.Attr = append(n.Attr, html.Attribute{Key: name, Val: value})
}

// mark adds or removes an attribute without a value.
func mark(n *html.Node, name string, on bool) {
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if on {
		n.Attr = append(n.Attr, html.Attribute{Key: name})
	}
}
