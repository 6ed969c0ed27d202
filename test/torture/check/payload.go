package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/big"
	"slices"
	"strings"
)

// fingerprints of payloads that are equal in value are equal. PostgreSQL keeps
// numbers by value, and neither white space nor the order of names.
var fingerprintSeed = maphash.MakeSeed()

// noPayload is the fingerprint of none, which differs from that of an empty one.
const noPayload = 0

// fingerprint returns a hash of a payload's value.
func fingerprint(payload []byte) (uint64, error) {
	if payload == nil {
		return noPayload, nil
	}
	value, err := canonical(payload)
	if err != nil {
		return 0, err
	}
	return max(maphash.Bytes(fingerprintSeed, value), noPayload+1), nil
}

// canonical returns a payload with names in order, no white space, strings written
// in one way, and numbers as a fraction in lowest terms.
func canonical(payload []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("a payload can't be read: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("a payload is followed by something")
	}
	return appendCanonical(nil, value)
}

func appendCanonical(b []byte, value any) ([]byte, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b = append(b, '{')
		for _, name := range names {
			if b, err = appendCanonical(b, name); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = appendCanonical(b, v[name]); err != nil {
				return nil, err
			}
			b = append(b, ',')
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for _, element := range v {
			if b, err = appendCanonical(b, element); err != nil {
				return nil, err
			}
			b = append(b, ',')
		}
		return append(b, ']'), nil
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") && v != "-0" { // nearly all: it is a fraction by 1
			return append(append(b, v...), "/1"...), nil
		}
		// A number like 1e999999999 would fill the memory; none that the contract
		// allows is near.
		if i := strings.IndexAny(v.String(), "eE"); i >= 0 && len(v.String())-i > len("e-9999") {
			return append(b, v...), nil
		}
		fraction, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return nil, fmt.Errorf("a payload has the number %.40s", v)
		}
		return append(b, fraction.String()...), nil
	default: // a string, a boolean or null
		text, err := json.Marshal(v)
		return append(b, text...), err
	}
}
