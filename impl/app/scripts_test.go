package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

const scripts = "../../docs/questions"

// TestQuestionsByExample sends what docs/questions shows, and compares the answers.
func TestQuestionsByExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts in %s, %v", len(files), scripts, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			blocks := readScript(t, file, string(text))
			onEach(t, func(t *testing.T, s *server) {
				for _, b := range blocks {
					b.run(t, s)
				}
			}, "RATE_LIMIT=0")
		})
	}
}

// block is a part of a script: events, or a request and its answer.
type block struct {
	place        string // for people
	events       string // as lines of JSON
	method, path string
	body         string
	status       int
	plan         string
	answer       string
}

// readScript reads a script; see docs/questions/README.md.
func readScript(t *testing.T, file, text string) (blocks []block) {
	t.Helper()
	number := 0
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		first := number + 1
		number += strings.Count(paragraph, "\n") + 2
		var lines []string
		for line := range strings.SplitSeq(strings.TrimRight(paragraph, "\n"), "\n") {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 {
			continue
		}
		b := block{place: filepath.Base(file) + ":" + strconv.Itoa(first)}
		if lines[0] == "events" {
			b.events = strings.Join(lines[1:], "\n")
			blocks = append(blocks, b)
			continue
		}
		var ok bool
		if b.method, b.path, ok = strings.Cut(lines[0], " "); !ok {
			t.Fatalf("%s: %q is no request", b.place, lines[0])
		}
		for i, line := range lines[1:] {
			result, ok := strings.CutPrefix(line, "-> ")
			if !ok {
				b.body += line
				continue
			}
			status, plan, _ := strings.Cut(result, " ")
			b.plan = plan
			b.answer = strings.Join(lines[i+2:], "\n")
			var err error
			if b.status, err = strconv.Atoi(status); err != nil {
				t.Fatalf("%s: %q is no status", b.place, status)
			}
			break
		}
		if b.status == 0 || b.answer == "" {
			t.Fatalf("%s: no answer is given", b.place)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func (b block) run(t *testing.T, s *server) {
	t.Helper()
	if b.events != "" {
		sent := len(strings.Split(b.events, "\n"))
		a := s.do(http.MethodPost, "/events", b.events, "Content-Type", "application/x-ndjson")
		if a.status != http.StatusAccepted || !strings.Contains(a.body, `{"received":`+strconv.Itoa(sent)+`,`) {
			t.Fatalf("%s: %d %s", b.place, a.status, a.body)
		}
		return
	}
	a := s.do(b.method, b.path, b.body)
	if a.status != b.status || a.header.Get("Query-Plan") != b.plan {
		t.Errorf("%s: %s %s was answered %d by %q, want %d by %q: %s", b.place, b.method, b.path, a.status, a.header.Get("Query-Plan"), b.status, b.plan, a.body)
		return
	}
	if !sameAnswer(t, a, b.answer) {
		t.Errorf("%s: %s %s was answered\n%s\nwant\n%s", b.place, b.method, b.path, a.body, b.answer)
	}
}

// sameAnswer compares JSON by its values, digit by digit, and other text by its bytes.
func sameAnswer(t *testing.T, a answer, want string) bool {
	t.Helper()
	if !strings.HasSuffix(a.header.Get("Content-Type"), "json") || strings.Contains(a.header.Get("Content-Type"), "ndjson") {
		return strings.TrimRight(a.body, "\n") == strings.TrimRight(want, "\n")
	}
	read := func(text string) (value any) {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		return value
	}
	return reflect.DeepEqual(read(a.body), read(want))
}
