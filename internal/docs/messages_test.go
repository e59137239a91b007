// Package docs keeps the pages of docs that follow from the code true to it.
package docs

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// update writes the pages anew: go test ./internal/docs -update.
var update = flag.Bool("update", false, "write docs/warnings.md and docs/errors.md anew")

const root = "../.."

const warningsHead = `# Warnings

A figure can be right and mislead all the same. Where blkmeter sees that, the Result holds a warning with a code,
a sentence and a hint; the text shows it and stderr repeats it. A warning never changes the exit code.

This list is made from the code: ` + "`go test ./internal/docs -update`" + ` writes it anew, and a test holds it true. "…" stands for
what differs from case to case.

| code | says | hint |
|---|---|---|
`

const errorsHead = `# Errors

A run that does not end well says so on stderr with a code in square brackets, a sentence, and a hint; the exit code is
that of the table in the [README](../README.md#exit-codes). Errors that ended a run which had begun are in its Result,
too; those without an exit code here take that of what they happened to.

This list is made from the code: ` + "`go test ./internal/docs -update`" + ` writes it anew, and a test holds it true. "…" stands for
what differs from case to case.

| code | exit | says | hint |
|---|---|---|---|
`

// message is one place in the code that tells a user something.
type message struct{ code, exit, says, hint string }

func (m message) warning() string {
	return fmt.Sprintf("| `%s` | %s | %s |\n", m.code, m.says, m.hint)
}

func (m message) failure() string {
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.code, m.exit, m.says, m.hint)
}

func TestPagesAreFresh(t *testing.T) {
	warnings, failures := messages(t)
	if len(warnings) < 5 || len(failures) < 20 {
		t.Fatalf("only %d warnings and %d errors found in the code: the search is broken", len(warnings), len(failures))
	}
	check(t, "docs/warnings.md", warningsHead, warnings, message.warning)
	check(t, "docs/errors.md", errorsHead, failures, message.failure)
}

func check(t *testing.T, page, head string, list []message, row func(message) string) {
	t.Helper()
	slices.SortFunc(list, func(a, b message) int {
		return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.exit, b.exit), cmp.Compare(a.says, b.says), cmp.Compare(a.hint, b.hint))
	})
	var want bytes.Buffer
	want.WriteString(head)
	for _, m := range slices.Compact(list) {
		want.WriteString(row(m))
	}
	path := filepath.Join(root, page)
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is stale: run go test ./internal/docs -update", page)
	}
}

// messages finds every warning and error in the code.
func messages(t *testing.T) (warnings, failures []message) {
	t.Helper()
	fset := token.NewFileSet()
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path != root && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	exits := exitCodes(t)
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if strings.HasSuffix(dir, "reporttest") {
			continue // samples
		}
		f := finder{exits: exits, params: map[string][]string{
			"New": {"exit", "code", "hint", "format"}, "Wrap": {"err", "exit", "code", "hint", "format"}, "Usage": {"code", "hint", "format"},
		}}
		for _, file := range packages[dir] {
			f.learn(file)
		}
		for _, file := range packages[dir] {
			ast.Inspect(file, f.visit)
		}
		warnings, failures = append(warnings, f.warnings...), append(failures, f.failures...)
	}
	return warnings, failures
}

// finder collects the messages of one package.
type finder struct {
	exits    map[string]int
	params   map[string][]string // of functions that take a code: what their parameters are
	warnings []message
	failures []message
}

// learn notes the package's own functions called warn, whose parameters differ in order.
func (f *finder) learn(file *ast.File) {
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "warn" {
			continue
		}
		var names []string
		for _, field := range fn.Type.Params.List {
			for _, n := range field.Names {
				names = append(names, n.Name)
			}
		}
		f.params["warn"] = names
	}
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		f.call(n)
	case *ast.CompositeLit:
		f.literal(n)
	case *ast.FuncDecl:
		f.table(n)
	}
	return true
}

// call reads fault.New and its like, and warn.
func (f *finder) call(c *ast.CallExpr) {
	var name string
	switch fun := c.Fun.(type) {
	case *ast.SelectorExpr:
		pkg, _ := fun.X.(*ast.Ident)
		if fun.Sel.Name != "warn" && (pkg == nil || pkg.Name != "fault") {
			return
		}
		name = fun.Sel.Name
	case *ast.Ident:
		name = fun.Name
	}
	parts := map[string]ast.Expr{}
	for i, param := range f.params[name] {
		if i < len(c.Args) {
			parts[param] = c.Args[i]
		}
	}
	f.add(name == "warn", parts)
}

// literal reads Warning{...} and Error{...}.
func (f *finder) literal(l *ast.CompositeLit) {
	name := ""
	switch typ := l.Type.(type) {
	case *ast.SelectorExpr:
		name = typ.Sel.Name
	case *ast.Ident:
		name = typ.Name
	}
	if name != "Warning" && name != "Error" {
		return
	}
	parts := map[string]ast.Expr{}
	for _, e := range l.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				parts[strings.ToLower(key.Name)] = kv.Value
			}
		}
	}
	f.add(name == "Warning", parts)
}

// table reads functions with the results code and hint.
func (f *finder) table(fn *ast.FuncDecl) {
	results := fn.Type.Results
	if results == nil || len(results.List) != 1 || len(results.List[0].Names) != 2 || results.List[0].Names[0].Name != "code" || fn.Body == nil {
		return
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 2 {
			// What explains the error of an I/O ends in the code of a failed I/O.
			exit := &ast.SelectorExpr{X: ast.NewIdent("fault"), Sel: ast.NewIdent("ExitIO")}
			f.add(false, map[string]ast.Expr{"code": r.Results[0], "hint": r.Results[1], "exit": exit})
		}
		return true
	})
}

var isCode = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

func (f *finder) add(warning bool, parts map[string]ast.Expr) {
	m := message{code: words(parts["code"]), hint: words(parts["hint"])}
	if !isCode.MatchString(m.code) {
		return
	}
	m.says = words(cmp.Or(parts["sentence"], parts["format"]))
	if exit, ok := parts["exit"].(*ast.SelectorExpr); ok {
		m.exit = strconv.Itoa(f.exits[exit.Sel.Name])
	} else if _, usage := parts["exit"]; !usage && parts["format"] != nil {
		m.exit = strconv.Itoa(f.exits["ExitUsage"]) // fault.Usage
	}
	if warning {
		f.warnings = append(f.warnings, m)
	} else {
		f.failures = append(f.failures, m)
	}
}

var verb = regexp.MustCompile(`%([-+# 0]*[0-9*]*(\.[0-9*]+)?[a-zA-Z]|%)`)

// words returns the text that an expression makes, with … for what is known only when the program runs.
func words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil || e.Kind != token.STRING {
			return "…"
		}
		text = verb.ReplaceAllStringFunc(text, func(v string) string {
			if v == "%%" {
				return "%"
			}
			return "…"
		})
		return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
	case *ast.BinaryExpr:
		return strings.ReplaceAll(words(e.X)+words(e.Y), "……", "…")
	case *ast.CallExpr:
		if fun, ok := e.Fun.(*ast.SelectorExpr); ok && fun.Sel.Name == "Sprintf" && len(e.Args) > 0 {
			return words(e.Args[0])
		}
	case nil:
		return ""
	}
	return "…"
}

// exitCodes reads the constants of internal/fault.
func exitCodes(t *testing.T) map[string]int {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal/fault/fault.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if lit, ok := v.Values[0].(*ast.BasicLit); ok && strings.HasPrefix(v.Names[0].Name, "Exit") {
				n, err := strconv.Atoi(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[v.Names[0].Name] = n
			}
		}
	}
	return codes
}

// The README's table of exit codes lists exactly those that the program has.
func TestExitCodesAreThoseOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(readme), "\n## Exit codes\n")
	if !ok {
		t.Fatal("README.md has no section on exit codes")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []int
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (.+) \|$`).FindAllStringSubmatch(table, -1) {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, n)
	}
	want := slices.Sorted(maps.Values(exitCodes(t)))
	if !slices.Equal(listed, want) {
		t.Errorf("README.md lists the exit codes %v; internal/fault has %v", listed, want)
	}
}

// Links from page to page lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// The architecture page names files and packages; each must be there.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:cmd|engine|workloads|report|internal|scripts|docs|tools|\\.ci)/[a-zA-Z0-9_./-]+)`")
	found := named.FindAllStringSubmatch(string(text), -1)
	if len(found) < 20 {
		t.Errorf("only %d files and packages are named", len(found))
	}
	for _, m := range found {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("docs/architecture.md names %s: %v", m[1], err)
		}
	}
}
