package content

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"hash/crc32"

	"github.com/minio/crc64nvme"
	"github.com/zeebo/xxh3"
)

// method is a way to check a payload.
type method uint8

const (
	methodNone    method = iota
	methodPattern        // the block is the pattern and nothing else
	methodPatternHeader
	methodMeta // the header alone
	methodNull // nothing is checked: what verifying costs without checking
	methodMD5
	methodCRC64
	methodCRC32C
	methodCRC32
	methodCRC16
	methodCRC7
	methodSHA1
	methodSHA256
	methodSHA512
	methodSHA3_224
	methodSHA3_256
	methodSHA3_384
	methodSHA3_512
	methodXXHash
)

// methods are fio's words. crc64 is CRC-64/NVME, crc16 is CRC-16/T10-DIF, crc7 is CRC-7/MMC and xxhash is
// XXH3-64: blocks are checked by blkmeter alone, so that the best of each family may stand for it.
func methods() map[string]method {
	return map[string]method{
		"": methodNone, "0": methodNone, "none": methodNone,
		"pattern": methodPattern, "pattern_hdr": methodPatternHeader, "meta": methodMeta, "null": methodNull,
		"md5": methodMD5, "crc64": methodCRC64, "crc32c": methodCRC32C, "crc32c-intel": methodCRC32C,
		"crc32": methodCRC32, "crc16": methodCRC16, "crc7": methodCRC7,
		"sha1": methodSHA1, "sha256": methodSHA256, "sha512": methodSHA512,
		"sha3-224": methodSHA3_224, "sha3-256": methodSHA3_256, "sha3-384": methodSHA3_384, "sha3-512": methodSHA3_512,
		"xxhash": methodXXHash,
	}
}

// digester computes payload digests. It allocates nothing after it was made.
type digester struct {
	method     method
	castagnoli *crc32.Table
	crc16      *[256]uint16
	crc7       *[256]uint8
	hash       hash.Hash       // of the cryptographic methods
	size       int             // bytes of a digest
	out        [maxDigest]byte // here and not on the stack: a hash.Hash would move it to the heap each time
}

func newDigester(m method) digester {
	d := digester{method: m, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	switch m {
	case methodCRC64, methodXXHash:
		d.size = 8
	case methodCRC32C, methodCRC32:
		d.size = 4
	case methodCRC16:
		d.size, d.crc16 = 2, newCRC16()
	case methodCRC7:
		d.size, d.crc7 = 1, newCRC7()
	case methodMD5:
		d.hash = md5.New()
	case methodSHA1:
		d.hash = sha1.New()
	case methodSHA256:
		d.hash = sha256.New()
	case methodSHA512:
		d.hash = sha512.New()
	case methodSHA3_224:
		d.hash = sha3.New224()
	case methodSHA3_256:
		d.hash = sha3.New256()
	case methodSHA3_384:
		d.hash = sha3.New384()
	case methodSHA3_512:
		d.hash = sha3.New512()
	}
	if d.hash != nil {
		d.size = d.hash.Size()
	}
	return d
}

// maxDigest is the size of the longest digest.
const maxDigest = 64

// sum returns the digest of a followed by b. It is overwritten by the next call.
func (d *digester) sum(a, b []byte) []byte {
	out := d.out[:]
	switch d.method {
	case methodCRC64:
		binary.LittleEndian.PutUint64(out, crc64nvme.Update(crc64nvme.Update(0, a), b))
	case methodXXHash:
		binary.LittleEndian.PutUint64(out, xxh3.HashSeed(b, xxh3.Hash(a)))
	case methodCRC32C:
		binary.LittleEndian.PutUint32(out, crc32.Update(crc32.Update(0, d.castagnoli, a), d.castagnoli, b))
	case methodCRC32:
		binary.LittleEndian.PutUint32(out, crc32.Update(crc32.ChecksumIEEE(a), crc32.IEEETable, b))
	case methodCRC16:
		binary.LittleEndian.PutUint16(out, updateCRC16(d.crc16, updateCRC16(d.crc16, 0, a), b))
	case methodCRC7:
		out[0] = updateCRC7(d.crc7, updateCRC7(d.crc7, 0, a), b) >> 1
	default:
		if d.hash != nil {
			d.hash.Reset()
			d.hash.Write(a)
			d.hash.Write(b)
			d.hash.Sum(out[:0])
		}
	}
	return out[:d.size]
}

// newCRC16 returns the table of CRC-16/T10-DIF, polynomial 0x8bb7: the guard of protection information.
func newCRC16() *[256]uint16 {
	var t [256]uint16
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			c = c<<1 ^ -(c>>15)&0x8bb7
		}
		t[i] = c
	}
	return &t
}

func updateCRC16(t *[256]uint16, c uint16, data []byte) uint16 {
	for _, b := range data {
		c = c<<8 ^ t[byte(c>>8)^b]
	}
	return c
}

// newCRC7 returns the table of CRC-7/MMC, polynomial 0x09, kept in the upper seven bits.
func newCRC7() *[256]uint8 {
	var t [256]uint8
	for i := range t {
		c := uint8(i)
		for range 8 {
			c = c<<1 ^ -(c>>7)&(0x09<<1)
		}
		t[i] = c
	}
	return &t
}

func updateCRC7(t *[256]uint8, c uint8, data []byte) uint8 {
	for _, b := range data {
		c = t[c^b]
	}
	return c
}
