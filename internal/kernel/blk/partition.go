package blk

import (
	"runtime"
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blkpgArg is struct blkpg_ioctl_arg of linux/blkpg.h.
type blkpgArg struct {
	_       structs.HostLayout
	op      int32
	flags   int32
	datalen int32
	_       int32
	data    unsafe.Pointer
}

// AddPartition tells the kernel, not the medium, that length bytes at start of the open whole device are
// partition number (BLKPG). Both must be multiples of the logical block size.
func AddPartition(fd, number int, start, length int64) error {
	return blkpg(fd, unix.BLKPG_ADD_PARTITION, unix.BlkpgPartition{Start: start, Length: length, Pno: int32(number)})
}

// DeletePartition makes the kernel forget a partition; EBUSY while it is in use.
func DeletePartition(fd, number int) error {
	return blkpg(fd, unix.BLKPG_DEL_PARTITION, unix.BlkpgPartition{Pno: int32(number)})
}

func blkpg(fd int, op int32, p unix.BlkpgPartition) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&p)
	arg := blkpgArg{op: op, datalen: int32(unsafe.Sizeof(p)), data: unsafe.Pointer(&p)}
	return ioctl("BLKPG", fd, unix.BLKPG, unsafe.Pointer(&arg))
}
