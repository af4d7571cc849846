// Package config holds the settings of the program: where each comes from,
// what it may be, and what it is unless set (design: "Settings and commands").
//
// Every setting is a flag and an environment variable; the flag wins. All of
// them are read and judged together, and every fault is reported at once.
package config
