package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"highload.example/analytics/test/load/dataset"
)

func TestPrintsEvents(t *testing.T) {
	t.Parallel()
	var c dataset.Config
	var output, stderr bytes.Buffer
	args := strings.Fields("--count 2000 --users=7 --seed 2 --end 2026-11-23T00:00:00Z")
	if code := program(&c, io.Discard).Execute(t.Context(), args, &output, &stderr); code != 0 {
		t.Fatal(code, stderr.String())
	}
	if c.Users != 7 || c.Types != 50 || c.Seed != 2 || !c.End.Equal(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", c)
	}
	if n := bytes.Count(output.Bytes(), []byte{'\n'}); n != c.Count {
		t.Errorf("%d lines", n)
	}
}

func TestInvalidFlags(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--count=0", "--end=soon", "--nonsense"} {
		var c dataset.Config
		if _, err := program(&c, io.Discard).Parse([]string{args}, io.Discard); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
