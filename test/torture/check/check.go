// Package check holds the history of a run against what was stored and what is
// counted, and says which promises of the product were broken.
//
// It walks over the history twice: once to learn what happened to each event, and, if
// something is wrong, again to cut out the operations that show it. Time grows with
// n·log n. Memory is at most 160 bytes for each different event, 150 for each answered
// question and 8 for each of its counts; payloads, rows and operations are not
// held. A million operations with 1.2 million events take 240 MB: a test says so.
package check

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"highload.example/analytics/test/torture/history"
)

// Rule is a promise that can be found broken.
type Rule string

// The rules.
const (
	Lost            Rule = "lost"             // accepted, and not stored
	Doubled         Rule = "doubled"          // stored more than once
	Altered         Rule = "altered"          // stored, but not as it was sent
	NeverSent       Rule = "never_sent"       // stored, and nobody sent it
	RejectedStored  Rule = "rejected_stored"  // is invalid, or was rejected, and is stored
	Torn            Rule = "torn"             // a part of a batch that asked for all or nothing is stored
	InvalidAccepted Rule = "invalid_accepted" // is invalid, and was accepted
	ValidRejected   Rule = "valid_rejected"   // is valid, and was rejected
	AcceptedTwice   Rule = "accepted_twice"   // two answers say that they stored the same event
	NotConverged    Rule = "not_converged"    // sent until the end, with everything healed, and never taken
	Undercounted    Rule = "undercounted"     // an answer during the run misses events that were accepted before the question
	Overcounted     Rule = "overcounted"      // an answer during the run counts more events than were sent
	CountWrong      Rule = "count_wrong"      // a count at rest isn't that of the rows
	Unanswered      Rule = "unanswered"       // a question at rest got no answer
	ForbiddenStatus Rule = "forbidden_status" // 5xx other than 503
	Contract        Rule = "contract"         // an answer that isn't in the contract
)

// Window is a part of the run, in nanoseconds since its start.
type Window struct {
	From, To int64
	// Staleness is how late counts may be then; 0: as Input says.
	Staleness time.Duration
}

// Input is all that a run left.
type Input struct {
	// History is walked more than once; history.Open is made for that.
	History iter.Seq2[history.Operation, error]
	// Rows are all rows of the record.
	Rows iter.Seq2[history.Row, error]
	// AtRest are the counts of each replica and of Redis, read when everything was repaired
	// and no client sent any more. Every type has to be among them.
	AtRest []history.Operation
	// RedisTrouble is when Redis wasn't there as it should be, until all replicas had
	// it back. What is accepted then may be counted late, by Staleness.
	RedisTrouble []Window
	// Staleness is how late; 0: the 2 seconds that are promised.
	Staleness time.Duration
	// Settling is when everything was healed and the clients began to send again what
	// had no clear answer, until they had one: see workload.Clients.Settle. 0: they didn't.
	Settling int64
}

// promisedStaleness is promise 4's.
const promisedStaleness = 2 * time.Second

// Violation is a broken promise, with the smallest part of the history that shows it:
// of operations with many events or counts only those that matter are there.
type Violation struct {
	Rule    Rule                `json:"rule"`
	Detail  string              `json:"detail"`
	History []history.Operation `json:"history,omitempty"`
	Row     *history.Row        `json:"row,omitempty"`
}

// String returns what is wrong and, a line each, the operations that show it.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Rule, v.Detail)
	for _, o := range v.History {
		fmt.Fprintf(&b, "\n  %s", describe(o))
	}
	return b.String()
}

func describe(o history.Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.6fs to %.6fs client %d %s %s", seconds(o.Start), seconds(o.End), o.Client, o.Kind, o.Target)
	if o.EventType != "" {
		fmt.Fprintf(&b, " %s", o.EventType)
	}
	if o.From != 0 || o.To != 0 {
		fmt.Fprintf(&b, " [%d, %d)", o.From, o.To)
	}
	for i, e := range o.Events {
		if i == 3 && len(o.Events) > 4 {
			fmt.Fprintf(&b, " and %d more", len(o.Events)-i)
			break
		}
		fmt.Fprintf(&b, " %s %s of user %d at %d", e.Type, e.ID, e.UserID, e.Timestamp)
		if i < len(o.Outcomes) {
			fmt.Fprintf(&b, ": %s", o.Outcomes[i])
		}
	}
	if len(o.Counts) > 0 {
		fmt.Fprintf(&b, ": %d", o.Counts)
	}
	if o.Status != 0 {
		fmt.Fprintf(&b, " (%d)", o.Status)
	}
	if o.Problem != "" {
		fmt.Fprintf(&b, " %s", o.Problem)
	}
	return b.String()
}

func seconds(ns int64) float64 { return float64(ns) / float64(time.Second) }

// Report is what came of a check.
type Report struct {
	Operations int64                     `json:"operations"`
	Sent       int64                     `json:"sent"`     // events, each as often as it was sent
	Events     int64                     `json:"events"`   // different ones
	Repeated   int64                     `json:"repeated"` // of these sent more than once
	Outcomes   map[history.Outcome]int64 `json:"outcomes"` // of Sent
	// Valid events without a clear answer in the end: both are right.
	OpenStored   int64 `json:"open_stored"`
	OpenUnstored int64 `json:"open_unstored"`
	Rows         int64 `json:"rows"`
	Reads        int64 `json:"reads"`       // answered questions during the run
	ReadCounts   int64 `json:"counts"`      // counts in these
	RestCounts   int64 `json:"counts_rest"` // counts at rest

	// Found is how often each rule was broken.
	Found map[Rule]int64 `json:"found,omitempty"`
	// Violations are examples, at most ExamplesPerRule of each rule.
	Violations []Violation `json:"violations,omitempty"`
}

// ExamplesPerRule bounds the violations that are shown.
const ExamplesPerRule = 5

// Err returns an error that says what is wrong, or nil.
func (r *Report) Err() error {
	errs := make([]error, 0, len(r.Violations))
	for _, v := range r.Violations {
		errs = append(errs, fmt.Errorf("%s (%d times): %s", v.Rule, r.Found[v.Rule], v.Detail))
	}
	return errors.Join(errs...)
}

// Run checks a run. The error says that the check itself could not be done; broken
// promises are in the report.
func Run(in Input) (*Report, error) {
	if in.Staleness == 0 {
		in.Staleness = promisedStaleness
	}
	l := newLedger(in)
	// 1. What the clients were told.
	if err := l.readHistory(); err != nil {
		return nil, err
	}
	// 2. What is stored, and what of the two doesn't fit.
	if err := l.readRows(); err != nil {
		return nil, err
	}
	l.judgeFates()
	// 3. What was counted while it happened.
	l.judgeReads()
	// 4. What is counted now.
	if err := l.judgeRest(); err != nil {
		return nil, err
	}
	// 5. The operations that show what is wrong.
	if err := l.cutOut(); err != nil {
		return nil, err
	}
	return l.report(), nil
}
