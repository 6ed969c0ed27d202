// Command data makes up events: as many as wanted, the same for the same seed, skewed as
// real ones are. It writes JSON lines for `analytics import`.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
)

// options say what to make.
type options struct {
	count, users, types, days int
	seed                      uint64
	end                       int64 // Unix seconds
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "data:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions(o.count, progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("making events"),
		progressbar.OptionSetPredictTime(true), progressbar.OptionShowIts(), progressbar.OptionThrottle(time.Second))
	w := bufio.NewWriterSize(stdout, 1<<20)
	const step = 10_000
	if err := generate(o, w, func(done int) {
		if done%step == 0 {
			_ = bar.Set(done) // a picture that can't be drawn
		}
	}); err != nil {
		return err
	}
	return errors.Join(w.Flush(), bar.Finish())
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("data", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.count, "count", 10_000_000, "events")
	flags.IntVar(&o.users, "users", 200_000, "users, of whom few are busy")
	flags.IntVar(&o.types, "types", 50, "event types, of which few are frequent")
	flags.IntVar(&o.days, "days", 90, "days that they are spread over")
	flags.Uint64Var(&o.seed, "seed", 1, "the same seed and end make the same events")
	end := flags.String("end", "", "when the last one happens, like 2026-11-23T00:00:00Z (default: the last full hour)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.count < 1 || o.users < 1 || o.types < 1 || o.days < 1 {
		return o, errors.New("-count, -users, -types and -days must be at least 1")
	}
	o.end = time.Now().Truncate(time.Hour).Unix()
	if *end != "" {
		at, err := time.Parse(time.RFC3339, *end)
		if err != nil {
			return o, fmt.Errorf("-end: %q is no time like 2026-11-23T00:00:00Z", *end)
		}
		o.end = at.Unix()
	}
	return o, nil
}

// exponent is how skewed users and types are: a share of x of them has x^(1/exponent) of the
// events, so that with 50 types the second has 5.9 %.
const exponent = 2

// generate writes the events, in the order of time but for some that are late.
func generate(o options, w *bufio.Writer, progress func(done int)) error {
	r := rand.New(rand.NewPCG(o.seed, o.seed)) //nolint:gosec // the same again is what is wanted
	skewed := func(n int) int { return int(float64(n) * math.Pow(r.Float64(), exponent)) }
	span := float64(o.days) * 86_400
	begin := float64(o.end) - span
	line := make([]byte, 0, 512)
	for i := range o.count {
		at := int64(begin + span*rhythm(float64(i)/float64(o.count), o.days))
		if r.IntN(20) == 0 {
			at -= r.Int64N(600)
		}
		line = append(line[:0], `{"user_id":`...)
		line = strconv.AppendInt(line, int64(1+skewed(o.users)), 10)
		line = fmt.Appendf(line, `,"event_type":"type%02d","timestamp":%d,"event_id":"%08x-%04x-7%03x-%04x-%012x"`, skewed(o.types), at,
			uint32(at>>16), uint16(at), r.IntN(1<<12), 0x8000|r.IntN(1<<14), i)
		line = append(line, `,"payload":{`...)
		line = payload(line, r)
		line = append(line, "}}\n"...)
		if _, err := w.Write(line); err != nil {
			return err
		}
		progress(i + 1)
	}
	return nil
}

// rhythm bends time so that more happens by day than by night.
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
