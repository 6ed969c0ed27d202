package analytics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func open(t *testing.T, dir string) (*journal, []item, uint64) {
	t.Helper()
	j, items, next, err := openJournal(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return j, items, next
}

// crash lets a journal's folder go as the end of the process would.
func crash(t *testing.T, j *journal) {
	t.Helper()
	if err := errors.Join(j.file.Close(), j.lock.Unlock()); err != nil {
		t.Fatal(err)
	}
}

func itemNumber(t *testing.T, seq uint64, payload string) *item {
	t.Helper()
	it, err := newItem(&Event{UserID: int64(seq), Type: "view", Payload: map[string]any{"a": payload}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	it.seq = seq
	return &it
}

// journals lists a folder's files.
func journals(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+journalSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestJournalAgainstAList adds, settles and crashes at random, and finds after each crash what isn't settled.
func TestJournalAgainstAList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 2))
		dir := t.TempDir()
		j, items, next := open(t, dir)
		if len(items) != 0 || next != 1 {
			t.Fatalf("an empty folder has %d events, the next is %d", len(items), next)
		}
		pending := map[uint64]string{} // ids
		for range 300 {
			switch random.IntN(10) {
			case 0:
				crash(t, j)
				var after uint64
				j, items, after = open(t, dir)
				next = after
				for i := range items {
					if seq := items[i].seq; pending[seq] != items[i].id || seq >= next {
						t.Fatalf("seed %d: event %d was settled, or the next is no later: %d", seed, seq, next)
					}
				}
				if len(items) != len(pending) || !slices.IsSortedFunc(items, func(a, b item) int { return int(a.seq) - int(b.seq) }) {
					t.Fatalf("seed %d: recovered %v, want %d", seed, seqs(items), len(pending))
				}
			case 1, 2:
				var some []uint64
				for seq := range pending {
					if random.IntN(2) == 0 {
						some = append(some, seq)
						delete(pending, seq)
					}
				}
				slices.Sort(some)
				j.settle(some...)
			default:
				it := itemNumber(t, next, strings.Repeat("x", random.IntN(600)))
				j.size += int64(random.IntN(journalFileBytes / 4)) // files fill sooner
				j.add(it)
				pending[next] = it.record().ID
				next++
			}
		}
		var rest []uint64
		for seq := range pending {
			rest = append(rest, seq)
		}
		slices.Sort(rest)
		j.settle(rest...)
		if err := j.close(); err != nil {
			t.Error(err)
		}
		if left := journals(t, dir); len(left) > 0 {
			t.Errorf("seed %d: files are left: %v", seed, left)
		}
	}
}

// TestJournalCutAnywhere cuts a file at every byte, as a process that is killed in a write may leave it.
func TestJournalCutAnywhere(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	j, _, _ := open(t, whole)
	for seq := uint64(1); seq <= 4; seq++ {
		j.add(itemNumber(t, seq, "é\n"))
	}
	j.settle(2, 3)
	j.add(itemNumber(t, 5, ""))
	crash(t, j)
	text, err := os.ReadFile(journals(t, whole)[0])
	if err != nil {
		t.Fatal(err)
	}
	for length := range len(text) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(journals(t, whole)[0])), text[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		want := 0
		for line := range bytes.Lines(text[:length]) {
			switch {
			case !bytes.HasSuffix(line, newline):
			case line[0] == '+':
				want++
			default:
				want -= 2
			}
		}
		j, items, next := open(t, dir)
		if len(items) != want {
			t.Fatalf("cut at byte %d: %d events, want %d", length, len(items), want)
		}
		// What is written then is not glued to the line that is cut.
		j.add(itemNumber(t, next, "new"))
		crash(t, j)
		j, items, _ = open(t, dir)
		if len(items) != want+1 || items[len(items)-1].seq != next {
			t.Fatalf("cut at byte %d: then %v", length, seqs(items))
		}
		crash(t, j)
	}
}

func TestJournalSkipsWhatItCantRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := `{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","user_id":1,"event_type":"a","timestamp":1690000000}`
	lines := []string{"", "+", "+x {}", "+1 {}", "+2 {", "*3 1", "-4", "-5 4", "-6 99999999999", "+7 " + good, "\x00\x00\x00"}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", 1, journalSuffix)), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a note"+journalSuffix), []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	j, items, next, err := openJournal(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer crash(t, j)
	if len(items) != 1 || items[0].seq != 7 || next != 8 {
		t.Errorf("recovered %v, the next is %d", seqs(items), next)
	}
	if warnings := strings.Count(log.String(), "level=WARN"); warnings != len(lines)-1 {
		t.Errorf("%d warnings, want %d:\n%s", warnings, len(lines)-1, log.String())
	}
	if strings.Contains(log.String(), "1690000000") {
		t.Error("the log has an event in it")
	}
}

func TestJournalIsForOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := Options{URL: "http://nowhere.example", QueueDir: dir, Logger: quiet, HTTPClient: noServer()}
	first, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(options); err == nil || !strings.Contains(err.Error(), dir+" is in use") {
		t.Errorf("a second client: %v", err)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Error(err)
	}
	second, err := New(options)
	if err != nil {
		t.Fatalf("after the first is closed: %v", err)
	}
	if err := second.Close(context.Background()); err != nil {
		t.Error(err)
	}
	// A folder that can't be made.
	options.QueueDir = filepath.Join(dir, lockName, "queue")
	if _, err := New(options); err == nil || !strings.Contains(err.Error(), "QueueDir") {
		t.Errorf("a folder that can't be made: %v", err)
	}
}

// TestJournalWithoutADisk goes on in memory when nothing can be written.
func TestJournalWithoutADisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	j, _, _, err := openJournal(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	working := j.file
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	j.add(itemNumber(t, 1, ""))
	j.file = full
	j.add(itemNumber(t, 2, ""))
	j.add(itemNumber(t, 3, ""))
	j.file = working
	j.add(itemNumber(t, 4, ""))
	crash(t, j)
	j, items, _ := open(t, dir)
	defer crash(t, j)
	if !slices.Equal(seqs(items), []uint64{1, 4}) {
		t.Errorf("on disk are %v", seqs(items))
	}
	if text := log.String(); strings.Count(text, "can't be written") != 1 || strings.Count(text, "can be written again") != 1 {
		t.Errorf("the log says:\n%s", text)
	}
}

// noServer refuses every connection.
func noServer() *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, errors.New("connection refused")
	})}
}
