package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"highload.example/analytics/internal/harness"
)

var exportAll = request{method: http.MethodGet, path: "/events/export"}

// copyAll is an export of everything as PostgreSQL would make it, line by line what the product
// sends, and in no order.
const copyAll = `COPY (SELECT row_to_json(r) FROM (
	SELECT e.user_id, e.event_type, extract(epoch FROM e.occurred_at)::bigint AS timestamp, e.event_id, e.payload FROM events e
) r) TO STDOUT`

// selectAll is the same for SQLite, which has no COPY, and in order, which costs it nothing.
const selectAll = `SELECT json_object('user_id', user_id, 'event_type', event_type, 'timestamp', occurred_at, 'event_id', hex(event_id),
	'payload', json(payload)) FROM events ORDER BY occurred_at, event_id, user_id`

// export measures an export of everything next to hand-written SQL, and the memory that it takes.
func (x *experiment) export(ctx context.Context, dbs *databases) (err error) {
	if err := x.compareExports(ctx, dbs); err != nil {
		return err
	}
	s, err := dbs.large.openSession(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var peaks, growths []float64
	product := func(ctx context.Context) error {
		first, second, err := dbs.large.exportWithPeaks(ctx)
		peaks, growths = append(peaks, max(first, second)), append(growths, second/first)
		return err
	}
	bySQL, name := func(ctx context.Context) error { return countLines(dbs.large.count, copyOut(ctx, s)) }, "COPY (SELECT row_to_json(…)) TO STDOUT"
	if dbs.store == sqlite {
		bySQL, name = func(ctx context.Context) error { return dbs.large.selectOut(ctx, s) }, "SELECT json_object(…) ORDER BY …"
	}
	// One is enough for a turn: it takes its time.
	medians, err := takeTurns(ctx, []party{{"the product", product}, {name, bySQL}}, x.options.Rounds, 1)
	if err != nil {
		return err
	}
	f := figure{
		Name: "throughput of an export of everything / `COPY … TO STDOUT` as JSON", Store: dbs.store, Against: name,
		Parties: []measured{{Label: "the product", Rounds: medians[0]}, {Label: name, SQL: fill(selectAll), Rounds: medians[1]}},
	}
	if dbs.store == postgres {
		f.Goal, f.Parties[1].SQL = bound(0.7), fill(copyAll)
	} else {
		f.Name = "throughput of an export of everything / `SELECT json_object(…)`"
	}
	f.ratio(medians[1], medians[0]) // of throughput, not of time
	perSecond := figure{Name: "throughput of an export of everything", Store: dbs.store, Unit: "events/s"}
	var rates []float64
	for _, ms := range medians[0] {
		rates = append(rates, float64(dbs.large.count)/ms*1000)
	}
	perSecond.values(rates)
	peak := figure{Name: "memory of the server at most (VmHWM) during that", Store: dbs.store, Unit: "MiB", Below: true}
	peak.values(peaks)
	growth := figure{Name: "the same, second half of an export / first half", Store: dbs.store, Below: true, Goal: bound(constantMemory)}
	growth.values(growths)
	x.found(&f, &perSecond, &peak, &growth)
	if dbs.postgres == nil {
		return nil
	}
	return errors.Join(
		x.explain(ctx, dbs, "export (the product, of the small database)", true, func(ctx context.Context) error {
			return dbs.small.exportLines(ctx, func(int) error { return nil })
		}),
		x.explain(ctx, dbs, "export (hand-written)", true, bySQL))
}

// constantMemory is how much more the second half of an export may take at most than the
// first, of what doesn't grow: the garbage collector makes more or less of it.
const constantMemory = 1.25

// exportLines exports everything and says how many lines have come, each time that some
// have, and fails unless it was all.
func (d *deployment) exportLines(ctx context.Context, come func(lines int) error) error {
	response, err := d.send(ctx, exportAll)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	buffer := make([]byte, 256<<10)
	lines := 0
	for {
		n, err := response.Body.Read(buffer)
		lines += bytes.Count(buffer[:n], []byte{'\n'})
		if err := come(lines); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the export: %w", err)
		}
	}
	return allThere(lines, d.count)
}

func allThere(lines, want int) error {
	if lines != want {
		return fmt.Errorf("%d events came, not %d", lines, want)
	}
	return nil
}

// exportWithPeaks exports everything and returns the most memory that the server had in the first
// half of it, and in the second, in MiB.
func (d *deployment) exportWithPeaks(ctx context.Context) (first, second float64, err error) {
	peak := func() (float64, error) {
		_, most, err := harness.Memory(d.product.PID())
		return float64(most) / (1 << 20), errors.Join(err, harness.ResetPeak(d.product.PID()))
	}
	if _, err := peak(); err != nil {
		return 0, 0, err
	}
	half := false
	err = d.exportLines(ctx, func(lines int) (err error) {
		if !half && lines >= d.count/2 {
			half = true
			first, err = peak()
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	second, err = peak()
	return first, second, err
}

// copyOut returns a function that copies everything out to where it is told to.
func copyOut(ctx context.Context, s session) func(io.Writer) error {
	return func(to io.Writer) error {
		if _, err := s.(*postgresSession).conn.PgConn().CopyTo(ctx, to, fill(copyAll)); err != nil {
			return fmt.Errorf("%s: %w", copyAll, err)
		}
		return nil
	}
}

// countLines fails unless so many are written.
func countLines(want int, write func(io.Writer) error) error {
	counted := new(lineTotal)
	if err := write(counted); err != nil {
		return err
	}
	return allThere(int(*counted), want)
}

// lineTotal counts lines.
type lineTotal int

func (l *lineTotal) Write(text []byte) (int, error) {
	*l += lineTotal(bytes.Count(text, []byte{'\n'}))
	return len(text), nil
}

// selectOut reads everything by hand-written SQL.
func (d *deployment) selectOut(ctx context.Context, s session) error {
	n := 0
	var text []byte
	err := s.query(ctx, fill(selectAll), nil, func(row scanner) error {
		n++
		return row(&text)
	})
	return errors.Join(err, allThere(n, d.count))
}

// compareExports compares the events of the small database: those that the product exports, those
// that SQL copies out, and those of the store before.
func (x *experiment) compareExports(ctx context.Context, dbs *databases) error {
	exported := &digest{}
	response, err := dbs.small.send(ctx, exportAll)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if err := exported.read(response.Body, func(line []byte) []byte { return line }); err != nil {
		return err
	}
	if exported.lines != dbs.small.count {
		return allThere(exported.lines, dbs.small.count)
	}
	if dbs.store == postgres {
		copied, err := dbs.small.copied(ctx)
		if err != nil {
			return err
		}
		if *copied != *exported {
			return errors.New("THE EXPORT DIFFERS from what SQL copies out")
		}
		x.document.Compared++
	}
	if x.exported != nil {
		if *x.exported != *exported {
			return errors.New("THE STORES DIFFER in what they export")
		}
		x.document.Compared++
	}
	x.exported = exported
	return nil
}

// copied is what SQL copies out. COPY writes a backslash as two.
func (d *deployment) copied(ctx context.Context) (_ *digest, err error) {
	s, err := openPostgresSession(ctx, d.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var text bytes.Buffer
	if err := copyOut(ctx, s)(&text); err != nil {
		return nil, err
	}
	copied := &digest{}
	err = copied.read(&text, func(line []byte) []byte { return bytes.ReplaceAll(line, []byte(`\\`), []byte(`\`)) })
	return copied, err
}

// digest is the same for the same events in any order, with the members of their payloads in any
// order.
type digest struct {
	lines int
	sum   [4]uint64
}

// read adds lines, each as JSON.
func (d *digest) read(from io.Reader, decode func([]byte) []byte) error {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if err := d.add(decode(line)); err != nil {
			return err
		}
	}
}

func (d *digest) add(line []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var event map[string]any
	if err := decoder.Decode(&event); err != nil {
		return fmt.Errorf("an exported line, %.200q: %w", line, err)
	}
	if event["payload"] == nil {
		delete(event, "payload")
	}
	var text strings.Builder
	if err := json.NewEncoder(&text).Encode(event); err != nil {
		return fmt.Errorf("an exported line, %.200q: %w", line, err)
	}
	hash := sha256.Sum256([]byte(text.String()))
	for i, part := range slices.Collect(slices.Chunk(hash[:], 8)) {
		d.sum[i] += binary.LittleEndian.Uint64(part)
	}
	d.lines++
	return nil
}
