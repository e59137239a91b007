package blk

import "testing"

func TestNVMeStatusesHaveNames(t *testing.T) {
	for status, want := range map[NVMeStatusError]string{
		0x281:  "NVMe status 0x281: unrecovered read error",
		0x4281: "NVMe status 0x4281: unrecovered read error", // and trying again is of no use
		0x4080: "NVMe status 0x4080: LBA out of range",
		0x3ff:  "NVMe status 0x3ff",
	} {
		if got := status.Error(); got != want {
			t.Errorf("%#x: %q, want %q", int(status), got, want)
		}
	}
}
