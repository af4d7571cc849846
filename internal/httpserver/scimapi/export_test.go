package scimapi

// The limits of large answers.
const (
	LargeAnswer = largeAnswer
	MaxSending  = maxSending
)
