package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Read returns what the kernel's clock of that number shows (clock_gettime(2)): 0 is the time since 1970, 1 the
// time since the machine was started. An error says that there is no such clock.
func Read(id int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(id), &t); err != nil {
		return 0, fmt.Errorf("clock_gettime(%d): %w", id, err)
	}
	return time.Duration(t.Nano()), nil
}
