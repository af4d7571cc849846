package panel

import (
	"testing"

	"latchkey/internal/audit"
	"latchkey/internal/test/check"
	"latchkey/internal/user"
)

// Every action of the audit log has messages for lists and as a sentence, and so does its target kind.
func TestActionsHaveWords(t *testing.T) {
	l := loadViews()
	for _, a := range audit.Actions() {
		for _, key := range []string{"audit.says." + string(a), "audit.names." + string(a),
			"audit.things." + a.Thing()} {
			if _, err := l.messages.text(key); err != nil {
				t.Error(err)
			}
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
