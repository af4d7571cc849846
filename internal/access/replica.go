package access

import "time"

// Replica is one of the servers that share a database.
type Replica struct {
	// Name tells people which one it is. It should be unique; nothing rests on
	// that.
	Name string
	// URL is where the others reach its public listener, without a slash at
	// its end.
	URL string
}

// Acknowledgement is a replica's answer to the question whether it has
// forgotten everything that was revoked before it was asked.
type Acknowledgement struct {
	Replica string
	// At is when the answer arrived, by the asker's clock; zero if it did not
	// in time. The replica then trusts its memory of nothing, or it is gone.
	At time.Time
}

// Receipt says which replicas refuse what was revoked.
type Receipt struct {
	// Replicas has an entry for each, in the order of their names.
	Replicas []Acknowledgement
	// Elapsed is how long asking took.
	Elapsed time.Duration
}
