// Package rooms holds the rules of the house to its code: which package may import which, and what none of
// them does. docs/architecture.md tells why. The rules are data at the top of this file; a new package needs
// a line there, so that somebody decides where it belongs.
package rooms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/blkmeter/blkmeter"

// floors gives every room its floor; a room is a package together with those below it in the directory tree
// that have no line of their own. A room imports only from floors below its own.
var floors = map[string]int{
	"cmd":              5,
	"scripts":          5,
	"internal/gendocs": 5,

	"internal/claims": 4,
	"internal/suite":  4,

	"internal/run":       3,
	"internal/lockbench": 3,
	"internal/inspect":   3,
	"internal/explain":   3,
	"internal/watch":     3,

	"engine":    2,
	"workloads": 2,
	"report":    2,

	"internal/device":  1,
	"internal/nullblk": 1,
	"internal/testlab": 1,

	"internal/kernel":  0,
	"internal/fault":   0,
	"internal/hist":    0,
	"internal/stats":   0,
	"internal/units":   0,
	"internal/prose":   0,
	"internal/journal": 0,

	// These hold tests only.
	"internal/docs":  5,
	"internal/rooms": 5,
}

// neighbours lists the imports between packages of one floor that are wanted, each with its reason. That a
// package imports the one above it in the tree, its room's contract, needs no line.
var neighbours = map[string]map[string]string{
	"workloads":         {"workloads/iolog": "a job that replays a log has the kind and sizes of its I/Os"},
	"report":            {"workloads": "a Result tells the resolved jobs and their warnings in the plan's words"},
	"report/fio":        {"workloads": "fio's formats echo job options"},
	"report/fiolog":     {"workloads": "what is logged is an option of the job", "report/fio": "histogram logs have fio's bins"},
	"report/text":       {"workloads": "directions and their names"},
	"report/reporttest": {"workloads": "a sample Result needs a sample job"},

	"internal/nullblk": {"internal/device": "the name and number of a device that was made"},

	"internal/run": {
		"internal/explain": "the conductor runs the explain pass",
		"internal/watch":   "the conductor starts and stops the watch",
	},

	"engine/psync":  {"engine/target": "an engine is handed an open target"},
	"engine/aio":    {"engine/target": "an engine is handed an open target", "engine/psync": "what native AIO cannot do is done inside Submit"},
	"engine/uring":  {"engine/target": "an engine is handed an open target", "engine/psync": "what io_uring cannot do is done inside Submit"},
	"engine/shared": {"engine/lock": "the lock in front of the shared queue"},
	"engine/catalog": {
		"engine/target": "which engine is best depends on the target",
		"engine/psync":  "the catalog makes queues by name",
		"engine/aio":    "the catalog makes queues by name",
		"engine/uring":  "the catalog makes queues by name",
		"engine/null":   "the catalog makes queues by name",
	},
}

// helpers are the packages that only tests import, whatever their floor.
var helpers = []string{"internal/testlab", "report/reporttest"}

// rawRoom is the only room that may import these.
const rawRoom = "internal/kernel"

var rawImports = []string{"unsafe", "golang.org/x/sys/unix"}

// mutableGlobals lists the package-level variables that may change, each with its reason.
var mutableGlobals = map[string]string{}

// source is one parsed file.
type source struct {
	name string // path from the repository's root
	room string // its directory
	test bool
	ast  *ast.File
}

// sources parses every Go file of the module.
func sources(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	const root = "../.."
	fset := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || base == "tools" || strings.HasPrefix(base, ".") && name != root {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, rel, text, parser.SkipObjectResolution)
		all = append(all, source{name: rel, room: filepath.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), ast: file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(all))
	}
	return fset, all
}

// floorOf returns the floor of a package.
func floorOf(pkg string) (int, bool) {
	for room := pkg; room != "."; room = path.Dir(room) {
		if floor, ok := floors[room]; ok {
			return floor, true
		}
	}
	return 0, false
}

// within says whether pkg is room or below it in the tree.
func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func importsOf(f *ast.File) []string {
	var paths []string
	for _, i := range f.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func TestRoomsImportOnlyFromBelow(t *testing.T) {
	_, files := sources(t)
	used := map[string]bool{}
	for _, f := range files {
		floor, ok := floorOf(f.room)
		if !ok {
			t.Errorf("%s: the package has no floor; give it a line in internal/rooms", f.name)
			continue
		}
		for _, imported := range importsOf(f.ast) {
			pkg, ours := strings.CutPrefix(imported, module+"/")
			if !ours || pkg == f.room {
				continue
			}
			if slices.Contains(helpers, pkg) {
				if !f.test && !slices.Contains(helpers, f.room) {
					t.Errorf("%s imports %s, which is for tests only", f.name, pkg)
				}
				continue
			}
			below, ok := floorOf(pkg)
			_, neighbour := neighbours[f.room][pkg]
			if neighbour {
				used[f.room+" "+pkg] = true
			}
			switch {
			case !ok:
				t.Errorf("%s imports %s, which has no floor", f.name, pkg)
			case floor > below, within(f.room, pkg), neighbour:
			case f.test && floor == below:
				// A test may look at its neighbours.
			default:
				t.Errorf("%s (floor %d) imports %s (floor %d)", f.name, floor, pkg, below)
			}
		}
	}
	for from, to := range neighbours {
		if !slices.ContainsFunc(files, func(f source) bool { return f.room == from }) {
			continue // a room of another build of the house
		}
		for pkg := range to {
			if !used[from+" "+pkg] {
				t.Errorf("the exception for %s importing %s is not needed", from, pkg)
			}
		}
	}
}

func TestRawImportsStayInTheKernelRoom(t *testing.T) {
	_, files := sources(t)
	for _, f := range files {
		for _, imported := range importsOf(f.ast) {
			if slices.Contains(rawImports, imported) && !within(f.room, rawRoom) {
				t.Errorf("%s imports %s, which only %s may", f.name, imported, rawRoom)
			}
		}
	}
}

// TestNobodyLeavesOrPrints forbids what takes decisions away from main: ending the process, writing to the
// process's streams, and code that runs before main.
func TestNobodyLeavesOrPrints(t *testing.T) {
	fset, files := sources(t)
	for _, f := range files {
		if f.test {
			continue
		}
		command := f.ast.Name.Name == "main"
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: func init", fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				pkg, ok := n.X.(*ast.Ident)
				if !ok {
					return true
				}
				at := fset.Position(n.Pos())
				switch name := pkg.Name + "." + n.Sel.Name; {
				case name == "os.Exit" && !(command && path.Base(f.name) == "main.go"):
					t.Errorf("%s: os.Exit outside main.go", at)
				case strings.HasPrefix(name, "fmt.Print") && !command:
					t.Errorf("%s: %s prints to the process's stdout", at, name)
				case (name == "os.Stdout" || name == "os.Stderr" || name == "os.Stdin") && !command:
					t.Errorf("%s: %s belongs to the command", at, name)
				case strings.HasPrefix(name, "log.") && slices.Contains(importsOf(f.ast), "log"):
					t.Errorf("%s: %s: return an error instead", at, name)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
					t.Errorf("%s: the built-in %s", fset.Position(n.Pos()), id.Name)
				}
			}
			return true
		})
	}
}

// TestNoPackageLevelStateChanges finds package-level variables that anything assigns to, takes the address
// of, or that are of a type made to be changed. What remains are tables and errors, which nobody changes.
func TestNoPackageLevelStateChanges(t *testing.T) {
	fset, files := sources(t)
	rooms := map[string][]*ast.File{}
	for _, f := range files {
		if !f.test && !slices.Contains(helpers, f.room) {
			rooms[f.room] = append(rooms[f.room], f.ast)
		}
	}
	found := map[string]bool{}
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		for name, why := range mutations(fset, rooms[room]) {
			name = room + "." + name
			found[name] = true
			if mutableGlobals[name] == "" {
				t.Errorf("%s is package-level state: %s", name, why)
			}
		}
	}
	for name := range mutableGlobals {
		if !found[name] {
			t.Errorf("the exception for %s is not needed", name)
		}
	}
}

// mutations returns the package-level variables of a package that change, with how.
func mutations(fset *token.FileSet, files []*ast.File) map[string]string {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	// Imports need not resolve: only which name means which variable of this package matters.
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	pkg, _ := conf.Check("", fset, files, info)
	changed := map[string]string{}
	global := func(e ast.Expr) string {
		for {
			switch x := e.(type) {
			case *ast.ParenExpr:
				e = x.X
			case *ast.IndexExpr:
				e = x.X
			case *ast.StarExpr:
				e = x.X
			case *ast.SelectorExpr:
				e = x.X
			case *ast.Ident:
				if v, ok := info.Uses[x].(*types.Var); ok && v.Parent() == pkg.Scope() {
					return v.Name()
				}
				return ""
			default:
				return ""
			}
		}
	}
	note := func(e ast.Expr, how string) {
		if name := global(e); name != "" {
			changed[name] = fmt.Sprintf("%s at %s", how, fset.Position(e.Pos()))
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if v, ok := d.(*ast.GenDecl); ok && v.Tok == token.VAR {
				for _, s := range v.Specs {
					noteChangeable(s.(*ast.ValueSpec), changed)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					note(to, "assigned to")
				}
			case *ast.IncDecStmt:
				note(n.X, "counted")
			case *ast.RangeStmt:
				note(n.Key, "assigned to")
				note(n.Value, "assigned to")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X, "address taken")
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
					note(n.Args[0], id.Name)
				}
			}
			return true
		})
	}
	return changed
}

// noteChangeable notes variables declared with a type of packages sync and sync/atomic, or without a value.
func noteChangeable(s *ast.ValueSpec, changed map[string]string) {
	for _, name := range s.Names {
		if sel, ok := s.Type.(*ast.SelectorExpr); ok {
			if p, ok := sel.X.(*ast.Ident); ok && (p.Name == "sync" || p.Name == "atomic") {
				changed[name.Name] = "it is a " + p.Name + "." + sel.Sel.Name
			}
		}
		if s.Values == nil && name.Name != "_" && changed[name.Name] == "" {
			changed[name.Name] = "it has no value to begin with"
		}
	}
}

// nothing is an importer that knows no package.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	return types.NewPackage(path, path[strings.LastIndex(path, "/")+1:]), nil
}

// TestTheRulesFindOffenders makes sure that the finders above find something.
func TestTheRulesFindOffenders(t *testing.T) {
	const text = `package p
import "sync"
var once sync.Once
var empty []int
var counter = 0
var table = []int{1, 2}
var list = []int{1}
var shadowed = 1
var pointed = 1
func f() *int {
	counter++
	list[0] = 2
	shadowed := 2
	shadowed = table[0]
	_ = shadowed
	return &pointed
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(mutations(fset, []*ast.File{f})))
	if want := []string{"counter", "empty", "list", "once", "pointed"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if floor, ok := floorOf("internal/kernel/uring"); !ok || floor != 0 {
		t.Errorf("internal/kernel/uring is on floor %d, %v", floor, ok)
	}
	if _, ok := floorOf("nowhere"); ok {
		t.Error("a package without a line has a floor")
	}
}
