package binding

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

const loneSurrogate = "contains half of a surrogate pair, which is not a character"

// inspect reports, inside an object of free content, what stopped the strict
// pass: names given twice and halves of surrogate pairs. It returns how many
// different names are at the top, and whether there was nothing to report. It
// runs only after a failure, so it may be slow.
func (d *Decoder) inspect(v jsontext.Value) (top int, sound bool) {
	tokens := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	names := []map[string]bool{} // of the objects around the token
	base := len(d.path)
	defer func() { d.path = d.path[:base] }()
	sound = true
	for {
		kind, length := tokens.StackIndex(tokens.StackDepth())
		isName := kind == '{' && length%2 == 0
		isItem := kind == '['
		text, opens, closes, err := nextToken(tokens)
		switch {
		case errors.Is(err, io.EOF):
			return top, sound
		case err != nil:
			d.err = err
			return 0, false
		case closes:
			d.path = d.path[:len(d.path)-1]
			top = len(names[len(names)-1]) // after the last bracket: of the whole
			names = names[:len(names)-1]
			continue
		}
		if isItem {
			d.path[len(d.path)-1].index = int(length)
		}
		if isName {
			name, _ := jsontext.AppendUnquote(nil, text)
			member := &d.path[len(d.path)-1]
			member.name, member.named = string(name), true
			if names[len(names)-1][member.name] {
				d.Violate("duplicate_field", "is given twice")
				sound = false
			}
			names[len(names)-1][member.name] = true
		}
		if len(text) > 0 && text[0] == '"' && hasLoneSurrogate(text) {
			d.Violate("lone_surrogate", loneSurrogate)
			sound = false
		}
		if opens {
			d.path = append(d.path, segment{index: -1})
			names = append(names, map[string]bool{})
		}
	}
}

// nextToken reads a scalar as its text, or one bracket.
func nextToken(tokens *jsontext.Decoder) (text []byte, opens, closes bool, err error) {
	kind := tokens.PeekKind()
	opens, closes = kind == '{' || kind == '[', kind == '}' || kind == ']'
	if opens || closes {
		_, err = tokens.ReadToken()
		return nil, opens, closes, err
	}
	text, err = tokens.ReadValue()
	return text, false, false, err
}

// hasLoneSurrogate reports whether a quoted JSON string escapes half of a
// surrogate pair.
func hasLoneSurrogate(quoted []byte) bool {
	for i := 0; i+1 < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++
		if quoted[i] != 'u' {
			continue
		}
		switch unit := codeUnit(quoted[i+1:]); {
		case unit >= 0xDC00 && unit < 0xE000:
			return true
		case unit >= 0xD800 && unit < 0xDC00:
			rest := quoted[min(i+5, len(quoted)):]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return true
			}
			if low := codeUnit(rest[2:]); low < 0xDC00 || low >= 0xE000 {
				return true
			}
			i += 6
		}
	}
	return false
}

// codeUnit reads four hexadecimal digits, or returns -1.
func codeUnit(digits []byte) int {
	if len(digits) < 4 {
		return -1
	}
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return int(n)
}
