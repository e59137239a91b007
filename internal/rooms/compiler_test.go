package rooms

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// hot names the functions that every I/O or every batch passes through. None of them may move anything to
// the heap but the error that ends the run; those that are to be inlined must be; and none may have more
// bounds checks than it needs, each a compare and a branch.
var hot = []struct {
	room, function string
	inlined        bool
	bounds         int // at most so many checks
}{
	{room: "internal/run", function: "(*worker).loop", bounds: 9},
	{room: "internal/run", function: "(*worker).mayFill", inlined: true},
	{room: "internal/run", function: "(*worker).fill", bounds: 12},
	{room: "internal/run", function: "(*worker).submit", bounds: 8},
	{room: "internal/run", function: "(*worker).record", bounds: 8},
	{room: "internal/run", function: "(*worker).give", inlined: true, bounds: 2},
	{room: "internal/run", function: "(*opWindow).record"},
	{room: "internal/hist", function: "index", inlined: true},
	{room: "internal/hist", function: "(*Recorder).Record", bounds: 1},
	{room: "internal/kernel/clock", function: "(*Clock).Now"},
	{room: "internal/kernel/uring", function: "(*Ring).Room", inlined: true},
	{room: "internal/kernel/uring", function: "(*Ring).Next", inlined: true, bounds: 1},
	{room: "internal/kernel/uring", function: "(*Ring).Advance", inlined: true},
	{room: "internal/kernel/uring", function: "(*Ring).Ready", inlined: true},
	{room: "internal/kernel/uring", function: "(*Ring).Completion", inlined: true, bounds: 1},
	{room: "internal/kernel/uring", function: "(*Ring).Consume", inlined: true},
	{room: "internal/kernel/uring", function: "(*Ring).enter"},
	{room: "engine/uring", function: "(*Queue).Submit", bounds: 8},
	{room: "engine/uring", function: "(*Queue).Reap", bounds: 6},
	{room: "engine/null", function: "(*Queue).Submit", bounds: 3},
	{room: "engine/null", function: "(*Queue).Reap", bounds: 3},
}

// diagnostic is one line of the compiler's.
var diagnostic = regexp.MustCompile(`^(\S+\.go):(\d+):\d+: (.*)$`)

// TestTheCompilerKeepsTheHotPathCheap asks the compiler what it made of the hot functions. It knows the
// amd64 compiler's answers.
func TestTheCompilerKeepsTheHotPathCheap(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("the counts are those of amd64, this is %s", runtime.GOARCH)
	}
	cmd := exec.Command("go", "build", "./internal/fault")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Geteuid() == 0 {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		t.Skipf("needs go: this user cannot build anything here: %v", err)
	}
	rooms := map[string][]string{}
	for _, f := range hot {
		if rooms[f.room] == nil {
			rooms[f.room] = compile(t, f.room)
		}
	}
	for _, f := range hot {
		t.Run(f.room+" "+f.function, func(t *testing.T) {
			file, first, last := locate(t, f.room, f.function)
			bounds, inlined := 0, false
			for _, line := range rooms[f.room] {
				m := diagnostic.FindStringSubmatch(line)
				if m == nil || filepath.Base(m[1]) != file {
					continue
				}
				n, err := strconv.Atoi(m[2])
				if err != nil || n < first || n > last {
					continue
				}
				switch text := m[3]; {
				case strings.HasPrefix(text, "Found Is"):
					bounds++
				case strings.HasPrefix(text, "can inline ") && n == first:
					inlined = true
				case strings.HasPrefix(text, "&errors."), strings.HasPrefix(text, "&fmt.wrapError"):
					// An error, made once.
				case strings.HasPrefix(text, "moved to heap"), strings.HasSuffix(text, "escapes to heap"):
					t.Errorf("line %d: %s", n, text)
				}
			}
			if bounds > f.bounds {
				t.Errorf("%d bounds checks, at most %d are needed", bounds, f.bounds)
			}
			if f.inlined && !inlined {
				t.Error("the compiler does not inline it any more")
			}
		})
	}
}

// compile returns what the compiler says about inlining, escapes and bounds checks in a package.
func compile(t *testing.T, room string) []string {
	t.Helper()
	cmd := exec.Command("go", "build", "-gcflags=-m -d=ssa/check_bce", "./"+room)
	cmd.Dir = "../.."
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out.Bytes())
	}
	var lines []string
	for sc := bufio.NewScanner(&out); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	if len(lines) == 0 {
		t.Fatalf("%v says nothing", cmd.Args)
	}
	return lines
}

// locate returns the file and the lines of a function, written as "name", "T.name" or "(*T).name".
func locate(t *testing.T, room, function string) (file string, first, last int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("../..", room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && spell(fn) == function {
				return filepath.Base(name), fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
			}
		}
	}
	t.Fatalf("%s has no function %s", room, function)
	return "", 0, 0
}

func spell(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	switch r := fn.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		if id, ok := r.X.(*ast.Ident); ok {
			return "(*" + id.Name + ")." + fn.Name.Name
		}
	case *ast.Ident:
		return r.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}
