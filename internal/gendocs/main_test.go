package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestJobfilePageIsFresh(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", jobfilePath))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, jobfile()) {
		t.Errorf("%s is stale; run go run ./internal/gendocs", jobfilePath)
	}
}
