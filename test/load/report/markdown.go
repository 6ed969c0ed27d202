package report

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteMarkdown writes the page. The handwritten file, if it is there, becomes the
// page's last section; the picture is linked to from where the page is; results is the name
// of the file with every figure.
func (d *Document) WriteMarkdown(file, picture, handwritten, results string) error {
	link, err := filepath.Rel(filepath.Dir(file), picture)
	if err != nil {
		return fmt.Errorf("linking to %s: %w", picture, err)
	}
	tried, err := os.ReadFile(handwritten)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("including what was tried: %w", err)
	}
	return WriteFile(file, []byte(d.markdown(filepath.ToSlash(link), string(tried), results)))
}

// beyond says where the rest is measured.
const beyond = "At 0.5 to 10 times saturation, with a database that is fast, slow and stopped: `make torture TORTURE=\"--mode overload\"` measures throughput, refusals, memory and recovery, and fails where a bound is broken."

func (d *Document) markdown(picture, tried, results string) string {
	p := &Page{}
	p.Line("<!-- Made by `make load`: change test/load or docs/benchmarks/tried.md, not this. -->")
	p.Line("# Benchmarks\n")
	if !d.Meaningful {
		p.Line("> **These figures mean nothing.** They come from a quick run, which only shows that the program works.\n")
	}
	p.Line("Made with `%s` in %s on %s, at commit %s. Every figure is in `%s` after a run.\n", d.Command, (time.Duration(d.Seconds) * time.Second), d.Started.Format("2006-01-02"), d.commit(), results)
	p.Line("%s\n", "Everything ran on one machine: the server, its databases and the program that sends. What is compared took turns in the same run, each time with a process of its own and an empty database; the figures are medians over the rounds, with their range in brackets.")
	if disturbed, all, most := d.disturbances(); disturbed > 0 {
		p.Line("> **Disturbed.** In %d of %d turns other programs, or other virtual machines, took more than %.0f %% of the CPUs, %.0f %% at most.\n", disturbed, all, Disturbance*100, most*100)
	}
	d.machine(p)
	d.goals(p)
	d.saturation(p)
	d.batches(p)
	d.rates(p, picture)
	p.Line("## Beyond saturation\n")
	p.Line("%s\n", beyond)
	d.audits(p)
	d.notThere(p)
	if tried = strings.TrimSpace(tried); tried != "" {
		p.Line("## What was tried and lost\n")
		p.Line("%s", tried)
	}
	return strings.TrimRight(p.String(), "\n") + "\n"
}

// disturbances returns how many turns others disturbed, how many there were, and
// the largest share of the CPUs that others took.
func (d *Document) disturbances() (disturbed, all int, most float64) {
	for _, phases := range [][]Phase{d.Saturation, d.Batches, d.Rates} {
		for i := range phases {
			all++
			most = max(most, phases[i].OthersCPU)
			if phases[i].OthersCPU > Disturbance {
				disturbed++
			}
		}
	}
	return disturbed, all, most
}

// Page is a Markdown document in the making.
type Page struct{ strings.Builder }

// Line adds a line.
func (p *Page) Line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// Table adds a table with numbers to the right of the first column.
func (p *Page) Table(header []string, rows [][]string) {
	p.Line("| %s |", strings.Join(header, " | "))
	p.Line("| --- |%s", strings.Repeat(" ---: |", len(header)-1))
	for _, row := range rows {
		p.Line("| %s |", strings.Join(row, " | "))
	}
	p.Line("")
}

// Commit shows a revision.
func Commit(commit string, dirty bool) string {
	if commit == "" {
		return "unknown"
	}
	text := "`" + commit[:min(12, len(commit))] + "`"
	if dirty {
		text += " with changes that weren't committed"
	}
	return text
}

func (d *Document) commit() string {
	text := Commit(d.Commit, d.Dirty)
	if d.Settings.GivenBinary {
		text += " (of the load program; the product's program was given and may be another)"
	}
	return text
}

// Facts adds a table of names and values.
func (p *Page) Facts(rows [][2]string) {
	p.Line("| | |\n| --- | --- |")
	for _, row := range rows {
		p.Line("| %s | %s |", row[0], row[1])
	}
	p.Line("")
}

// Facts are the rows that describe the machine, with PostgreSQL's settings and more about
// the processors. Without a version there is no PostgreSQL.
func (m *Machine) Facts(postgres []string, processors ...string) [][2]string {
	cpu := append([]string{fmt.Sprintf("%s, %d of them", m.CPU, m.CPUs)}, processors...)
	rows := [][2]string{
		{"CPU", strings.Join(cpu, "; ")},
		{"memory", fmt.Sprintf("%d MiB", m.MemoryMiB)},
		{"kernel", m.Kernel},
		{"databases on", m.FileSystem},
		{"Go", m.Go},
	}
	if m.Postgres != "" {
		rows = append(rows, [2]string{"PostgreSQL", m.Postgres + ", " + strings.Join(postgres, " ")}, [2]string{"Redis", m.Redis})
	}
	return rows
}

func (d *Document) machine(p *Page) {
	s := &d.Settings
	p.Facts(append(d.Machine.Facts(s.Postgres), [][2]string{
		{"rate limit", s.RateLimit + " per minute: the limiter works and rejects nothing"},
		{"events", fmt.Sprintf("150 to 200 bytes, %d users, 50 types of Zipf's popularity, sent up to %.0f s after they happened, each with a UUIDv7 as SDKs make them", s.Users, s.Spread)},
		{"saturation", fmt.Sprintf("%d connections, each sends when it has its response; %g s after %g s of warm-up, %d rounds", s.Connections, s.Duration, s.WarmUp, s.Rounds)},
	}...))
}

func (d *Document) goals(p *Page) {
	p.Line("## Goals\n")
	header := []string{"goal", "reach", "better"}
	for _, label := range d.labels() {
		if label == "" {
			label = "this build"
		}
		header = append(header, label, "verdict")
	}
	var rows [][]string
	for i := range d.Goals {
		g := &d.Goals[i]
		better := ""
		if g.Better != nil {
			better = g.bound(*g.Better)
		}
		row := []string{g.Name, g.bound(g.Goal), better}
		for _, label := range d.labels() {
			m := g.Measured[label]
			value := ""
			if m.Rounds > 0 {
				value = Number(m.Value)
			}
			if m.Rounds > 1 {
				value += fmt.Sprintf(" (%s to %s)", Number(m.Low), Number(m.High))
			}
			row = append(row, value, string(m.Verdict))
		}
		rows = append(rows, row)
	}
	p.Table(header, rows)
}

// bound says what a goal asks for.
func (g *Goal) bound(v float64) string {
	sign := "≥ "
	switch {
	case g.Goal == 0:
		sign = ""
	case g.Below:
		sign = "≤ "
	}
	return strings.TrimSpace(sign + Number(v) + " " + g.Unit)
}

// Number writes a figure with about three digits.
func Number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.01 || v <= -0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// spread returns the median of a figure with its range.
func spread(phases []Phase, subject string, figure func(*Phase) (float64, bool)) string {
	values := slices.Collect(maps.Values(collect(phases, subject, figure)))
	switch len(values) {
	case 0:
		return ""
	case 1:
		return Number(values[0])
	}
	return fmt.Sprintf("%s (%s to %s)", Number(Median(values)), Number(slices.Min(values)), Number(slices.Max(values)))
}

func middle(phases []Phase, subject string, figure func(*Phase) (float64, bool)) string {
	values := slices.Collect(maps.Values(collect(phases, subject, figure)))
	if len(values) == 0 {
		return ""
	}
	return Number(Median(values))
}

// names returns the subjects of some phases in the order of their first turn.
func names(phases []Phase) []string {
	var all []string
	for i := range phases {
		if !slices.Contains(all, phases[i].Subject) {
			all = append(all, phases[i].Subject)
		}
	}
	return all
}

func latency(of func(Percentiles) float64) func(*Phase) (float64, bool) {
	return func(p *Phase) (float64, bool) { return of(p.Latency), true }
}

func cpu(of func(CPU) *float64) func(*Phase) (float64, bool) {
	return func(p *Phase) (float64, bool) {
		if v := of(p.CPU); v != nil {
			return *v, true
		}
		return 0, false
	}
}

// figures are the columns that every table of phases has.
var figures = []struct {
	header string
	of     func(*Phase) (float64, bool)
}{
	{"p50 ms", latency(func(p Percentiles) float64 { return p.P50 })},
	{"p90", latency(func(p Percentiles) float64 { return p.P90 })},
	{"p95", latency(func(p Percentiles) float64 { return p.P95 })},
	{"p99", latency(func(p Percentiles) float64 { return p.P99 })},
	{"p99.9", latency(func(p Percentiles) float64 { return p.P999 })},
	{"max", latency(func(p Percentiles) float64 { return p.Max })},
	{"server µs", cpu(func(c CPU) *float64 { return c.Server })},
	{"PostgreSQL µs", cpu(func(c CPU) *float64 { return c.Postgres })},
	{"Redis µs", cpu(func(c CPU) *float64 { return c.Redis })},
	{"generator µs", cpu(func(c CPU) *float64 { return c.Generator })},
}

func (d *Document) phaseTable(p *Page, phases []Phase) {
	header := []string{"", "events/s"}
	for _, f := range figures {
		header = append(header, f.header)
	}
	var rows [][]string
	for _, name := range names(phases) {
		row := []string{name, spread(phases, name, throughput)}
		for _, f := range figures {
			row = append(row, middle(phases, name, f.of))
		}
		rows = append(rows, append(row, statusesOf(phases, name)))
	}
	p.Table(append(header, "statuses"), rows)
}

// statusesOf sums the statuses of a subject's phases.
func statusesOf(phases []Phase, subject string) string {
	sum := map[string]int64{}
	for i := range phases {
		if phases[i].Subject == subject {
			for status, n := range phases[i].Statuses {
				sum[status] += n
			}
		}
	}
	return statuses(sum)
}

// statuses lists them, those other than 202 with their share.
func statuses(all map[string]int64) string {
	var total int64
	for _, n := range all {
		total += n
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(all)) {
		text := fmt.Sprintf("%s: %d", status, all[status])
		if status != "202" {
			text += fmt.Sprintf(" (%s %%)", Number(100*float64(all[status])/float64(total)))
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func (d *Document) saturation(p *Page) {
	if len(d.Saturation) == 0 {
		return
	}
	p.Line("## Single events, as fast as it goes\n")
	p.Line("`POST /event`. The columns in µs are CPU time per event: of the server's process, of all processes of PostgreSQL, of Redis, and of the program that sends. All of them share the CPUs.\n")
	d.phaseTable(p, d.Saturation)
}

func (d *Document) batches(p *Page) {
	if len(d.Batches) == 0 {
		return
	}
	p.Line("## Batches\n")
	p.Line("`POST /events` with %d events each over %d connections, next to pgx alone: a loop that runs the product's own statement on %d connections. Latency is that of a batch.\n",
		d.Settings.Batch, d.Settings.BatchConnections, d.Settings.Writers)
	d.phaseTable(p, d.Batches)
}

// atFraction returns the phases at one rate.
func atFraction(phases []Phase, fraction float64) []Phase {
	var all []Phase
	for i := range phases {
		if phases[i].Fraction == fraction {
			all = append(all, phases[i])
		}
	}
	return all
}

func (d *Document) rates(p *Page, picture string) {
	if len(d.Rates) == 0 {
		return
	}
	p.Line("## Single events at fixed rates\n")
	p.Line("%s\n", "Events become due at a fixed rate, whether or not the server keeps up. Latency counts from the moment at which an event was due: where no connection was free, the wait counts. Rates are shares of each subject's own saturation.")
	p.Line("![Throughput and latency over the offered rate](%s)\n", picture)
	for _, name := range names(d.Rates) {
		p.Line("### %s\n", name)
		header := []string{"share", "offered/s", "events/s"}
		for _, f := range figures {
			header = append(header, f.header)
		}
		var rows [][]string
		for _, fraction := range d.Settings.Fractions {
			at := atFraction(d.Rates, fraction)
			row := []string{
				strconv.FormatFloat(fraction, 'g', -1, 64),
				middle(at, name, func(p *Phase) (float64, bool) { return p.Offered, true }), middle(at, name, throughput),
			}
			for _, f := range figures {
				row = append(row, middle(at, name, f.of))
			}
			rows = append(rows, append(row, statusesOf(at, name)))
		}
		p.Table(append(header, "statuses"), rows)
	}
}

func (d *Document) audits(p *Page) {
	if len(d.Audits) == 0 {
		return
	}
	p.Line("## Was everything stored?\n")
	p.Line("%s\n", "After each turn the events are read back from the database and compared with the record of what was sent, and `GET /stats` of every type is summed. An event without a response, or with a 5xx, may be stored or not.")
	type sum struct{ turns, correct, sent, accepted, stored, undecided, defects int64 }
	sums := map[string]*sum{}
	var order []string
	for i := range d.Audits {
		a := &d.Audits[i]
		key := a.Part + ", " + a.Subject
		s := sums[key]
		if s == nil {
			s = &sum{}
			sums[key] = s
			order = append(order, key)
		}
		f := &a.Findings
		s.turns++
		if a.Correct {
			s.correct++
		}
		s.sent += f.Sent
		s.accepted += f.Accepted
		s.stored += f.StoredRows
		s.undecided += f.FailedStored + f.UnknownStored
		s.defects += f.Lost + f.Doubled + f.NeverSent + f.RefusedStored + f.Altered
	}
	var rows [][]string
	for _, key := range order {
		s := sums[key]
		row := []string{key}
		for _, n := range []int64{s.turns, s.correct, s.sent, s.accepted, s.stored, s.undecided, s.defects} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	p.Table([]string{"", "turns", "all right", "events sent", "accepted", "rows", "of these without a 202", "lost, doubled, altered or never sent"}, rows)
}

func (d *Document) notThere(p *Page) {
	if len(d.NotThere) == 0 {
		return
	}
	p.Line("## Not there\n")
	for _, n := range d.NotThere {
		p.Line("- %s, %s: %s", n.Subject, n.Part, n.Reason)
	}
	p.Line("")
}
