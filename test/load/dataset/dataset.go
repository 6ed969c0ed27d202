// Package dataset generates events: as many as wanted, the same for the same seed, skewed as
// real ones are.
package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// Config says what to generate. Its tags are those of flags.
type Config struct {
	Count int       `default:"10000000" help:"Number of events."`
	Users int       `default:"200000" help:"Number of users, of whom few are busy."`
	Types int       `default:"50" help:"Number of event types, of which few are frequent."`
	Days  int       `default:"90" help:"Days that the events are spread over."`
	Seed  uint64    `default:"1" help:"The same seed and end make the same events."`
	End   time.Time `placeholder:"2026-11-23T00:00:00Z" help:"When the last event happens. Default: the last full hour."`
}

// Validate checks the numbers and sets the end that is missing.
func (c *Config) Validate() error {
	if c.Count < 1 || c.Users < 1 || c.Types < 1 || c.Days < 1 {
		return errors.New("--count, --users, --types and --days must be at least 1")
	}
	if c.End.IsZero() {
		c.End = time.Now().Truncate(time.Hour)
	}
	return nil
}

// exponent is how skewed users and types are: a share of x of them has x^(1/exponent) of the
// events: with 50 types the second has 5.9 %.
const exponent = 2

// Write writes the events as JSON lines, in the order of time but for some that are late,
// and reports how many it has written.
func (c Config) Write(w *bufio.Writer, written func(int)) error {
	r := rand.New(rand.NewPCG(c.Seed, c.Seed)) //nolint:gosec // the same again is what is wanted
	skewed := func(n int) int { return int(float64(n) * math.Pow(r.Float64(), exponent)) }
	span := float64(c.Days) * 86_400
	begin := float64(c.End.Unix()) - span
	line := make([]byte, 0, 512)
	for i := range c.Count {
		at := int64(begin + span*rhythm(float64(i)/float64(c.Count), c.Days))
		if r.IntN(20) == 0 {
			at -= r.Int64N(600)
		}
		line = append(line[:0], `{"user_id":`...)
		line = strconv.AppendInt(line, int64(1+skewed(c.Users)), 10)
		line = fmt.Appendf(line, `,"event_type":"type%02d","timestamp":%d,"event_id":"%08x-%04x-7%03x-%04x-%012x"`, skewed(c.Types), at,
			uint32(at>>16), uint16(at), r.IntN(1<<12), 0x8000|r.IntN(1<<14), i)
		line = append(line, `,"payload":{`...)
		line = payload(line, r)
		line = append(line, "}}\n"...)
		if _, err := w.Write(line); err != nil {
			return fmt.Errorf("writing events: %w", err)
		}
		written(i + 1)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing events: %w", err)
	}
	return nil
}

// rhythm bends time: more happens by day than by night.
func rhythm(share float64, days int) float64 {
	turns := share * float64(days)
	return (turns - 0.1*math.Sin(2*math.Pi*turns)) / float64(days)
}

var (
	plans   = []string{`"free"`, `"free"`, `"free"`, `"pro"`, `"pro"`, `"team"`, `null`}
	systems = []string{"ios", "android", "web"}
)

// payload appends members: mostly a plan, a country, a price and a device, some of them
// missing, and a field that is a number here and text there.
func payload(line []byte, r *rand.Rand) []byte {
	line = fmt.Appendf(line, `"country":"C%02d"`, int(30*math.Pow(r.Float64(), exponent)))
	if r.IntN(10) > 0 {
		line = append(append(line, `,"plan":`...), plans[r.IntN(len(plans))]...)
	}
	if r.IntN(3) > 0 {
		line = fmt.Appendf(line, `,"price":%d.%02d`, r.IntN(200), r.IntN(100))
	}
	line = fmt.Appendf(line, `,"device":{"os":%q}`, systems[r.IntN(len(systems))])
	switch r.IntN(4) {
	case 0:
		line = fmt.Appendf(line, `,"version":%d`, 1+r.IntN(5))
	case 1:
		line = fmt.Appendf(line, `,"version":"%d"`, 1+r.IntN(5))
	case 2:
		line = fmt.Appendf(line, `,"items":[{"sku":"s%d"},{"sku":"s%d"}]`, r.IntN(100), r.IntN(100))
	}
	return line
}
