package analytics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// journal is the queue on disk: files of lines that are only ever appended to.
//
//	+17 {"event_id":...}    event 17 was tracked
//	-17 23                  events 17 to 23 are settled
//
// A file is deleted when its events, and those of the files before it, are settled; the last one is emptied
// then. A process that begins leaves the files that it finds as they are and writes to a new one.
//
// Its methods but openJournal are called with the client's lock held. A disk that is full or broken makes the
// queue one in memory, and is logged: events are not refused for it.
type journal struct {
	dir    string
	logger *slog.Logger
	lock   *flock.Flock
	files  []journalFile // the oldest first; the last is the one that is written
	file   *os.File      // the last of files
	size   int64         // of it
	line   []byte        // a buffer
	failed bool          // the last write failed
}

// journalFile is a file with the events from first on.
type journalFile struct {
	path    string
	first   uint64
	pending int // events in it that aren't settled
}

const (
	lockName      = "lock"
	journalSuffix = ".journal"
	// A file is followed by another when it has this size.
	journalFileBytes = 4 << 20
)

// openJournal takes a folder and returns what isn't settled in it, and the number of the next event.
func openJournal(dir string, logger *slog.Logger) (*journal, []item, uint64, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, 0, fmt.Errorf("analytics: Options.QueueDir: %w", err)
	}
	j := &journal{dir: dir, logger: logger, lock: flock.New(filepath.Join(dir, lockName))}
	switch locked, err := j.lock.TryLock(); {
	case err != nil:
		return nil, nil, 0, fmt.Errorf("analytics: Options.QueueDir: %w", err)
	case !locked:
		return nil, nil, 0, fmt.Errorf("analytics: Options.QueueDir: %s is in use by another client; give each process a folder of its own", dir)
	}
	items, next, err := j.read()
	if n := len(j.files); err == nil && n > 0 {
		next = max(next, j.files[n-1].first+1) // whose last line may be cut off
	}
	if err == nil {
		err = j.begin(next)
	}
	if err != nil {
		_ = j.lock.Unlock() // the error is the other one
		return nil, nil, 0, fmt.Errorf("analytics: Options.QueueDir: %w", err)
	}
	return j, items, next, nil
}

// read reads the files that are there. It returns what isn't settled, and the number of the next event.
func (j *journal) read() (items []item, next uint64, err error) {
	paths, err := filepath.Glob(filepath.Join(j.dir, "*"+journalSuffix))
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(paths) // their names are numbers of one length
	next = 1
	pending := map[uint64]item{}
	for _, path := range paths {
		first, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), journalSuffix), 10, 64)
		if err != nil {
			continue // not one of ours
		}
		j.files = append(j.files, journalFile{path: path, first: first})
		last, err := j.readFile(path, pending)
		if err != nil {
			return nil, 0, err
		}
		next = max(next, first, last+1)
	}
	for seq, it := range pending {
		it.seq = seq
		items = append(items, it)
		j.fileOf(seq).pending++
	}
	slices.SortFunc(items, func(a, b item) int { return int(int64(a.seq - b.seq)) })
	return items, next, nil
}

// readFile applies a file's lines to the events that are pending, and returns the highest number in it.
func (j *journal) readFile(path string, pending map[uint64]item) (last uint64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewReaderSize(file, 1<<16)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return last, nil
		case errors.Is(err, io.EOF):
			err = errors.New("it is cut off")
		case err != nil:
			return 0, err
		default:
			var seq uint64
			seq, err = apply(bytes.TrimSuffix(line, newline), pending)
			last = max(last, seq)
		}
		if err != nil {
			j.logger.Warn("analytics: a line of the queue on disk can't be read and is skipped", "file", path, "line", number, "error", err)
		}
	}
}

// apply applies a line and returns the highest number in it.
func apply(line []byte, pending map[uint64]item) (uint64, error) {
	if len(line) == 0 {
		return 0, errors.New("it is empty")
	}
	number, rest, found := bytes.Cut(line[1:], []byte(" "))
	seq, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil || !found {
		return 0, errors.New("it has no number")
	}
	switch line[0] {
	case '+':
		it, err := parseItem(rest)
		if err != nil {
			return seq, err
		}
		pending[seq] = it
		return seq, nil
	case '-':
		last, err := strconv.ParseUint(string(rest), 10, 64)
		if err != nil || last < seq || last-seq >= maxBatchEvents {
			return seq, errors.New("it has no second number")
		}
		for ; seq <= last; seq++ {
			delete(pending, seq)
		}
		return last, nil
	}
	return seq, errors.New("it begins with neither + nor -")
}

// begin starts a new file, for the events from one on.
func (j *journal) begin(first uint64) error {
	path := filepath.Join(j.dir, fmt.Sprintf("%020d%s", first, journalSuffix))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // written already
	}
	j.file, j.size = file, 0
	j.files = append(j.files, journalFile{path: path, first: first})
	j.tidy()
	return nil
}

// fileOf returns the file of an event.
func (j *journal) fileOf(seq uint64) *journalFile {
	i, found := slices.BinarySearchFunc(j.files, seq, func(f journalFile, n uint64) int {
		switch {
		case f.first < n:
			return -1
		case f.first > n:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return &j.files[max(i, 0)]
}

// add writes an event.
func (j *journal) add(it *item) {
	if j.size >= journalFileBytes {
		j.report(j.begin(it.seq))
	}
	j.line = append(j.line[:0], '+')
	j.line = strconv.AppendUint(j.line, it.seq, 10)
	j.line = append(j.line, ' ')
	j.line = append(j.line, it.line...)
	j.line = append(j.line, '\n')
	j.write()
	j.files[len(j.files)-1].pending++
}

// settle writes that events are settled; their numbers grow.
func (j *journal) settle(seqs ...uint64) {
	if len(seqs) == 0 {
		return
	}
	j.line = j.line[:0]
	for i := 0; i < len(seqs); {
		first := seqs[i]
		last := first
		for i++; i < len(seqs) && seqs[i] == last+1; i++ {
			last++
		}
		j.line = append(j.line, '-')
		j.line = strconv.AppendUint(j.line, first, 10)
		j.line = append(j.line, ' ')
		j.line = strconv.AppendUint(j.line, last, 10)
		j.line = append(j.line, '\n')
	}
	j.write()
	for _, seq := range seqs {
		j.fileOf(seq).pending--
	}
	j.tidy()
}

// write appends the line. What is written in part is taken back: the next line must not be glued to it.
func (j *journal) write() {
	n, err := j.file.Write(j.line)
	if err != nil && n > 0 {
		err = errors.Join(err, j.file.Truncate(j.size))
		n = 0
	}
	j.size += int64(n)
	j.report(err)
}

// report logs that the disk stopped, or began, to work.
func (j *journal) report(err error) {
	switch {
	case err != nil && !j.failed:
		j.logger.Error("analytics: the queue on disk can't be written: events are in memory only", "error", err)
	case err == nil && j.failed:
		j.logger.Info("analytics: the queue on disk can be written again")
	}
	j.failed = err != nil
}

// tidy deletes files that nobody needs any more: a line that settles an event never stands in a file before the
// event's, so the first files may go, and no others.
func (j *journal) tidy() {
	for len(j.files) > 1 && j.files[0].pending == 0 {
		j.report(os.Remove(j.files[0].path))
		j.files = j.files[1:]
	}
	if len(j.files) == 1 && j.files[0].pending == 0 && j.size > 0 {
		j.report(j.file.Truncate(0))
		j.size = 0
	}
}

// close gives the folder back.
func (j *journal) close() error {
	err := j.file.Close()
	if last := j.files[len(j.files)-1]; len(j.files) == 1 && last.pending == 0 {
		err = errors.Join(err, os.Remove(last.path))
	}
	return errors.Join(err, j.lock.Unlock())
}
