package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Import sends a file of events.
type Import struct {
	Server
	File    string `arg:"" help:"JSON lines, plain or gzip; - is standard input."`
	Restart bool   `help:"Begin at the beginning, though a part was sent before."`
	Batch   int    `default:"1000" help:"Events per request, at most what the server takes."`
}

// Help is shown below the command's line.
func (*Import) Help() string {
	return `Each line is an event as POST /event takes it. One without an event_id gets one that follows from its text and its line, so that a file may be sent twice: events that are there are recognised.

A file that was interrupted goes on where it stopped; what was sent stands in FILE.progress until the end. Lines that break the contract are reported with their number, the others are sent, and the exit code is 1.

Example: analytics import events.ndjson.gz --url http://localhost:8000`
}

// imported is what becomes of a file.
type imported struct {
	env      *Env
	server   *Server
	progress *progress

	received, duplicate, rejected int64
}

// batch is the lines of one request.
type batch struct {
	lines  [][]byte
	number []int64 // of each, in the file
}

// Run sends the file.
func (c *Import) Run(ctx context.Context, env *Env) error {
	in, file, size, closeFile, err := c.open(env)
	if err != nil {
		return err
	}
	defer closeFile()
	skip := int64(0)
	if c.File != "-" && !c.Restart {
		if text, err := os.ReadFile(c.progressFile()); err == nil {
			if skip, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
				return fmt.Errorf("%s: not a number of lines: remove it, or use --restart", c.progressFile())
			}
			fmt.Fprintf(env.Stderr, "going on behind line %d of %s\n", skip, c.File)
		}
	}
	limit, err := c.limits(ctx)
	if err != nil {
		return err
	}
	do := &imported{env: env, server: &c.Server, progress: newProgress(env, "importing", size)}
	lines := bufio.NewReaderSize(in, 1<<20)
	var next batch
	var length int
	number := int64(0)
	send := func() error {
		if len(next.lines) == 0 {
			return nil
		}
		if err := do.send(ctx, next); err != nil {
			return err
		}
		do.progress.add(int64(len(next.lines)), file.bytes)
		next, length = batch{}, 0
		if c.File != "-" {
			return os.WriteFile(c.progressFile(), []byte(strconv.FormatInt(number, 10)+"\n"), 0o600)
		}
		return nil
	}
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			number++
			if text = bytes.TrimSpace(text); len(text) > 0 && number > skip {
				text = withID(text, number)
				if length+len(text) > limit.bytes && len(next.lines) > 0 {
					number--
					if err := send(); err != nil {
						return do.stopped(c, err)
					}
					number++
				}
				next.lines = append(next.lines, text)
				next.number = append(next.number, number)
				length += len(text) + 1
				if len(next.lines) == limit.events {
					if err := send(); err != nil {
						return do.stopped(c, err)
					}
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return do.stopped(c, fmt.Errorf("reading %s: %w", c.File, err))
		}
	}
	if err := send(); err != nil {
		return do.stopped(c, err)
	}
	if c.File != "-" {
		_ = os.Remove(c.progressFile()) // of an empty file there is none
	}
	fmt.Fprintf(env.Stdout, "%d received, %d there before, %d rejected (%s)\n", do.received, do.duplicate, do.rejected, do.progress.end())
	if do.rejected > 0 {
		return fmt.Errorf("%d of the %w; the others are stored", do.rejected, ErrRejected)
	}
	return nil
}

func (c *Import) progressFile() string { return c.File + ".progress" }

// stopped says how to go on.
func (i *imported) stopped(c *Import, err error) error {
	i.progress.end()
	if c.File == "-" {
		return fmt.Errorf("%w; send the same again: what is stored is recognised", err)
	}
	return fmt.Errorf("%w; the same command goes on where it stopped", err)
}

// open opens the file, and what it was compressed with. The size is that of the file, of
// which file counts what has been read; -1 when there is no telling.
func (c *Import) open(env *Env) (in io.Reader, file *counted, size int64, closeFile func(), err error) {
	file, size, closeFile = &counted{Reader: env.Stdin}, -1, func() {}
	if c.File != "-" {
		opened, err := os.Open(c.File)
		if err != nil {
			return nil, nil, 0, nil, err
		}
		closeFile = func() { _ = opened.Close() } // it was only read
		if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		file.Reader = opened
	}
	buffered := bufio.NewReaderSize(file, 64<<10)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			closeFile()
			return nil, nil, 0, nil, fmt.Errorf("%s: %w", c.File, err)
		}
		return unzipped, file, size, closeFile, nil
	}
	return buffered, file, size, closeFile, nil
}

type limits struct{ events, bytes int }

// limits asks the server what it takes, and is more modest with bytes.
func (c *Import) limits(ctx context.Context) (limits, error) {
	text, err := c.ask(ctx, http.MethodGet, "/limits", nil, nil)
	if err != nil {
		return limits{}, err
	}
	var answer struct {
		Events int `json:"max_batch_events"`
		Bytes  int `json:"max_batch_bytes"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Events < 1 || answer.Bytes < 1 {
		return limits{}, fmt.Errorf("%s/limits tells no limits: is it this product's server?", c.URL)
	}
	return limits{events: max(1, min(c.Batch, answer.Events)), bytes: answer.Bytes / 2}, nil
}

// withID adds an event_id to a line without one: a UUIDv8 (RFC 9562, section 5.8) of the
// SHA-256 of its number and text. What is no object is left as it is, for the server to reject.
func withID(text []byte, number int64) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil || members["event_id"] != nil {
		return text
	}
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, uint64(number)), text...))
	id := uuid.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	rest := bytes.TrimSpace(text[1:])
	comma := ","
	if rest[0] == '}' {
		comma = ""
	}
	return append([]byte(`{"event_id":"`+id.String()+`"`+comma), rest...)
}

// send sends a batch until every event of it is stored or rejected.
func (i *imported) send(ctx context.Context, b batch) error {
	for try := 0; ; try++ {
		again, err := i.attempt(ctx, b)
		if err == nil && len(again.lines) == 0 {
			return nil
		}
		var p *problem
		if ctx.Err() != nil || errors.As(err, &p) && !p.passing() {
			return err
		}
		if err == nil {
			b = again
		}
		if !pause(ctx, try, err, rand.N[time.Duration]) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// attempt sends a batch once, and returns the events that are to be sent again.
func (i *imported) attempt(ctx context.Context, b batch) (again batch, err error) {
	var body bytes.Buffer
	compressor := gzip.NewWriter(&body)
	_, err = compressor.Write(bytes.Join(b.lines, []byte("\n")))
	if err := errors.Join(err, compressor.Close()); err != nil {
		return batch{}, err
	}
	text, err := i.server.ask(ctx, http.MethodPost, "/events", nil, body.Bytes(), "Content-Type", "application/x-ndjson", "Content-Encoding", "gzip")
	var p *problem
	switch {
	case errors.As(err, &p) && p.Status == http.StatusUnprocessableEntity && len(p.Errors) > 0:
		// Every event of it breaks the contract.
		i.rejected += int64(len(b.lines))
		for _, e := range p.Errors {
			place, field, _ := strings.Cut(strings.TrimPrefix(e.Pointer, "/"), "/")
			if n, err := strconv.Atoi(place); err == nil && n < len(b.number) {
				i.report(b.number[n], "/"+field, e.Detail)
			}
		}
		return batch{}, nil
	case err != nil:
		return batch{}, err
	}
	var receipt struct {
		Received  int64 `json:"received"`
		Duplicate int64 `json:"duplicate"`
		Rejected  int64 `json:"rejected"`
		Results   []struct {
			Index  int    `json:"index"`
			Status string `json:"status"`
			Errors []struct {
				Pointer string `json:"pointer"`
				Detail  string `json:"detail"`
			} `json:"errors"`
		} `json:"results"`
	}
	if err := json.Unmarshal(text, &receipt); err != nil {
		return batch{}, fmt.Errorf("the server's receipt can't be read: %w", err)
	}
	i.received += receipt.Received
	i.duplicate += receipt.Duplicate
	i.rejected += receipt.Rejected
	for _, r := range receipt.Results {
		if r.Index >= len(b.lines) {
			continue
		}
		switch r.Status {
		case "retry":
			again.lines = append(again.lines, b.lines[r.Index])
			again.number = append(again.number, b.number[r.Index])
		case "rejected":
			for _, e := range r.Errors {
				i.report(b.number[r.Index], e.Pointer, e.Detail)
			}
		}
	}
	return again, nil
}

func (i *imported) report(number int64, pointer, detail string) {
	fmt.Fprintf(i.env.Stderr, "line %d: %s %s\n", number, pointer, detail)
}

// Export downloads events.
type Export struct {
	Server
	Selection
	Format string `enum:"ndjson,csv" default:"ndjson" help:"ndjson or csv."`
	Output string `short:"o" placeholder:"FILE" help:"Where to write them; without it standard output. A file that is there is gone on with."`
	Force  bool   `help:"Begin anew, though the file is there."`
}

// Help is shown below the command's line.
func (*Export) Help() string {
	return `Events are written the oldest first. With --output, an export that was interrupted goes on behind the last whole line of the file; a connection that breaks is made again by itself.

Example: analytics export --type purchase --from 30d --output purchases.ndjson`
}

// Run downloads the events.
func (c *Export) Run(ctx context.Context, env *Env) error {
	query, err := c.query(env.Now())
	if err != nil {
		return err
	}
	query.Set("format", c.Format)
	out := &exportFile{csv: c.Format == "csv", to: env.Stdout}
	if c.Output != "" {
		if err := out.open(c.Output, c.Force); err != nil {
			return err
		}
		if out.last != "" {
			fmt.Fprintf(env.Stderr, "going on behind %s\n", out.last)
		}
		defer func() { _ = out.file.Close() }()
	}
	expected := int64(-1)
	if out.last == "" {
		expected = c.expected(ctx, query)
	}
	shown := newProgress(env, "exporting", expected)
	for try := 0; ; try++ {
		before := out.lines
		err := c.stream(ctx, query, out, shown)
		if err == nil {
			break
		}
		var p *problem
		if ctx.Err() != nil || errors.As(err, &p) && !p.passing() || try >= 10 {
			shown.end()
			if c.Output != "" {
				return fmt.Errorf("%w; the same command goes on where it stopped", err)
			}
			return err
		}
		if out.lines > before {
			try = 0
		}
		if !pause(ctx, try, err, rand.N[time.Duration]) {
			return ctx.Err()
		}
	}
	fmt.Fprintf(env.Stderr, "%s\n", shown.end())
	if out.file != nil {
		return out.file.Sync()
	}
	return nil
}

// expected counts the events of a new export, where counts alone can tell: else, and where
// the server doesn't answer, it is -1, and the export shows no end.
func (c *Export) expected(ctx context.Context, query url.Values) int64 {
	if query.Has("filters") || query.Has("user_id") {
		return -1
	}
	question := map[string]any{"metric": "count", "from": firstTime, "to": lastTime}
	for _, name := range []string{"from", "to"} {
		if at, err := strconv.ParseInt(query.Get(name), 10, 64); err == nil {
			question[name] = at
		}
	}
	if t := query.Get("event_type"); t != "" {
		question["event_types"] = []string{t}
	}
	body, err := json.Marshal(question)
	if err != nil {
		return -1
	}
	text, err := c.ask(ctx, http.MethodPost, "/query", nil, body)
	if err != nil {
		return -1
	}
	var answer struct {
		Groups []struct {
			Value int64 `json:"value"`
		} `json:"groups"`
	}
	if json.Unmarshal(text, &answer) != nil || len(answer.Groups) != 1 {
		return -1
	}
	return answer.Groups[0].Value
}

// firstTime and lastTime are the ends of what the contract takes for a time.
const firstTime, lastTime = 946684800, 253402300800

// stream makes one request, from the last whole line on.
func (c *Export) stream(ctx context.Context, query url.Values, out *exportFile, shown *progress) error {
	if out.last != "" {
		query.Set("cursor", out.last)
	}
	response, err := c.open(ctx, http.MethodGet, "/events/export", query, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	lines := bufio.NewReaderSize(response.Body, 256<<10)
	header := out.csv
	for {
		text, err := lines.ReadBytes('\n')
		if err == nil {
			switch {
			case header && out.last != "": // the file has it
			case header:
				err = out.write(text)
			default:
				err = out.event(text)
				shown.add(1, shown.events+1)
			}
			header = false
			if err != nil {
				return err
			}
			continue
		}
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return nil
		}
		return fmt.Errorf("the connection broke: %w", err) // and half a line is dropped
	}
}

// exportFile is where events go, and remembers the last.
type exportFile struct {
	csv   bool
	to    io.Writer
	file  *os.File
	last  string // the last event's cursor
	lines int64
}

// open opens the file behind its last whole line.
func (f *exportFile) open(name string, anew bool) error {
	flags := os.O_RDWR | os.O_CREATE
	if anew {
		flags |= os.O_TRUNC
	}
	var err error
	if f.file, err = os.OpenFile(name, flags, 0o600); err != nil {
		return err
	}
	f.to = f.file
	lines := bufio.NewReaderSize(f.file, 1<<20)
	end := int64(0)
	for first := true; ; first = false {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !first || !f.csv {
			if f.last, err = f.cursor(text); err != nil {
				return fmt.Errorf("%s isn't an export of this format (%w): use --force to begin anew", name, err)
			}
		}
		end += int64(len(text))
	}
	if f.last == "" {
		end = 0
	}
	if err := f.file.Truncate(end); err != nil {
		return err
	}
	_, err = f.file.Seek(end, io.SeekStart)
	return err
}

// cursor returns a line's place in the order of events.
func (f *exportFile) cursor(text []byte) (string, error) {
	var l line
	if !f.csv {
		err := json.Unmarshal(text, &l)
		return l.cursor(), err
	}
	fields, err := csv.NewReader(bytes.NewReader(text)).Read()
	if err != nil || len(fields) < 4 {
		return "", errors.New("a line without the columns of an event")
	}
	return fields[2] + "_" + fields[3] + "_" + fields[0], nil
}

func (f *exportFile) write(text []byte) error {
	_, err := f.to.Write(text)
	return err
}

func (f *exportFile) event(text []byte) error {
	cursor, err := f.cursor(text)
	if err != nil {
		return fmt.Errorf("the server sent something that is no event: %w", err)
	}
	if err := f.write(text); err != nil {
		return err
	}
	f.last = cursor
	f.lines++
	return nil
}
