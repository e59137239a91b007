package blk

import "fmt"

// NVMeStatusError is an NVMe status: the device understood the command and refused it, or could not do it. The low
// byte is the status code and the three bits above its type, as in dword 3 of a completion queue entry; bit 14 says
// that trying again is of no use (NVM Express base specification, "Status Field").
type NVMeStatusError int

func (e NVMeStatusError) Error() string {
	if name, ok := nvmeStatus(int(e) & nvmeStatusMask); ok {
		return fmt.Sprintf("NVMe status %#x: %s", int(e), name)
	}
	return fmt.Sprintf("NVMe status %#x", int(e))
}

const nvmeStatusMask = 0x7ff // type and code

// nvmeStatus names the statuses that I/O commands meet.
func nvmeStatus(status int) (string, bool) {
	switch status {
	case 0x01:
		return "invalid command opcode", true
	case 0x02:
		return "invalid field in command", true
	case 0x04:
		return "data transfer error", true
	case 0x05:
		return "aborted because of power loss", true
	case 0x06:
		return "internal error", true
	case 0x07:
		return "abort requested", true
	case 0x08:
		return "aborted because its queue was deleted", true
	case 0x0b:
		return "invalid namespace or format", true
	case 0x13:
		return "invalid PRP offset", true
	case 0x20:
		return "namespace is write protected", true
	case 0x80:
		return "LBA out of range", true
	case 0x81:
		return "capacity exceeded", true
	case 0x82:
		return "namespace not ready", true
	case 0x83:
		return "reservation conflict", true
	case 0x84:
		return "format in progress", true
	case 0x180:
		return "conflicting attributes", true
	case 0x181:
		return "invalid protection information", true
	case 0x182:
		return "attempted write to read-only range", true
	case 0x280:
		return "write fault", true
	case 0x281:
		return "unrecovered read error", true
	case 0x282:
		return "end-to-end guard check error", true
	case 0x283:
		return "end-to-end application tag check error", true
	case 0x284:
		return "end-to-end reference tag check error", true
	case 0x285:
		return "compare failure", true
	case 0x286:
		return "access denied", true
	case 0x287:
		return "deallocated or unwritten logical block", true
	}
	return "", false
}
