package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Query asks questions.
type Query struct {
	Types     Types     `cmd:"" help:"Every event type with its count."`
	Count     Count     `cmd:"" help:"Count the events of a type."`
	Series    Series    `cmd:"" help:"Count the events of a type over time."`
	Ask       Ask       `cmd:"" help:"Count, sum or rank events by any property."`
	Funnel    Funnel    `cmd:"" help:"How many users go all the way."`
	Retention Retention `cmd:"" help:"How many users come back."`
	Raw       Raw       `cmd:"" help:"Ask a question that is written as JSON."`
}

// Output says how an answer is shown.
type Output struct {
	JSON bool `name:"json" help:"Print the server's answer as it is."`
}

// show prints an answer, as a table unless it is to stay as it is.
func (o *Output) show(env *Env, text []byte, answer any, table func(w io.Writer)) error {
	if o.JSON {
		_, err := fmt.Fprintf(env.Stdout, "%s\n", text)
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// Types lists the types.
type Types struct {
	Server
	Output
	Prefix string `help:"Only the types that begin so."`
	Limit  int    `default:"100" help:"How many at most."`
}

// Run lists the types.
func (c *Types) Run(ctx context.Context, env *Env) error {
	query := url.Values{"limit": {strconv.Itoa(c.Limit)}}
	if c.Prefix != "" {
		query.Set("prefix", c.Prefix)
	}
	text, err := c.ask(ctx, http.MethodGet, "/stats", query, nil)
	if err != nil {
		return err
	}
	var answer struct {
		Types []struct {
			Type  string `json:"event_type"`
			Count int64  `json:"count"`
		} `json:"event_types"`
	}
	return c.show(env, text, &answer, func(w io.Writer) {
		for _, t := range answer.Types {
			fmt.Fprintf(w, "%s\t%d\n", t.Type, t.Count)
		}
	})
}

// Count counts a type.
type Count struct {
	Server
	Output
	Range
	Type string `arg:"" help:"The type to count."`
}

// Run counts the type.
func (c *Count) Run(ctx context.Context, env *Env) error {
	selection := Selection{Range: c.Range}
	query, err := selection.query(env.Now())
	if err != nil {
		return err
	}
	text, err := c.ask(ctx, http.MethodGet, "/stats/"+url.PathEscape(c.Type), query, nil)
	if err != nil {
		return err
	}
	var answer struct{ Count int64 }
	return c.show(env, text, &answer, func(w io.Writer) { fmt.Fprintln(w, answer.Count) })
}

// Series counts a type over time.
type Series struct {
	Server
	Output
	Range
	Type     string `arg:"" help:"The type to count."`
	Interval string `enum:"minute,hour,day,week,month" default:"day" help:"minute, hour, day, week or month."`
	TZ       string `name:"tz" default:"UTC" help:"Time zone, like Europe/Berlin."`
	Compare  bool   `help:"Show the period before, too."`
}

// Run counts the type.
func (c *Series) Run(ctx context.Context, env *Env) error {
	selection := Selection{Range: c.Range}
	query, err := selection.query(env.Now())
	if err != nil {
		return err
	}
	query.Set("interval", c.Interval)
	query.Set("tz", c.TZ)
	if c.Compare {
		query.Set("compare", "previous")
	}
	text, err := c.ask(ctx, http.MethodGet, "/stats/"+url.PathEscape(c.Type)+"/series", query, nil)
	if err != nil {
		return err
	}
	type point struct {
		Time    string
		Count   int64
		Partial bool
	}
	var answer struct {
		Points   []point
		Previous *struct{ Points []point }
	}
	return c.show(env, text, &answer, func(w io.Writer) {
		for i, p := range answer.Points {
			fmt.Fprintf(w, "%s\t%d", p.Time, p.Count)
			if answer.Previous != nil && i < len(answer.Previous.Points) {
				fmt.Fprintf(w, "\t%d", answer.Previous.Points[i].Count)
			}
			if p.Partial {
				fmt.Fprint(w, "\tpartial")
			}
			fmt.Fprintln(w)
		}
	})
}

// Ask asks for numbers of groups.
type Ask struct {
	Server
	Output
	Range
	Metric   string   `enum:"count,unique_users,sum,avg,min,max,p50,p90,p95,p99" default:"count" help:"count, unique_users, sum, avg, min, max, p50, p90, p95 or p99."`
	Value    string   `placeholder:"FIELD" help:"The number, for sum and the others: payload.price."`
	Type     []string `help:"Only events of these types."`
	By       []string `placeholder:"FIELD" help:"Group by event_type, user_id or a place in the payload; up to three."`
	Where    []string `sep:"none" placeholder:"CONDITION" help:"Only events that fit, like payload.plan=pro; may be repeated."`
	Any      bool     `help:"One of the conditions is enough."`
	Interval string   `enum:",minute,hour,day,week,month" default:"" help:"Also over time: minute, hour, day, week or month."`
	TZ       string   `name:"tz" default:"UTC" help:"Time zone, like Europe/Berlin."`
	Limit    int      `default:"20" help:"Groups at most."`
	Other    bool     `help:"Put the other groups together."`
}

// Help is shown below the command's line.
func (*Ask) Help() string {
	return `Without --from it is the last 30 days.

Example: analytics query ask --metric sum --value payload.price --type purchase --by payload.country --interval week`
}

// defaultRange is how far questions look back.
const defaultRange = 30 * 24 * time.Hour

// bounds returns the range, with defaults in place of what isn't given.
func (r *Range) bounds(now time.Time) (from, to int64, err error) {
	begin, end, err := r.seconds(now)
	from, to = now.Add(-defaultRange).Unix(), now.Unix()+1
	if begin != nil {
		from = *begin
	}
	if end != nil {
		to = *end
	}
	return from, to, err
}

// Run asks the question.
func (c *Ask) Run(ctx context.Context, env *Env) error {
	from, to, err := c.bounds(env.Now())
	if err != nil {
		return err
	}
	filters, err := parseFilters(c.Where)
	if err != nil {
		return err
	}
	question := map[string]any{"metric": c.Metric, "from": from, "to": to, "filters": filters, "limit": c.Limit}
	for name, list := range map[string][]string{"event_types": c.Type, "group_by": c.By} {
		if len(list) > 0 {
			question[name] = list
		}
	}
	for name, text := range map[string]string{"value": c.Value, "interval": c.Interval} {
		if text != "" {
			question[name] = text
		}
	}
	if c.Interval != "" {
		question["tz"] = c.TZ
	}
	if c.Any {
		question["match"] = "any"
	}
	if c.Other {
		question["include_other"] = true
	}
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	text, err := c.ask(ctx, http.MethodPost, "/query", nil, body)
	if err != nil {
		return err
	}
	var answer struct {
		Buckets []struct{ Time string }
		Groups  []struct {
			Key    []json.RawMessage
			Value  json.RawMessage
			Values []json.RawMessage
		}
		Other *struct {
			Groups int64
			Value  json.RawMessage
			Values []json.RawMessage
		}
	}
	return c.show(env, text, &answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s\t%s", strings.Join(c.By, "\t"), c.Metric)
		for _, b := range answer.Buckets {
			fmt.Fprintf(w, "\t%s", b.Time)
		}
		fmt.Fprintln(w)
		row := func(key string, value json.RawMessage, values []json.RawMessage) {
			fmt.Fprintf(w, "%s\t%s", key, value)
			for _, v := range values {
				fmt.Fprintf(w, "\t%s", v)
			}
			fmt.Fprintln(w)
		}
		for _, g := range answer.Groups {
			keys := make([]string, len(g.Key))
			for i, k := range g.Key {
				keys[i] = string(k)
			}
			row(strings.Join(keys, "\t"), g.Value, g.Values)
		}
		if answer.Other != nil {
			row(fmt.Sprintf("(%d others)", answer.Other.Groups)+strings.Repeat("\t", max(0, len(c.By)-1)), answer.Other.Value, answer.Other.Values)
		}
	})
}

// Funnel follows users.
type Funnel struct {
	Server
	Output
	Range
	Step   []string      `required:"" placeholder:"TYPE" help:"The type of a step; two or more, in their order."`
	Window time.Duration `default:"24h" help:"How long after the first step the last may be taken."`
	Strict bool          `help:"No other step may be taken in between."`
}

// Run follows the users.
func (c *Funnel) Run(ctx context.Context, env *Env) error {
	from, to, err := c.bounds(env.Now())
	if err != nil {
		return err
	}
	steps := make([]map[string]any, len(c.Step))
	for i, step := range c.Step {
		steps[i] = map[string]any{"event_type": step}
	}
	order := "loose"
	if c.Strict {
		order = "strict"
	}
	body, err := json.Marshal(map[string]any{"steps": steps, "window": int64(c.Window.Seconds()), "order": order, "from": from, "to": to})
	if err != nil {
		return err
	}
	text, err := c.ask(ctx, http.MethodPost, "/query/funnel", nil, body)
	if err != nil {
		return err
	}
	var answer struct {
		Steps []struct {
			Users      int64
			Conversion float64
			Median     *int64 `json:"median_seconds"`
		}
	}
	return c.show(env, text, &answer, func(w io.Writer) {
		fmt.Fprintln(w, "step\tusers\tconversion\tmedian time")
		for i, s := range answer.Steps {
			median := ""
			if s.Median != nil {
				median = (time.Duration(*s.Median) * time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%d\t%.1f %%\t%s\n", c.Step[min(i, len(c.Step)-1)], s.Users, 100*s.Conversion, median)
		}
	})
}

// Retention asks who comes back.
type Retention struct {
	Server
	Output
	Range
	First     string `required:"" placeholder:"TYPE" help:"The event that users begin with."`
	Returning string `required:"" placeholder:"TYPE" help:"The event that they come back with."`
	Interval  string `enum:"day,week,month" default:"week" help:"day, week or month."`
	TZ        string `name:"tz" default:"UTC" help:"Time zone, like Europe/Berlin."`
}

// Run asks who comes back.
func (c *Retention) Run(ctx context.Context, env *Env) error {
	from, to, err := c.bounds(env.Now())
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"first": map[string]any{"event_type": c.First}, "returning": map[string]any{"event_type": c.Returning},
		"interval": c.Interval, "tz": c.TZ, "from": from, "to": to,
	})
	if err != nil {
		return err
	}
	text, err := c.ask(ctx, http.MethodPost, "/query/retention", nil, body)
	if err != nil {
		return err
	}
	var answer struct {
		Cohorts []struct {
			Time   string
			Users  int64
			Shares []float64
		}
	}
	return c.show(env, text, &answer, func(w io.Writer) {
		for _, cohort := range answer.Cohorts {
			fmt.Fprintf(w, "%s\t%d", cohort.Time, cohort.Users)
			for _, share := range cohort.Shares {
				fmt.Fprintf(w, "\t%.1f %%", 100*share)
			}
			fmt.Fprintln(w)
		}
	})
}

// Raw asks a question that is written as JSON.
type Raw struct {
	Server
	File string `arg:"" help:"The question; - is standard input."`
	Kind string `enum:"query,funnel,retention" default:"query" help:"query, funnel or retention: which operation it is for."`
}

// Run asks the question.
func (c *Raw) Run(ctx context.Context, env *Env) error {
	read := func() ([]byte, error) { return os.ReadFile(c.File) }
	if c.File == "-" {
		read = func() ([]byte, error) { return io.ReadAll(env.Stdin) }
	}
	body, err := read()
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return errors.New("the question is empty")
	}
	path := "/query"
	if c.Kind != "query" {
		path += "/" + c.Kind
	}
	text, err := c.ask(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s\n", text)
	return err
}
