// Package binding is what the code generated from api/openapi.yaml stands on: a
// strict JSON decoder that goes on after a violation, so that a client learns of
// all of them at once, and the rules that a schema can state.
//
// What it refuses that encoding/json accepts: names given twice, names in
// another case, unknown names, invalid UTF-8, halves of surrogate pairs, and
// anything after the value. See https://pkg.go.dev/github.com/go-json-experiment/json/jsontext
// for the tokenizer underneath.
package binding

import (
	"fmt"
	"strings"
)

// RawObject is a JSON object as the client sent it: checked, not decoded.
type RawObject []byte

// MarshalJSON returns the object itself.
func (o RawObject) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	return o, nil
}

// RawValue is any JSON value as the client sent it, or as it is to be sent.
type RawValue []byte

// MarshalJSON returns the value itself.
func (v RawValue) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return v, nil
}

// Violation is one broken rule.
type Violation struct {
	Pointer string // RFC 6901 JSON Pointer into the body, or "#path/name" and the like for a parameter
	Code    string // a value of the contract's ViolationCode
	Detail  string // the rule in words, to be read after the pointer; never the offending value
}

// MaxViolations bounds how many violations of one request are listed.
const MaxViolations = 100

// ValidationError says that the input could be read but breaks the contract.
type ValidationError struct {
	Violations []Violation // at least one, at most MaxViolations
}

func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString("breaks the contract")
	for i, v := range e.Violations {
		sep := ": "
		if i > 0 {
			sep = "; "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, v.Pointer, v.Detail)
	}
	return b.String()
}

// SyntaxError says that a body isn't JSON.
type SyntaxError struct {
	Offset int64  // where, in bytes from the start of the body
	Reason string // what is wrong there
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON: %s at byte %d", e.Reason, e.Offset)
}
