// Package config reads and validates the program's settings (docs/settings.md).
//
// Every setting is a flag and an environment variable; the flag takes precedence. All settings are validated together,
// and every error is reported at once.
package config
