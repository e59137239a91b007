package mem

import "unsafe"

// Address returns where buf starts, for a structure that names memory by a 64-bit integer. The collector
// does not see such a reference: buf must be off the Go heap and outlive its use by the kernel.
func Address(buf []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) }
