// Package deploy has no code. Its folders have what is needed to run Latchkey in
// production, and its tests check each file with a program that can refuse it
// (deploy/README.md).
package deploy
