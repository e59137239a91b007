package testlab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Tree unpacks a txtar archive of a machine's /sys and /proc into a directory of the test's own and returns
// it. A section named "a -> b" becomes the symbolic link a. Later archives add to, and replace parts of,
// earlier ones; an empty section named "-a" removes what is at a.
func Tree(t testing.TB, archives ...string) string {
	t.Helper()
	root := Dir(t, inMemory())
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		Unpack(t, root, archive.Files)
	}
	return root
}

// TreeOf is Tree for the text of an archive, put over the unpacked tree at root.
func TreeOf(t testing.TB, root, text string) {
	t.Helper()
	Unpack(t, root, txtar.Parse([]byte(text)).Files)
}

// Unpack writes the files of an archive under root.
func Unpack(t testing.TB, root string, files []txtar.File) {
	t.Helper()
	for _, f := range files {
		name, target, isLink := strings.Cut(f.Name, " -> ")
		if gone, ok := strings.CutPrefix(name, "-"); ok {
			name = gone
		}
		path := filepath.Join(root, name)
		// A file's parent may itself be a link in the archive, to a directory not made yet.
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case f.Name[0] == '-':
			err = os.RemoveAll(path)
		case isLink:
			err = replaceLink(target, path)
		default:
			err = os.WriteFile(path, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// replaceLink makes a link, in the place of what was there.
func replaceLink(target, path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// inMemory says whether there is a directory in memory, where thousands of small files cost little.
func inMemory() bool {
	info, err := os.Stat("/dev/shm")
	return err == nil && info.IsDir()
}
