package binding

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Params collects the violations of an operation's parameters.
type Params struct {
	violations []Violation
}

// Err returns a *ValidationError if there were any.
func (p *Params) Err() error {
	if len(p.violations) == 0 {
		return nil
	}
	return &ValidationError{Violations: p.violations}
}

func (p *Params) violate(in, name, code, detail string) {
	if len(p.violations) < MaxViolations {
		p.violations = append(p.violations, Violation{Pointer: "#" + in + "/" + name, Code: code, Detail: detail})
	}
}

// Query reads a request's query. Where it can't be read, what can be is returned:
// the parameters in it would otherwise be reported as missing.
func (p *Params) Query(raw string) url.Values {
	values, err := url.ParseQuery(raw)
	if err != nil && len(p.violations) < MaxViolations {
		p.violations = append(p.violations, Violation{Pointer: "#query", Code: "format", Detail: "must be a query string: names and values joined by = and &, percent-encoded"})
	}
	return values
}

// Known reports the parameters of a query that the operation doesn't have: who
// misspelled one believes that it was heeded.
func (p *Params) Known(query url.Values, names ...string) {
	if len(query) == 0 {
		return
	}
	for _, given := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(names, given) {
			p.violate("query", escapePointer(given), "unknown_field", "is not a parameter of this operation; it has "+strings.Join(names, ", "))
		}
	}
}

// Missing reports a required parameter that isn't there: one without values.
func (p *Params) Missing(in, name string, values []string) {
	if len(values) == 0 {
		p.violate(in, name, "required", "is required")
	}
}

// Once returns the only value of a header or query parameter. Given twice it is
// reported; absent, or reported, ok is false.
func (p *Params) Once(in, name string, values []string) (value string, ok bool) {
	if len(values) > 1 {
		p.violate(in, name, "duplicate_field", "is given more than once")
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// String checks a string parameter.
func (p *Params) String(in, name, value string, rule *String) (string, bool) {
	faults := rule.check([]byte(value))
	for _, f := range faults {
		p.violate(in, name, f.code, f.detail)
	}
	return value, len(faults) == 0
}

// Bool reads a boolean parameter, which is written as in JSON.
func (p *Params) Bool(in, name, value string) (b, ok bool) {
	if value != "true" && value != "false" {
		p.violate(in, name, "type", "must be true or false")
		return false, false
	}
	return value == "true", true
}

// Int64 reads an integer parameter.
func (p *Params) Int64(in, name, value string, rule *Integer) (int64, bool) {
	n, code, detail := rule.parse([]byte(value))
	if code != "" {
		p.violate(in, name, code, detail)
		return 0, false
	}
	return n, true
}

// UUID reads a parameter of the format uuid.
func (p *Params) UUID(in, name, value string) ([16]byte, bool) {
	id, detail := parseUUID([]byte(value))
	if detail != "" {
		p.violate(in, name, "format", detail)
		return [16]byte{}, false
	}
	return id, true
}
