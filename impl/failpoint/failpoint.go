// Package failpoint makes the product fail on purpose at named places, and its clock
// go wrong, to prove what happens then. It exists only in builds with the tag
// failpoint. In all others Enabled is a false constant, and whoever asks
//
//	if failpoint.Enabled {
//		failpoint.Hit(failpoint.BeforeInsert)
//	}
//
// leaves nothing in the program: a test looks for it in the binary.
package failpoint

// The places, in the order in which an event passes them.
const (
	BeforeSubmit = "before-submit" // in a request's handler, ahead of everything below
	BeforeInsert = "before-insert" // in a writer, with a batch in its hands
	BeforeCommit = "before-commit" // the batch is inserted and counted; another statement commits
	AfterCommit  = "after-commit"  // Redis hasn't heard of it
	BeforeAnswer = "before-answer" // Redis has; those who wait for the batch haven't
	AfterSubmit  = "after-submit"  // in the handler again, which knows the outcome
)

// The actions.
const (
	Panic = "panic"
	Exit  = "exit" // at once, as if killed
)

// ExitCode is the process's after Exit: one that it has for nothing else.
const ExitCode = 86

// EnvClockShift is the variable that says how far off the process's clock is, as 1h or
// -90m.
const EnvClockShift = "FAILPOINT_CLOCK_SHIFT"
