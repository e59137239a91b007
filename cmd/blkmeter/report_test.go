package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blkmeter/blkmeter/internal/fault"
	"github.com/blkmeter/blkmeter/report"
	"github.com/blkmeter/blkmeter/report/reporttest"
)

// reportCommand runs the report command and returns what it printed.
func reportCommand(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &bytes.Buffer{}, env: func(string) string { return "" }}
	cmd := newReportCommand(a)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.Execute()
	return stdout.String(), err
}

func TestReportCommand(t *testing.T) {
	dir := t.TempDir()
	saved := filepath.Join(dir, "result.json")
	if err := report.Save(saved, reporttest.Result()); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		prefix string
	}{
		"text":       {[]string{saved}, "blkmeter 1.2.3"},
		"two texts":  {[]string{saved, saved}, "blkmeter 1.2.3"},
		"json":       {[]string{"--format=json", saved}, "{\n  \"schema\": \"blkmeter.result/1\""},
		"stdin":      {[]string{"--format=json", "-"}, "{\n  \"schema\": \"blkmeter.result/1\""},
		"fio-json":   {[]string{"--format=fio-json", saved}, "{\n  \"fio version\" : \"fio-3.42\""},
		"fio-json+":  {[]string{"--format=fio-json+", saved}, "{\n  \"fio version\""},
		"fio-terse":  {[]string{"--format=fio-terse", "--terse-version=5", saved}, "5;fio-3.42;oltp;"},
		"fio-normal": {[]string{"--format=fio-normal", saved}, "oltp: (g=0): rw=randrw"},
		"fio's list": {[]string{"--format=fio-json,fio-terse", saved}, "3;fio-3.42;oltp;"},
	} {
		out, err := reportCommand(t, string(document), c.args...)
		if err != nil || !strings.HasPrefix(out, c.prefix) {
			t.Errorf("%s: %.60q, %v; want %q first", name, out, err, c.prefix)
		}
	}
	if out, err := reportCommand(t, string(document), "--format=json", "-"); err != nil || out != string(document) {
		t.Errorf("json is not what was saved: %v", err)
	}

	output := filepath.Join(dir, "out.txt")
	out, err := reportCommand(t, "", "--output="+output, saved)
	if err != nil || out != "" {
		t.Errorf("with --output, stdout holds %q, %v", out, err)
	}
	if text, err := os.ReadFile(output); err != nil || !bytes.HasPrefix(text, []byte("blkmeter")) {
		t.Errorf("the file holds %.40q, %v", text, err)
	}
}

func TestReportCommandRefuses(t *testing.T) {
	dir := t.TempDir()
	saved, other := filepath.Join(dir, "result.json"), filepath.Join(dir, "other.json")
	if err := report.Save(saved, reporttest.Result()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, []byte(`{"fio version":"fio-3.42"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code string
	}{
		"nothing":         {nil, "NO_RESULT"},
		"no file":         {[]string{filepath.Join(dir, "missing")}, "RESULT_UNREADABLE"},
		"another's JSON":  {[]string{other}, "NOT_A_RESULT"},
		"one bad":         {[]string{saved, other}, "NOT_A_RESULT"},
		"two as json":     {[]string{"--format=json", saved, saved}, "ONE_RESULT"},
		"unknown format":  {[]string{"--format=xml", saved}, "BAD_FORMAT"},
		"unknown fio's":   {[]string{"--format=fio-xml", saved}, "BAD_FORMAT"},
		"mixed list":      {[]string{"--format=fio-json,text", saved}, "BAD_FORMAT"},
		"terse version 6": {[]string{"--format=fio-terse", "--terse-version=6", saved}, "BAD_FLAG"},
		"a bad output":    {[]string{"--output=" + dir, saved}, "OUTPUT_FAILED"},
	} {
		out, err := reportCommand(t, "", c.args...)
		if e := fault.Of(err); err == nil || e.Code != c.code || out != "" {
			t.Errorf("%s: %v, printed %.40q; want %s", name, err, out, c.code)
		}
	}
}
