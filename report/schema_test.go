package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/reporttest"
)

const schemaFile = "../docs/result.schema.json"

// TestSchemaIsFresh compares the published schema with the Go types and their comments;
// go test ./report -run TestSchemaIsFresh -update writes it anew.
func TestSchemaIsFresh(t *testing.T) {
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(resultSchema(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is stale: run go test ./report -run TestSchemaIsFresh -update", schemaFile)
	}
}

func TestResultsFollowTheSchema(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(r *report.Result, change func(map[string]any)) error {
		var doc bytes.Buffer
		if err := report.Write(&doc, r); err != nil {
			t.Fatal(err)
		}
		var value map[string]any
		if err := json.Unmarshal(doc.Bytes(), &value); err != nil {
			t.Fatal(err)
		}
		change(value)
		return resolved.Validate(value)
	}
	untouched := func(map[string]any) {}
	if err := validate(reporttest.Result(), untouched); err != nil {
		t.Errorf("a full result: %v", err)
	}
	if err := validate(&report.Result{Schema: report.Schema, Jobs: make([]report.Job, 1)}, untouched); err != nil {
		t.Errorf("an empty result: %v", err)
	}
	for name, change := range map[string]func(map[string]any){
		"without jobs":         func(v map[string]any) { delete(v, "jobs") },
		"with another schema":  func(v map[string]any) { v["schema"] = "blkmeter.result/2" },
		"with a text for ios":  func(v map[string]any) { v["jobs"].([]any)[0].(map[string]any)["read"] = "many" },
		"with a split integer": func(v map[string]any) { v["elapsed_ns"] = 1.5 },
	} {
		if err := validate(reporttest.Result(), change); err == nil {
			t.Errorf("a result %s passes", name)
		}
	}
}

// resultSchema infers the schema of Result: one definition per struct type, the comments of the source as
// descriptions. Properties that it does not know are allowed, since fields may be added to the format
// without a new name for it.
func resultSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	comments := readComments(t, "result.go", "explain.go", "watch.go", "../workloads/job.go")
	types := map[reflect.Type]*jsonschema.Schema{}
	collectStructs(reflect.TypeFor[report.Result](), types)
	// Stats is embedded: its fields are those of the structs around it.
	delete(types, reflect.TypeFor[report.Stats]())

	defs := map[string]*jsonschema.Schema{}
	for typ := range types {
		others := map[reflect.Type]*jsonschema.Schema{}
		for other, ref := range types {
			if other != typ {
				others[other] = ref
			}
		}
		s, err := jsonschema.ForType(typ, &jsonschema.ForOptions{TypeSchemas: others})
		if err != nil {
			t.Fatal(err)
		}
		tidy(s)
		s.Description = comments[typ.Name()]
		for _, f := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if p := s.Properties[name]; p != nil {
				owner := typ
				if len(f.Index) > 1 {
					owner = reflect.TypeFor[report.Stats]()
				}
				p.Description = comments[owner.Name()+"."+f.Name]
			}
		}
		defs[typ.Name()] = s
	}
	root := defs["Result"]
	delete(defs, "Result")
	var name any = report.Schema
	root.Properties["schema"].Const = &name
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "blkmeter result"
	root.Defs = defs
	return root
}

// collectStructs finds the struct types that typ reaches and maps each to a reference.
func collectStructs(typ reflect.Type, found map[reflect.Type]*jsonschema.Schema) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		collectStructs(typ.Elem(), found)
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() || found[typ] != nil {
			return
		}
		found[typ] = &jsonschema.Schema{Ref: "#/$defs/" + typ.Name()}
		for i := range typ.NumField() {
			collectStructs(typ.Field(i).Type, found)
		}
	}
}

// tidy allows additional properties, and says "null or this type" in the way references need.
func tidy(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	for _, p := range s.Properties {
		tidy(p)
	}
	tidy(s.Items)
	if s.Properties != nil {
		s.AdditionalProperties = nil
	}
	tidy(s.AdditionalProperties)
	if s.Ref != "" && s.Types != nil {
		s.AnyOf = []*jsonschema.Schema{{Type: "null"}, {Ref: s.Ref}}
		s.Ref, s.Types = "", nil
	}
}

// readComments returns the comments of the types ("Type") and fields ("Type.Field") in Go files, each in
// one line.
func readComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	add := func(name string, groups ...*ast.CommentGroup) {
		var text []string
		for _, g := range groups {
			text = append(text, strings.Fields(g.Text())...)
		}
		comments[name] = strings.Join(text, " ")
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(fmt.Errorf("parse %s: %w", file, err))
		}
		ast.Inspect(f, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range decl.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				add(typ.Name.Name, decl.Doc, typ.Doc)
				if s, ok := typ.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							add(typ.Name.Name+"."+name.Name, field.Doc, field.Comment)
						}
					}
				}
			}
			return true
		})
	}
	return comments
}
