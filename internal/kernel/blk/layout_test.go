package blk

import (
	"testing"
	"unsafe"
)

// TestLayouts checks sizes against the kernel's headers: linux/fiemap.h, linux/blkpg.h, linux/nvme_ioctl.h.
func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"struct fiemap":              {unsafe.Sizeof(fiemapHeader{}), 32},
		"struct fiemap_extent":       {unsafe.Sizeof(fiemapExtent{}), 56},
		"fiemap_extent.fe_flags":     {unsafe.Offsetof(fiemapExtent{}.flags), 40},
		"struct blkpg_ioctl_arg":     {unsafe.Sizeof(blkpgArg{}), 16 + unsafe.Sizeof(uintptr(0))},
		"struct nvme_passthru_cmd":   {unsafe.Sizeof(nvmeCommand{}), 72},
		"nvme_passthru_cmd.addr":     {unsafe.Offsetof(nvmeCommand{}.addr), 24},
		"nvme_passthru_cmd.cdw10":    {unsafe.Offsetof(nvmeCommand{}.cdw10), 40},
		"nvme_passthru_cmd.result":   {unsafe.Offsetof(nvmeCommand{}.result), 68},
		"NVME_IOCTL_ADMIN_CMD size":  {nvmeIoctlAdmin >> 16 & 0x3fff, 72},
		"FS_IOC_FIEMAP size":         {fsIocFiemap >> 16 & 0x3fff, 32},
		"fiemap request, whole size": {unsafe.Sizeof(fiemapHeader{}) + fiemapBatch*unsafe.Sizeof(fiemapExtent{}), 32 + 512*56},
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", name, c.got, c.want)
		}
	}
}
