package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"highload.example/analytics/test/load/report"
)

// document is everything that a run found out.
type document struct {
	// Meaningful is false for a quick run.
	Meaningful  bool           `json:"meaningful"`
	Command     string         `json:"command"`
	Started     time.Time      `json:"started"`
	Seconds     float64        `json:"seconds"`
	Commit      string         `json:"commit"`
	Dirty       bool           `json:"dirty"`
	LoadAverage string         `json:"load_average"` // of the minutes before
	Machine     report.Machine `json:"machine"`
	Settings    settings       `json:"settings"`
	// Compared is how many answers were compared with another one and were the same.
	Compared int      `json:"answers_compared"`
	Figures  []figure `json:"figures"`
}

// settings are the flags, as they took effect.
type settings struct {
	Count    int      `json:"count"`
	Small    int      `json:"small"`
	Users    int      `json:"users"`
	Seed     uint64   `json:"seed"`
	End      int64    `json:"end"`
	Rounds   int      `json:"rounds"`
	Stores   []string `json:"stores"`
	Postgres []string `json:"postgres_settings"`
}

// loadAverage is how busy the machine was before.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "" // it is no reason to measure nothing
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func (d *document) json() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the figures: %w", err)
	}
	return append(text, '\n'), nil
}

// names are the figures in their order.
func (d *document) names() []string {
	var names []string
	for i := range d.Figures {
		if !slices.Contains(names, d.Figures[i].Name) {
			names = append(names, d.Figures[i].Name)
		}
	}
	return names
}

// figure returns that of a store, or nil.
func (d *document) figure(name, store string) *figure {
	for i := range d.Figures {
		if d.Figures[i].Name == name && d.Figures[i].Store == store {
			return &d.Figures[i]
		}
	}
	return nil
}

// table is the rows of the table of goals.
func (d *document) table() [][]string {
	header := []string{"", "goal"}
	for _, store := range d.Settings.Stores {
		header = append(header, store, "reached")
	}
	rows := [][]string{header}
	for _, name := range d.names() {
		row := []string{name, ""}
		for _, store := range d.Settings.Stores {
			f := d.figure(name, store)
			if f == nil {
				row = append(row, "", "")
				continue
			}
			row = append(row, f.text(), reached(f.Verdict))
			if goal := f.goal(); goal != "" {
				row[1] = goal
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func reached(v report.Verdict) string {
	switch v {
	case report.Reached:
		return "yes"
	case report.Missed:
		return "**no**"
	default:
		return ""
	}
}

// summary is the table for a terminal.
func (d *document) summary() string {
	var b strings.Builder
	if !d.Meaningful {
		b.WriteString("A quick run: THESE FIGURES MEAN NOTHING.\n\n")
	}
	rows := d.table()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, text := range row {
			widths[i] = max(widths[i], len([]rune(text)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, text := range row {
			line.WriteString(text + strings.Repeat(" ", widths[i]-len([]rune(text))+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	fmt.Fprintf(&b, "\n%d answers compared with another one, all of them the same\n", d.Compared)
	return b.String()
}

// page is a Markdown document in the making.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) table(rows [][]string) {
	p.line("| %s |", strings.Join(rows[0], " | "))
	p.line("| --- |%s", strings.Repeat(" ---: |", len(rows[0])-1))
	for _, row := range rows[1:] {
		p.line("| %s |", strings.Join(row, " | "))
	}
	p.line("")
}

// markdown is the page.
func (d *document) markdown() string {
	p := &page{}
	p.line("<!-- Made by `make load-questions`: change load/questions, not this. -->")
	p.line("# Questions: what they cost\n")
	if !d.Meaningful {
		p.line("> **These figures mean nothing.** They come from a quick run, which only shows that the program works.\n")
	}
	commit := "unknown"
	if d.Commit != "" {
		commit = "`" + d.Commit[:min(12, len(d.Commit))] + "`"
	}
	if d.Dirty {
		commit += " with changes that weren't committed"
	}
	p.line("Made with `cd load && %s` in %s on %s, at commit %s. What was tried and decided is in [questions-tried.md](questions-tried.md).\n",
		d.Command, time.Duration(d.Seconds)*time.Second, d.Started.Format("2006-01-02"), commit)
	s := &d.Settings
	p.line("%d events (large) and %d (small) over 90 days until %s, in 50 types and of (skewed) %d users, from `load/data` with seed %d, sent with `analytics import`, counts folded. Everything ran on one machine. What is compared took turns, in %d rounds; the figures are medians of the rounds' medians, with the range of those in brackets. Questions go through HTTP, SQL by hand through a session that is open, with the driver that the product has; of several ways to write it the quickest counts, and each gave the product's answer.\n",
		s.Count, s.Small, time.Unix(s.End, 0).UTC().Format(time.RFC3339), s.Users, s.Seed, s.Rounds)
	p.line("\"The slice\" is one type with 5.9 %% of the events over 30 days. **%d answers were compared** with another one (SQL by hand, the other store), and were the same.\n", d.Compared)
	p.table(d.table())
	d.machine(p)
	d.times(p)
	d.sql(p)
	return strings.TrimRight(p.String(), "\n") + "\n"
}

func (d *document) machine(p *page) {
	m := &d.Machine
	rows := [][]string{
		{"", ""},
		{"CPU", fmt.Sprintf("%s, %d of them; load average before: %s", m.CPU, m.CPUs, d.LoadAverage)},
		{"memory", fmt.Sprintf("%d MiB", m.MemoryMiB)},
		{"kernel", m.Kernel},
		{"databases on", m.FileSystem},
		{"Go", m.Go},
	}
	if m.Postgres != "" {
		rows = append(rows, []string{"PostgreSQL", m.Postgres + ", " + strings.Join(d.Settings.Postgres, " ")}, []string{"Redis", m.Redis})
	}
	p.line("| | |\n| --- | --- |")
	for _, row := range rows[1:] {
		p.line("| %s | %s |", row[0], row[1])
	}
	p.line("")
}

// times lists what everybody took.
func (d *document) times(p *page) {
	p.line("## Times\n")
	p.line("In milliseconds. Statements marked with ` loose` take `1` for `\"1\"`.\n")
	rows := [][]string{{"", "store", "who", "median", "range"}}
	for i := range d.Figures {
		f := &d.Figures[i]
		for _, m := range f.Parties {
			label := m.Label
			if m.Loose {
				label += " `loose`"
			}
			rows = append(rows, []string{
				f.Name, f.Store, label, number(median(m.Rounds)),
				number(slices.Min(m.Rounds)) + " to " + number(slices.Max(m.Rounds)),
			})
		}
	}
	p.table(rows)
}

// sql lists the quickest statements by hand.
func (d *document) sql(p *page) {
	p.line("## SQL by hand\n")
	p.line("The quickest of each; the others are in [questions.json](questions.json).\n")
	for i := range d.Figures {
		f := &d.Figures[i]
		for _, m := range f.Parties {
			if m.Label == f.Against && m.SQL != "" {
				p.line("%s, %s (%s):\n\n```sql\n%s\n```\n", f.Store, f.Name, m.Label, m.SQL)
			}
		}
	}
}
