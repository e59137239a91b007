package target

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/testlab"
)

const mediumBytes = 8 << 20

// blank returns a medium of zeros with text at offsets; negative ones count from the end.
func marked(marks map[int64]string) []byte {
	m := make([]byte, mediumBytes)
	for at, text := range marks {
		if at < 0 {
			at += mediumBytes
		}
		copy(m[at:], text)
	}
	return m
}

func TestSignatures(t *testing.T) {
	for name, c := range map[string]struct {
		marks map[int64]string
		want  string
	}{
		"blank":           {nil, ""},
		"GPT":             {map[int64]string{512: "EFI PART"}, "GPT partition table"},
		"GPT 4Kn":         {map[int64]string{4096: "EFI PART"}, "GPT partition table"},
		"GPT backup only": {map[int64]string{-512: "EFI PART"}, "GPT partition table (backup)"},
		"LUKS":            {map[int64]string{0: "LUKS\xba\xbe"}, "LUKS encrypted volume"},
		"LVM sector 1":    {map[int64]string{512: "LABELONE", 512 + 24: "LVM2 001"}, "LVM physical volume"},
		"LVM sector 3":    {map[int64]string{1536: "LABELONE", 1536 + 24: "LVM2 001"}, "LVM physical volume"},
		"md 1.2":          {map[int64]string{4096: "\xfc\x4e\x2b\xa9", 4096 + 32: "host:data"}, `md RAID member "host:data"`},
		"md 1.0":          {map[int64]string{-8192: "\xfc\x4e\x2b\xa9"}, "md RAID member"},
		"md 0.90":         {map[int64]string{-65536: "\xfc\x4e\x2b\xa9"}, "md RAID member"},
		"ext2":            {map[int64]string{1080: "\x53\xef"}, "ext2 file system"},
		"ext3":            {map[int64]string{1080: "\x53\xef", 1024 + 92: "\x04"}, "ext3 file system"},
		"ext4":            {map[int64]string{1080: "\x53\xef", 1024 + 92: "\x04", 1024 + 96: "\x40", 1024 + 120: "root"}, `ext4 file system "root"`},
		"ext journal":     {map[int64]string{1080: "\x53\xef", 1024 + 96: "\x08"}, "ext journal device"},
		"xfs":             {map[int64]string{0: "XFSB", 108: "scratch"}, `xfs file system "scratch"`},
		"btrfs":           {map[int64]string{65600: "_BHRfS_M"}, "btrfs file system"},
		"swap":            {map[int64]string{4086: "SWAPSPACE2"}, "swap area"},
		"swap 64K pages":  {map[int64]string{65526: "SWAPSPACE2"}, "swap area"},
		"hibernated":      {map[int64]string{4086: "S1SUSPEND"}, "hibernation image"},
		"ZFS":             {map[int64]string{132 << 10: "\x0c\xb1\xba\x00\x00\x00\x00\x00"}, "ZFS pool member"},
		"ZFS big endian":  {map[int64]string{132 << 10: "\x00\x00\x00\x00\x00\xba\xb1\x0c"}, "ZFS pool member"},
		"MBR":             {map[int64]string{446: "\x80", 450: "\x83", 458: "\x00\x08", 510: "\x55\xaa"}, "DOS partition table"},
		"MBR, no entries": {map[int64]string{510: "\x55\xaa"}, ""},
		"FAT32":           {map[int64]string{82: "FAT32   ", 71: "EFISYS     ", 446: "\x12\x34", 510: "\x55\xaa"}, `FAT file system "EFISYS"`},
		"GPT and ext4":    {map[int64]string{512: "EFI PART", 1080: "\x53\xef", 1024 + 96: "\x40"}, "GPT partition table|ext4 file system"},
		"two GPTs":        {map[int64]string{512: "EFI PART", -512: "EFI PART"}, "GPT partition table|GPT partition table (backup)"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Signatures(bytes.NewReader(marked(c.marks)), mediumBytes)
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, s := range found {
				words = append(words, s.String())
			}
			if got := strings.Join(words, "|"); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestSignaturesThatProgramsWrite(t *testing.T) {
	for program, c := range map[string]struct {
		args []string
		want string
	}{
		"mkfs.ext4": {[]string{"-q", "-F", "-L", "data"}, `ext4 file system "data"`},
		"mkfs.ext3": {[]string{"-q", "-F"}, "ext3 file system"},
		"mkfs.ext2": {[]string{"-q", "-F"}, "ext2 file system"},
		"mkswap":    {[]string{"-L", "sw"}, `swap area "sw"`},
	} {
		t.Run(program, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "medium")
			if err := os.WriteFile(path, make([]byte, mediumBytes), 0o600); err != nil {
				t.Fatal(err)
			}
			testlab.Run(t, program, append(c.args, path)...)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := contents(f, mediumBytes); !strings.Contains(got, c.want) {
				t.Errorf("contents = %q, want %q in it", got, c.want)
			}
		})
	}
}

func TestContents(t *testing.T) {
	for want, medium := range map[string][]byte{
		"it is empty":                         {},
		"its first and last blocks are zeros": make([]byte, 1<<20),
		"it holds data of no known kind":      marked(map[int64]string{-5: "x"}),
		"it holds xfs file system (mark at byte 0) and swap area (mark at byte 4086)": marked(map[int64]string{0: "XFSB", 4086: "SWAPSPACE2"}),
	} {
		if got := contents(bytes.NewReader(medium), int64(len(medium))); got != want {
			t.Errorf("contents = %q, want %q", got, want)
		}
	}
}

// FuzzSignatures feeds media of any size and content: nothing may make the search read out of bounds.
func FuzzSignatures(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte("XFSB"), int64(4))
	f.Add(marked(map[int64]string{446: "\x80", 450: "\x83", 510: "\x55\xaa"})[:600], int64(600))
	f.Add(marked(map[int64]string{1080: "\x53\xef"})[:4096], int64(1<<40))
	f.Fuzz(func(t *testing.T, medium []byte, size int64) {
		if size < 0 || size > int64(len(medium)) {
			size = int64(len(medium))
		}
		found, err := Signatures(bytes.NewReader(medium), size)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			if s.Name == "" || s.Offset < 0 || s.Offset >= size {
				t.Errorf("found %+v on %d bytes", s, size)
			}
		}
	})
}
