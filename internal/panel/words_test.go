package panel

import (
	"slices"
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// Every action of the audit log has a sentence, a name for lists and a kind of thing, which is in one topic with an
// icon. A sentence that depends on whether the actor is the target has both forms.
func TestActionsHaveWords(t *testing.T) {
	l := loadViews()
	has := func(key string) bool {
		_, err := l.messages.text(key)
		return err == nil
	}
	for _, a := range audit.Actions() {
		says := "audit.says." + string(a)
		if self, other := has(says+".self"), has(says+".other"); has(says) == self || self != other {
			t.Errorf("%s: got no sentence, want %s, or both of self and other below it", a, says)
		}
		for _, key := range []string{"audit.names." + string(a), "audit.things." + a.Thing(),
			"audit.topics." + topicOf(a).Key} {
			if !has(key) {
				t.Errorf("%s: got no message %s, want one", a, key)
			}
		}
		if a.Thing() == "api_token" || a.Thing() == "access_token" {
			check.Equal(t, has("tokens.history."+string(a)), true, "%s: words for the history of a token", a)
		}
	}
	seen := map[string]bool{}
	for _, each := range topics {
		if _, err := l.icon(each.Icon); err != nil {
			t.Error(err)
		}
		for _, thing := range append([]string{each.Key}, each.things...) {
			if seen[thing] && thing != each.Key {
				t.Errorf("%s: got it in two topics, want it in one", thing)
			}
			seen[thing] = true
		}
	}
}

// A sentence leaves out what is unknown, keeps quotation marks with the name between them, and takes names as text.
func TestSentences(t *testing.T) {
	names := map[string]string{"actor": "Ann", "target": "[{store}] for {actor}", "store": "EU"}
	for _, tc := range []struct {
		message string
		want    []piece
	}{
		{"{actor} created “{target}”[ for {store}]",
			[]piece{{"Ann", true}, {" created ", false}, {"“[{store}] for {actor}”", true}, {" for ", false},
				{"EU", true}}},
		{"{actor} left[ {shop}]", []piece{{"Ann", true}, {" left", false}}},
		{"{actor} left {shop} today", []piece{{"Ann", true}, {" left ", false}, {"none", false}, {" today", false}}},
	} {
		if got := compose(tc.message, names, "none"); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.message, got, tc.want)
		}
	}
}

// Every permission is in one group, and permissions and groups have messages.
func TestPermissionsHaveWords(t *testing.T) {
	l := loadViews()
	grouped := map[string]int{}
	for _, g := range permissionGroups() {
		if _, err := l.messages.text("permissions.groups." + g.key); err != nil {
			t.Error(err)
		}
		for _, name := range g.names {
			grouped[name]++
			if _, err := l.messages.text("permissions.names." + name); err != nil || !user.IsPermission(name) {
				t.Errorf("permission %s: got %v, want a name in the messages, and that it exists", name, err)
			}
		}
	}
	for _, name := range user.Permissions() {
		check.Equal(t, grouped[name], 1, "%s", name)
	}
}
