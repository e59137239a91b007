package blk

import (
	"runtime"
	"structs"
	"unsafe"
)

// nvmeCommand is struct nvme_passthru_cmd of linux/nvme_ioctl.h.
type nvmeCommand struct {
	_           structs.HostLayout
	opcode      uint8
	flags       uint8
	_           uint16
	nsid        uint32
	cdw2, cdw3  uint32
	metadata    uint64
	addr        uint64
	metadataLen uint32
	dataLen     uint32
	cdw10       uint32
	cdw11       uint32
	cdw12       uint32
	cdw13       uint32
	cdw14       uint32
	cdw15       uint32
	timeoutMS   uint32
	result      uint32
}

const (
	nvmeIoctlID    = 0x4E40     // _IO('N', 0x40)
	nvmeIoctlAdmin = 0xC0484E41 // _IOWR('N', 0x41, struct nvme_passthru_cmd)
)

// The admin commands that only read, from the NVM Express base specification. No other is ever sent.
const (
	nvmeGetLogPage  = 0x02
	nvmeIdentify    = 0x06
	nvmeGetFeatures = 0x0a
)

const nvmeTimeoutMS = 1000

// NVMeIdentifyBytes is the size of an identify data structure.
const NVMeIdentifyBytes = 4096

// NVMeNamespaceAll addresses a controller instead of one of its namespaces.
const NVMeNamespaceAll = 0xffffffff

// NVMeIdentifyController reads the identify data of the controller behind an open NVMe node.
func NVMeIdentifyController(fd int) ([]byte, error) {
	data := make([]byte, NVMeIdentifyBytes)
	_, err := nvmeAdmin("NVMe identify controller", fd, nvmeCommand{opcode: nvmeIdentify, cdw10: 1}, data)
	return data, err
}

// NVMeIdentifyNamespace reads the identify data of namespace nsid.
func NVMeIdentifyNamespace(fd int, nsid uint32) ([]byte, error) {
	data := make([]byte, NVMeIdentifyBytes)
	_, err := nvmeAdmin("NVMe identify namespace", fd, nvmeCommand{opcode: nvmeIdentify, nsid: nsid}, data)
	return data, err
}

// NVMeLogPage reads n bytes, a multiple of 4, of a log page of the controller.
func NVMeLogPage(fd int, page uint8, n int) ([]byte, error) {
	data := make([]byte, n)
	command := nvmeCommand{opcode: nvmeGetLogPage, nsid: NVMeNamespaceAll, cdw10: uint32(page) | uint32(n/4-1)<<16}
	_, err := nvmeAdmin("NVMe get log page", fd, command, data)
	return data, err
}

// NVMeFeature reads the current value of a feature, and n bytes of the data that goes with it (0: none).
func NVMeFeature(fd int, feature uint8, n int) (value uint32, data []byte, err error) {
	data = make([]byte, n)
	value, err = nvmeAdmin("NVMe get features", fd, nvmeCommand{opcode: nvmeGetFeatures, cdw10: uint32(feature)}, data)
	return value, data, err
}

// NVMeNamespaceID returns the number of the namespace behind an open block device or character device
// (NVME_IOCTL_ID).
func NVMeNamespaceID(fd int) (uint32, error) {
	nsid, err := ioctlValue("NVME_IOCTL_ID", fd, nvmeIoctlID, 0, nil)
	return uint32(nsid), err
}

// nvmeAdmin sends a command that reads into data and returns the command's result.
func nvmeAdmin(name string, fd int, command nvmeCommand, data []byte) (uint32, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		command.addr = uint64(uintptr(unsafe.Pointer(&data[0])))
		command.dataLen = uint32(len(data))
	}
	command.timeoutMS = nvmeTimeoutMS
	status, err := ioctlValue(name, fd, nvmeIoctlAdmin, 0, unsafe.Pointer(&command))
	if err != nil {
		return 0, err
	}
	if status != 0 {
		return 0, NVMeStatusError(status)
	}
	return command.result, nil
}
