package user

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// permissionNames lists the store permissions, one name a line, in alphabetical
// order.
//
//go:embed permissions.txt
var permissionNames string

var permissions = sync.OnceValue(func() []string { return strings.Fields(permissionNames) })

// Permissions returns the names of all store permissions, in alphabetical
// order. The owner of a store has them all.
func Permissions() []string { return slices.Clone(permissions()) }

// IsPermission reports whether name is one of Permissions.
func IsPermission(name string) bool {
	_, found := slices.BinarySearch(permissions(), name)
	return found
}
