package check

import (
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		one, other string
		equal      bool
	}{
		{`{}`, ` { } `, true},
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`, true},
		{`{"a":1.0}`, `{"a":1}`, true},
		{`{"a":0.1000}`, `{"a":1e-1}`, true},
		{`{"a":1e2}`, `{"a":100}`, true},
		{`{"a":-0.0}`, `{"a":0}`, true}, // a numeric has no negative zero
		{`{"a":-0}`, `{"a":0}`, true},
		{`{"a":-5}`, `{"a":-50e-1}`, true},
		{`{"a":"\u00e4\/\ud83d\ude00"}`, `{"a":"ä/😀"}`, true},
		{`{"a":1e308}`, `{"a":1` + strings.Repeat("0", 308) + `}`, true},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{`{"a":0.1}`, `{"a":0.10000000000000001}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`{"a":null}`, `{}`, false},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`{"a":[]}`, `{"a":{}}`, false},
		{`{"a":"x","b":"y"}`, `{"a":"y","b":"x"}`, false},
		{`{"a":{"b":1}}`, `{"a":1,"b":1}`, false},
		{`{"a":"b,c"}`, `{"a":"b","c":""}`, false},
		{`{"a":"A"}`, `{"a":"a"}`, false},
		{`{"a":1e99999}`, `{"a":2e99999}`, false}, // which would be large, written out
	} {
		one, err := fingerprint([]byte(c.one))
		if err != nil {
			t.Error(err)
		}
		other, err := fingerprint([]byte(c.other))
		if err != nil {
			t.Error(err)
		}
		if (one == other) != c.equal {
			t.Errorf("%s and %s: equal is %t", c.one, c.other, one == other)
		}
	}
	none, err := fingerprint(nil)
	if err != nil {
		t.Error(err)
	}
	if empty, err := fingerprint([]byte(`{}`)); err != nil || empty == none {
		t.Errorf("an empty payload is none: %v", err)
	}
	for _, text := range []string{``, `{`, `{}{}`, `{"a":01}`, `{"a":1}x`} {
		if _, err := fingerprint([]byte(text)); err == nil {
			t.Errorf("%q has a fingerprint", text)
		}
	}
}
