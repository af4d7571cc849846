package main

import (
	"testing"
	"time"
)

// A load is told how long the machine worked for each of its answers.
func TestWorking(t *testing.T) {
	m, err := working(func() (measurement, error) {
		for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); {
		}
		return measurement{perSecond: 10}, nil
	})
	if err != nil || m.processor < 50*time.Millisecond || m.processor > 10*time.Second {
		t.Errorf("%s for each answer, %v", m.processor, err)
	}
}
