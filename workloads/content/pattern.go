package content

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/blkmeter/blkmeter/internal/fault"
)

// Pattern is a repeated row of bytes, as buffer_pattern and verify_pattern name it, in which some places
// take the I/O's offset.
type Pattern struct {
	bytes   []byte
	offsets []int // where 8 bytes of the offset stand (%o), little-endian
}

// maxPattern is how many bytes fio takes.
const maxPattern = 512

// ParsePattern reads fio's grammar: any row of "text" in double quotes, 0x with hexadecimal digits (bytes
// in the order written), decimal numbers (their bytes, little-endian, as few as hold them; four or eight
// when negative), 'a file' in single quotes, read by readFile, and %o for the offset in 8 bytes. Numbers
// that follow one another are separated by blanks or commas.
func ParsePattern(text string, readFile func(name string) ([]byte, error)) (*Pattern, error) {
	p := &Pattern{}
	bad := func(why string) (*Pattern, error) {
		return nil, fault.Usage("PATTERN", `write bytes like 0xdeadface, "text", 12, %o or 'file', in a row of at most 512`,
			"pattern %q: %s", text, why)
	}
	for rest := text; rest != ""; {
		switch {
		case rest[0] == ' ' || rest[0] == ',':
			rest = rest[1:]
			continue
		case rest[0] == '"' || rest[0] == '\'':
			inner, after, ok := strings.Cut(rest[1:], rest[:1])
			if !ok {
				return bad("a quote is not closed")
			}
			data := []byte(inner)
			if rest[0] == '\'' {
				var err error
				if data, err = readFile(inner); err != nil {
					return nil, fault.Wrap(err, fault.ExitUsage, "PATTERN_FILE", "name a file that can be read", "cannot read the pattern's file %q", inner)
				}
				// Of a file as much is used as there is room for.
				data = data[:min(len(data), maxPattern-min(len(p.bytes), maxPattern))]
			}
			p.bytes, rest = append(p.bytes, data...), after
		case strings.HasPrefix(rest, "%o"):
			p.offsets = append(p.offsets, len(p.bytes))
			p.bytes, rest = append(p.bytes, make([]byte, 8)...), rest[2:]
		case strings.HasPrefix(rest, "0x") || strings.HasPrefix(rest, "0X"):
			n := prefix(rest[2:], "0123456789abcdefABCDEF")
			digits := rest[2 : 2+n]
			if n%2 == 1 {
				digits = "0" + digits
			}
			data, err := hex.DecodeString(digits)
			if err != nil || n == 0 {
				return bad("0x without digits")
			}
			p.bytes, rest = append(p.bytes, data...), rest[2+n:]
		default:
			n := prefix(rest, "-") // at most one sign is a number: ParseInt sees to that
			n += prefix(rest[n:], "0123456789")
			data, ok := decimal(rest[:n])
			if !ok {
				return bad("it goes wrong at " + strconv.Quote(rest))
			}
			p.bytes, rest = append(p.bytes, data...), rest[n:]
		}
		if len(p.bytes) > maxPattern {
			return bad("it is longer than 512 bytes")
		}
	}
	if len(p.bytes) == 0 {
		return bad("it is empty")
	}
	return p, nil
}

// prefix returns how many bytes at the start of s are in set.
func prefix(s, set string) int {
	return len(s) - len(strings.TrimLeft(s, set))
}

// decimal returns the bytes of a decimal number.
func decimal(s string) ([]byte, bool) {
	var le [8]byte
	if v, err := strconv.ParseUint(s, 10, 64); err == nil {
		binary.LittleEndian.PutUint64(le[:], v)
		return le[:max((bits.Len64(v)+7)/8, 1)], true
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil, false
	}
	binary.LittleEndian.PutUint64(le[:], uint64(v))
	if v >= math.MinInt32 {
		return le[:4], true
	}
	return le[:], true
}

// Fill fills buf with the pattern for an I/O at offset.
func (p *Pattern) Fill(buf []byte, offset int64) {
	n := copy(buf, p.bytes)
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], uint64(offset))
	for _, at := range p.offsets {
		if at < n {
			copy(buf[at:n], le[:])
		}
	}
	for n < len(buf) {
		n += copy(buf[n:], buf[:n])
	}
}
