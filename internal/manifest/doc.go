// Package manifest applies the operator's declaration of the platform: its accounts, stores, owners, users and apps. It
// reads a YAML file, reports all errors at once with their lines, and changes the database to match in one transaction.
// It spans several capabilities, so it is above them in the import order.
package manifest
