package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

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
	// Compared is how many results were compared with another one and were the same.
	Compared int      `json:"results_compared"`
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
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return "" // it is no reason to measure nothing
	}
	load, err := fs.LoadAvg()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.2f %.2f %.2f", load.Load1, load.Load5, load.Load15)
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
	fmt.Fprintf(&b, "\n%d results compared with another one, all of them the same\n", d.Compared)
	return b.String()
}

// markdown is the page; results names the file with every figure.
func (d *document) markdown(results string) string {
	p := &report.Page{}
	p.Line("<!-- Made by `make load-queries`: change test/load/queries, not this. -->")
	p.Line("# Queries: what they cost\n")
	if !d.Meaningful {
		p.Line("> **These figures mean nothing.** They come from a quick run, which only shows that the program works.\n")
	}
	p.Line("Made with `%s` in %s on %s, at commit %s. Every figure and statement is in `%s` after a run. What was tried and decided is in [queries-tried.md](queries-tried.md).\n",
		d.Command, time.Duration(d.Seconds)*time.Second, d.Started.Format("2006-01-02"), report.Commit(d.Commit, d.Dirty), results)
	s := &d.Settings
	p.Line("%d events (large) and %d (small) over 90 days until %s, in 50 types and of (skewed) %d users, from `test/load/data` with seed %d, sent with `analytics import`, counts rolled up. Everything ran on one machine. What is compared took turns, in %d rounds; the figures are medians of the rounds' medians, with their range in brackets. Queries go through HTTP, hand-written SQL through an open session of the product's own driver; of several ways to write it the quickest counts, and each gave the product's result.\n",
		s.Count, s.Small, time.Unix(s.End, 0).UTC().Format(time.RFC3339), s.Users, s.Seed, s.Rounds)
	p.Line("\"The slice\" is one type with 5.9 %% of the events over 30 days. **%d results were compared** with another one (hand-written SQL, the other store), and were the same.\n", d.Compared)
	table := d.table()
	p.Table(table[0], table[1:])
	p.Facts(d.Machine.Facts(d.Settings.Postgres, "load average before: "+d.LoadAverage))
	d.times(p)
	d.sql(p)
	return strings.TrimRight(p.String(), "\n") + "\n"
}

// times lists how long each party took.
func (d *document) times(p *report.Page) {
	p.Line("## Times\n")
	p.Line("In milliseconds. Statements marked with ` loose` take `1` for `\"1\"`.\n")
	var rows [][]string
	for i := range d.Figures {
		f := &d.Figures[i]
		for _, m := range f.Parties {
			label := m.Label
			if m.Loose {
				label += " `loose`"
			}
			rows = append(rows, []string{
				f.Name, f.Store, label, report.Number(report.Median(m.Rounds)),
				report.Number(slices.Min(m.Rounds)) + " to " + report.Number(slices.Max(m.Rounds)),
			})
		}
	}
	p.Table([]string{"", "store", "party", "median", "range"}, rows)
}

// sql lists the quickest hand-written statements.
func (d *document) sql(p *report.Page) {
	p.Line("## Hand-written SQL\n")
	p.Line("The quickest of each.\n")
	for i := range d.Figures {
		f := &d.Figures[i]
		for _, m := range f.Parties {
			if m.Label == f.Against && m.SQL != "" {
				p.Line("%s, %s (%s):\n\n```sql\n%s\n```\n", f.Store, f.Name, m.Label, m.SQL)
			}
		}
	}
}
