package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/blkmeter/blkmeter/internal/testlab"
	"github.com/blkmeter/blkmeter/internal/units"
	"github.com/blkmeter/blkmeter/report"
)

// TestMain makes the test binary stand in for blkmeter when it is called by that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"blkmeter": main})
}

// TestStories runs what users do, and what they get, as told in testdata/script. Beside the commands of
// testscript there are:
//
//	require NEED...                    skip, or fail, without these (testlab.Require)
//	exits CODE PROGRAM [ARG...]        run the program, which must end with exactly that exit code
//	loop VAR SIZE [WORD...]            attach a loop device, its path in $VAR, its name in $VAR_NAME and its file
//	                                   in $VAR_FILE; words: 4096 (block size), direct, tmpfs, readonly
//	tmpfs DIR SIZE                     mount a file system of that size in memory
//	truncate FILE SIZE                 make the file that long
//	result FILE STATUS [PATH=VALUE...] the file ("stdout": what the last command printed) must be one valid
//	                                   Result with that status, and in its JSON, at each path, such as
//	                                   jobs.0.read.ios, that value; PATH>0 asks for a positive number
//
// and the condition [command:NAME]: this blkmeter has that command.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Deadline:            time.Now().Add(4 * time.Minute), // far more than all of them take: one hangs
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["t"] = env.T().(testing.TB)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			name, ok := strings.CutPrefix(cond, "command:")
			if !ok {
				return false, fmt.Errorf("unknown condition %s", cond)
			}
			cmd, _, err := newRootCommand(&app{}).Find([]string{name})
			return err == nil && cmd.Name() == name, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"require": func(ts *testscript.TestScript, _ bool, needs []string) {
				testlab.Require(ts.Value("t").(testing.TB), needs...)
			},
			"exits":    exits,
			"loop":     attachLoop,
			"tmpfs":    mountTmpfs,
			"truncate": truncate,
			"result":   checkResult,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func attachLoop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: loop VAR SIZE [4096|direct|tmpfs|readonly...]")
	}
	size := sizeOf(ts, args[1])
	o := testlab.LoopOptions{SizeBytes: size}
	for _, word := range args[2:] {
		switch word {
		case "4096":
			o.SectorBytes = 4096
		case "direct":
			o.DirectIO = true
		case "tmpfs":
			o.Tmpfs = true
		case "readonly":
			o.ReadOnly = true
		default:
			ts.Fatalf("unknown word %q", word)
		}
	}
	dev := testlab.Loop(ts.Value("t").(testing.TB), o)
	ts.Setenv(args[0], dev.Path)
	ts.Setenv(args[0]+"_NAME", dev.Name)
	ts.Setenv(args[0]+"_FILE", dev.Backing)
}

func mountTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+args[1]))
	ts.Defer(func() { ts.Check(syscall.Unmount(dir, syscall.MNT_DETACH)) })
}

func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	size := sizeOf(ts, args[1])
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|os.O_CREATE, 0o600)
	ts.Check(err)
	ts.Check(errors.Join(f.Truncate(size), f.Close()))
}

// sizeOf reads a size as fio writes it: 8m.
func sizeOf(ts *testscript.TestScript, text string) int64 {
	q, err := units.ParseQuantity(text, 1024)
	ts.Check(err)
	return q.Value
}

func checkResult(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: result FILE STATUS [PATH=VALUE...]")
	}
	text := ts.ReadFile(args[0])
	doc, err := validResult([]byte(text))
	if err != nil {
		ts.Fatalf("%v in:\n%.2000s", err, text)
	}
	for _, want := range append([]string{"status=" + args[1]}, args[2:]...) {
		path, value, equal := strings.Cut(want, "=")
		if !equal {
			path = strings.TrimSuffix(want, ">0")
		}
		got, err := lookUp(doc, path)
		if err != nil {
			ts.Fatalf("%v", err)
		}
		n, isNumber := got.(float64)
		if equal && fmt.Sprint(got) != value && !(isNumber && strconv.FormatFloat(n, 'f', -1, 64) == value) {
			ts.Fatalf("%s is %v, want %s", path, got, value)
		}
		if !equal && n <= 0 {
			ts.Fatalf("%s is %v, want a positive number", path, got)
		}
	}
}

// validResult checks that text is one document, a Result that report can load and that follows the
// published schema, and returns it as JSON values.
func validResult(text []byte) (any, error) {
	if _, err := report.Load(strings.NewReader(string(text))); err != nil {
		return nil, err
	}
	published, err := os.ReadFile(filepath.Join("..", "..", "docs", "result.schema.json"))
	if err != nil {
		return nil, err
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(published, &schema); err != nil {
		return nil, err
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	return doc, resolved.Validate(doc)
}

// lookUp follows a path such as jobs.0.read.ios through JSON values. "len" is an array's length.
func lookUp(doc any, path string) (any, error) {
	for name := range strings.SplitSeq(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[name]
			if !ok {
				return nil, fmt.Errorf("%s: there is no %q", path, name)
			}
			doc = next
		case []any:
			if name == "len" {
				doc = float64(len(v))
				continue
			}
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil, fmt.Errorf("%s: no element %q among %d", path, name, len(v))
			}
			doc = v[i]
		default:
			return nil, fmt.Errorf("%s: %q of %v", path, name, doc)
		}
	}
	return doc, nil
}
