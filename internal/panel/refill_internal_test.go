package panel

import (
	"net/url"
	"strings"
	"testing"

	"latchkey/internal/test/check"
)

const refillPage = `<!DOCTYPE html><html><head></head><body><p id="kept">Kept. <a id="kept-link" href="#content">Go</a></p>
<form method="post" action="/other"><input id="o" name="name" value="old"></form>
<form method="post" action="/a"><input type="hidden" name="id" value="1"><input id="one" name="name" value="old"></form>
<details><summary>More</summary><form id="f" method="post" action="/a#part"><input type="hidden" name="id" value="2">
<input type="hidden" name="form" value="fresh"><input id="two" name="name" value="old"><input name="name" value="old">
<input type="checkbox" name="box" value="a" checked=""><input type="checkbox" name="box" value="b"><input type="checkbox" name="lone">
<input type="radio" name="r" value="x" checked=""><input type="radio" name="r" value="y">
<select name="s"><option value="">None</option><option selected="">Two</option></select>
<textarea name="t">old</textarea><input type="password" name="password"><input name="code"></form></details>
<input form="f" name="outside" value="old"></body></html>`

// refill sets what the visitor can change in the form that was sent, and does not change the rest of the page.
func TestRefill(t *testing.T) {
	fill := func(action string, values url.Values) string {
		t.Helper()
		packed, err := pack(values)
		if err != nil {
			t.Fatal(err)
		}
		got, err := refill([]byte(refillPage), &keptForm{Action: action, Packed: packed})
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	got := fill("/a", url.Values{"id": {"2"}, "form": {"stale"}, "name": {"</a>", "new"}, "box": {"b"}, "lone": {"on"},
		"r": {"y"}, "s": {""}, "t": {"<b>"}, "password": {"p"}, "code": {"c"}, "outside": {"far"}})
	want := strings.NewReplacer(
		`<input id="two" name="name" value="old"><input name="name" value="old">`,
		`<input id="two" name="name" value="&lt;/a&gt;"><input name="name" value="new">`,
		`value="a" checked=""`, `value="a"`, `name="box" value="b"`, `name="box" value="b" checked=""`,
		`name="lone"`, `name="lone" checked=""`, `value="x" checked=""`, `value="x"`, `value="y"`,
		`value="y" checked=""`,
		`<option value="">`, `<option value="" selected="">`, `<option selected="">`, `<option>`, `>old<`,
		`>&lt;b&gt;<`,
		`<details>`, `<details open="">`, `href="#content"`, `href="#two"`, `name="outside" value="old"`,
		`name="outside" value="far"`,
	).Replace(refillPage)
	plain := func(text string) string { return strings.NewReplacer("/>", ">", "\n", "").Replace(text) }
	check.Equal(t, plain(got), plain(want), "the page with the values")
	if got := fill("/gone", url.Values{"name": {"new"}}); strings.Contains(got, "Kept") ||
		strings.Contains(got, "new") {
		t.Errorf("a page without the form: got %s, want it without the message and the values", got)
	}
	if got := fill("/a", url.Values{"name": {"new"}}); strings.Count(got, `value="new"`) != 1 {
		t.Errorf("forms with other hidden fields: got %s, want one filled in", got)
	}
}
