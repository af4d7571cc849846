package main

import (
	"testing"
	"time"
)

// working adds the processor time per response to a measurement.
func TestWorking(t *testing.T) {
	m, err := working(func() (measurement, error) {
		for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); {
		}
		return measurement{perSecond: 10}, nil
	})
	if err != nil || m.processor < 50*time.Millisecond || m.processor > 10*time.Second {
		t.Errorf("processor time: got %s for each response, %v, want from 50ms to 10s", m.processor, err)
	}
}
