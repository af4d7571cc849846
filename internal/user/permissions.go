package user

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// permissionNames lists what a person can be allowed in a store, a name a
// line, in alphabetical order.
//
//go:embed permissions.txt
var permissionNames string

var permissions = sync.OnceValue(func() []string { return strings.Fields(permissionNames) })

// Permissions returns the names of everything that a person can be allowed in
// a store, in alphabetical order: what the store's owner holds.
func Permissions() []string { return slices.Clone(permissions()) }

// IsPermission reports whether name is one of Permissions.
func IsPermission(name string) bool {
	_, found := slices.BinarySearch(permissions(), name)
	return found
}
