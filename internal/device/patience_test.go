package device

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got, err := Patiently(func() (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("%d, %v", got, err)
		}
		stuck := make(chan struct{})
		start := time.Now()
		got, err := Patiently(func() (int, error) { <-stuck; return 7, nil })
		if waited := time.Since(start); got != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || waited != time.Second {
			t.Errorf("%d, %v after %v", got, err, waited)
		}
		close(stuck)
	})
}
