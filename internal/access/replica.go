package access

import "time"

// Replica is one of the servers that share a database.
type Replica struct {
	// Name identifies the replica to operators. It should be unique, but nothing depends on that.
	Name string
	// URL is where other replicas reach its public listener, without a trailing slash.
	URL string
}

// Acknowledgement says that a replica has dropped every cached credential that was revoked before it was asked.
type Acknowledgement struct {
	Replica string
	// At is when the acknowledgement arrived, by the clock of the replica that asked; zero if it did not arrive in
	// time. The replica then no longer uses its caches, or has stopped.
	At time.Time
}

// Receipt says which replicas refuse the credentials that were revoked.
type Receipt struct {
	// Replicas has an entry for each replica, sorted by name.
	Replicas []Acknowledgement
	// Elapsed is how long it took to ask all replicas.
	Elapsed time.Duration
}
