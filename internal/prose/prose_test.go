package prose

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{Nanoseconds(0), "0ns"},
		{Nanoseconds(14), "14ns"},
		{Nanoseconds(6.38), "6.38ns"},
		{Nanoseconds(999.4), "999ns"},
		{Nanoseconds(999.6), "1.00us"},
		{Nanoseconds(2314), "2.31us"},
		{Nanoseconds(76_049_000), "76.0ms"},
		{Nanoseconds(3.6e12), "3600s"},
		{Nanoseconds(-1500), "-1.50us"},
		{Count(0), "0"},
		{Count(0.25), "0.25"},
		{Count(425_312), "425k"},
		{Count(999_600), "1.00M"},
		{Count(12_500_000), "12.5M"},
		{Count(2e12), "2000G"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTextOfOthers(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{Printable("a\x1b[2J\tb\nc\u009b"), "a?[2J?b\nc?"},
		{PrintableLine("a\r\nb é"), "a??b é"},
		{Cut("größe", 5), "größe"},
		{Cut("größer", 5), "größ…"},
		{Cut("ab", 1), "…"},
		{Cut("", 1), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := Wrap("  head  ", strings.Repeat("word ", 30))
	lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "  head  word") || !strings.HasPrefix(lines[1], "        word") {
		t.Errorf("wrapped to %q", lines)
	}
	if got := Wrap("  head  ", ""); got != "  head\n" {
		t.Errorf("nothing wraps to %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-z]{1,40}`)).Draw(t, "words")
		head := strings.Repeat("-", rapid.IntRange(0, 30).Draw(t, "head"))
		got := Wrap(head, strings.Join(words, " "))
		for line := range strings.Lines(got) {
			if len(line) > Width+1 {
				t.Fatalf("%q is longer than %d", line, Width)
			}
		}
		if back := strings.Fields(strings.TrimPrefix(got, head)); strings.Join(back, " ") != strings.Join(words, " ") {
			t.Fatalf("%q lost words: %q", words, back)
		}
	})
}
