package dbtest

import "sync"

// Statements collects the text of SQL statements: Add is the hook OnStatement of a database. It is safe for concurrent
// use.
type Statements struct {
	mu   sync.Mutex
	text []string
}

// Add records a statement.
func (s *Statements) Add(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, sql)
}

// Take returns the statements since the last call.
func (s *Statements) Take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.text
	s.text = nil
	return taken
}
