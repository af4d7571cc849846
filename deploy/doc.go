// Package deploy has no code. Its folder has what is needed to run Latchkey for real, and tests that check each file
// with a program that can refuse it.
package deploy
