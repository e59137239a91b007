package target

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Signature is a mark on a medium that says what it holds.
type Signature struct {
	Name   string // "ext4 file system", "GPT partition table"
	Label  string // as its owner named it; may be empty
	Offset int64  // of the mark, bytes
}

// String returns the name with the label.
func (s Signature) String() string {
	if s.Label != "" {
		return fmt.Sprintf("%s %q", s.Name, s.Label)
	}
	return s.Name
}

// magic is a byte string at a fixed place. A negative offset counts from the end of the medium, rounded
// down to align where that is set. Places and values are from the formats' own documents, as util-linux's
// libblkid probes them.
type magic struct {
	name   string
	offset int64
	align  int64
	bytes  string
	label  span
}

// span is where a label lies, from the start of the medium.
type span struct{ offset, length int64 }

var magics = []magic{
	{name: "GPT partition table", offset: 512, bytes: "EFI PART"},
	{name: "GPT partition table", offset: 4096, bytes: "EFI PART"},
	{name: "GPT partition table (backup)", offset: -512, bytes: "EFI PART"},
	{name: "GPT partition table (backup)", offset: -4096, bytes: "EFI PART"},
	{name: "LUKS encrypted volume", offset: 0, bytes: "LUKS\xba\xbe"},
	{name: "LUKS encrypted volume", offset: 16384, bytes: "SKUL\xba\xbe"},
	{name: "md RAID member", offset: 0, bytes: "\xfc\x4e\x2b\xa9", label: span{32, 32}},
	{name: "md RAID member", offset: 4096, bytes: "\xfc\x4e\x2b\xa9", label: span{4096 + 32, 32}},
	{name: "md RAID member", offset: -8192, align: 4096, bytes: "\xfc\x4e\x2b\xa9"},
	{name: "md RAID member", offset: -65536, align: 65536, bytes: "\xfc\x4e\x2b\xa9"},
	{name: "Intel RAID member", offset: -1024, bytes: "Intel Raid ISM Cfg Sig. "},
	{name: "DDF RAID member", offset: -512, bytes: "\xde\x11\xde\x11"},
	{name: "bcache member", offset: 4096 + 24, bytes: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf7\x7f\x48\xba\x6d\x81"},
	{name: "bcachefs file system", offset: 4096 + 24, bytes: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"},
	{name: "Ceph BlueStore device", offset: 0, bytes: "bluestore block device"},
	{name: "Oracle ASM disk", offset: 32, bytes: "ORCLDISK"},
	{name: "xfs file system", offset: 0, bytes: "XFSB", label: span{108, 12}},
	{name: "btrfs file system", offset: 65536 + 64, bytes: "_BHRfS_M", label: span{65536 + 299, 256}},
	{name: "f2fs file system", offset: 1024, bytes: "\x10\x20\xf5\xf2"},
	{name: "erofs file system", offset: 1024, bytes: "\xe2\xe1\xf5\xe0"},
	{name: "squashfs file system", offset: 0, bytes: "hsqs"},
	{name: "jfs file system", offset: 32768, bytes: "JFS1"},
	{name: "reiserfs file system", offset: 65536 + 52, bytes: "ReIsEr"},
	{name: "hfs+ file system", offset: 1024, bytes: "H+\x00\x04"},
	{name: "apfs container", offset: 32, bytes: "NXSB"},
	{name: "ntfs file system", offset: 3, bytes: "NTFS    "},
	{name: "exfat file system", offset: 3, bytes: "EXFAT   "},
	{name: "FAT file system", offset: 54, bytes: "FAT1", label: span{43, 11}},
	{name: "FAT file system", offset: 82, bytes: "FAT32   ", label: span{71, 11}},
	{name: "iso9660 file system", offset: 32769, bytes: "CD001", label: span{32808, 32}},
	{name: "swap area", offset: 4096 - 10, bytes: "SWAPSPACE2", label: span{1052, 16}},
	{name: "swap area", offset: 16384 - 10, bytes: "SWAPSPACE2", label: span{1052, 16}},
	{name: "swap area", offset: 65536 - 10, bytes: "SWAPSPACE2", label: span{1052, 16}},
	{name: "hibernation image", offset: 4096 - 10, bytes: "S1SUSPEND"},
}

// How much of a medium's start and end is read to find signatures: ZFS keeps its marks furthest in.
const (
	headBytes = 256 << 10
	tailBytes = 128 << 10
)

// medium is the two ends of a device or file in memory.
type medium struct {
	size int64
	head []byte
	tail []byte // the last bytes; overlaps head on a small medium
}

// Signatures looks for partition tables, file systems, swap areas, and members of volume managers and RAIDs
// on a medium of size bytes. It reads the first 256 KiB and the last 128 KiB. What it does not know may
// still be data.
func Signatures(r io.ReaderAt, size int64) ([]Signature, error) {
	m, err := readMedium(r, size)
	if err != nil {
		return nil, err
	}
	return m.signatures(), nil
}

func readMedium(r io.ReaderAt, size int64) (*medium, error) {
	m := &medium{size: size, head: make([]byte, min(size, headBytes)), tail: make([]byte, min(size, tailBytes))}
	if _, err := r.ReadAt(m.head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the start: %w", err)
	}
	if _, err := r.ReadAt(m.tail, size-int64(len(m.tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the end: %w", err)
	}
	return m, nil
}

func (m *medium) signatures() []Signature {
	var found []Signature
	add := func(s Signature) {
		for _, f := range found {
			if f.Name == s.Name {
				return
			}
		}
		found = append(found, s)
	}
	for _, k := range magics {
		at := k.place(m.size)
		if bytes.Equal(m.at(at, int64(len(k.bytes))), []byte(k.bytes)) {
			add(Signature{Name: k.name, Label: m.label(k.label), Offset: at})
		}
	}
	for _, probe := range []func(*medium) (Signature, bool){probeExt, probeLVM, probeZFS, probeMBR} {
		if s, ok := probe(m); ok {
			add(s)
		}
	}
	return found
}

// place returns the offset of the mark on a medium of size bytes.
func (k magic) place(size int64) int64 {
	if k.offset >= 0 {
		return k.offset
	}
	if k.align > 0 {
		size -= size % k.align
	}
	return size + k.offset
}

// at returns n bytes at offset, or nil where the two ends do not hold them.
func (m *medium) at(offset, n int64) []byte {
	if offset >= 0 && n > 0 && offset+n <= int64(len(m.head)) {
		return m.head[offset : offset+n]
	}
	offset -= m.size - int64(len(m.tail))
	if offset >= 0 && n > 0 && offset+n <= int64(len(m.tail)) {
		return m.tail[offset : offset+n]
	}
	return nil
}

func (m *medium) label(s span) string {
	text, _, _ := bytes.Cut(m.at(s.offset, s.length), []byte{0})
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
}

func (m *medium) le16(offset int64) uint16 {
	if b := m.at(offset, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (m *medium) le32(offset int64) uint32 {
	if b := m.at(offset, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// probeExt recognises ext2, ext3 and ext4 and tells them apart by the features in their super block.
func probeExt(m *medium) (Signature, bool) {
	const super, hasJournal, journalDevice, ext4Features = 1024, 0x4, 0x8, 0x40 | 0x80 | 0x200
	if m.le16(super+56) != 0xef53 {
		return Signature{}, false
	}
	name := "ext2 file system"
	switch compatible, incompatible := m.le32(super+92), m.le32(super+96); {
	case incompatible&journalDevice != 0:
		name = "ext journal device"
	case incompatible&ext4Features != 0:
		name = "ext4 file system"
	case compatible&hasJournal != 0:
		name = "ext3 file system"
	}
	return Signature{Name: name, Label: m.label(span{super + 120, 16}), Offset: super + 56}, true
}

// probeLVM recognises a physical volume, whose label may be in any of the first four sectors.
func probeLVM(m *medium) (Signature, bool) {
	for offset := int64(0); offset < 2048; offset += 512 {
		if string(m.at(offset, 8)) == "LABELONE" && string(m.at(offset+24, 8)) == "LVM2 001" {
			return Signature{Name: "LVM physical volume", Offset: offset}, true
		}
	}
	return Signature{}, false
}

// probeZFS recognises a pool member by an uberblock, of either byte order, in its first label.
func probeZFS(m *medium) (Signature, bool) {
	const magic = 0x00bab10c
	for offset := int64(128 << 10); offset < 256<<10; offset += 1024 {
		b := m.at(offset, 8)
		if b != nil && (binary.LittleEndian.Uint64(b) == magic || binary.BigEndian.Uint64(b) == magic) {
			return Signature{Name: "ZFS pool member", Offset: offset}, true
		}
	}
	return Signature{}, false
}

// probeMBR recognises a DOS partition table with at least one partition. The boot sector of a FAT or NTFS
// file system ends in the same two bytes, but has code where the table would be.
func probeMBR(m *medium) (Signature, bool) {
	if m.le16(510) != 0xaa55 {
		return Signature{}, false
	}
	partitions := 0
	for entry := int64(446); entry < 510; entry += 16 {
		b := m.at(entry, 16)
		if b[0] != 0 && b[0] != 0x80 {
			return Signature{}, false
		}
		if b[4] != 0 && binary.LittleEndian.Uint32(b[12:]) != 0 {
			partitions++
		}
	}
	return Signature{Name: "DOS partition table", Offset: 510}, partitions > 0
}

// blank says whether both ends hold nothing but zeros.
func (m *medium) blank() bool {
	return len(bytes.Trim(m.head, "\x00")) == 0 && len(bytes.Trim(m.tail, "\x00")) == 0
}

// contents says in words what a medium holds, for a refusal.
func contents(r io.ReaderAt, size int64) string {
	if size == 0 {
		return "it is empty"
	}
	m, err := readMedium(r, size)
	if err != nil {
		return fmt.Sprintf("what it holds could not be read (%v)", err)
	}
	found := m.signatures()
	if len(found) == 0 && m.blank() {
		return "its first and last blocks are zeros"
	}
	if len(found) == 0 {
		return "it holds data of no known kind"
	}
	words := make([]string, len(found))
	for i, s := range found {
		words[i] = fmt.Sprintf("%s (mark at byte %d)", s, s.Offset)
	}
	return "it holds " + strings.Join(words, " and ")
}
