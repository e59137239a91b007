package watch

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/blkmeter/blkmeter/internal/device"
	"github.com/blkmeter/blkmeter/internal/fault"
)

// KeepAwake keeps all CPUs out of idle states that take time to leave, until the returned Closer is closed
// or the process ends (Documentation/power/pm_qos_interface.rst). It needs write access to
// /dev/cpu_dma_latency, which is root's.
func KeepAwake(root device.Root) (io.Closer, error) {
	const path = "dev/cpu_dma_latency"
	file, err := os.OpenFile(root.Path(path), os.O_WRONLY, 0)
	if err == nil {
		if _, err = file.Write(make([]byte, 4)); err != nil { // an int32: 0 us
			err = errors.Join(err, file.Close())
		}
	}
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Wrap(err, fault.ExitEnvironment, "NO_IDLE", "run as root, or leave --no-idle out", "this user may not keep the CPUs awake")
	default:
		return nil, fault.Wrap(err, fault.ExitEnvironment, "NO_IDLE", "leave --no-idle out", "cannot keep the CPUs awake")
	}
}
