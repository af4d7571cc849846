// Package manifest applies what the operator declares of the platform: its
// accounts, stores, owners, users and apps. It reads a YAML file, reports all
// of its faults at once with their lines, and makes the database agree in one
// transaction. It works across capabilities and stands above them.
package manifest
