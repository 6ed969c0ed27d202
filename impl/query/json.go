package query

import "bytes"

// The functions here walk JSON that is known to be well-formed, as payloads are: they
// were checked before they were stored. They never read past the end.

// skipSpace returns the index of the next byte that isn't white space.
func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// skipValue returns the index after the value that begins at i.
func skipValue(text []byte, i int) int {
	if i >= len(text) {
		return len(text)
	}
	switch text[i] {
	case '"':
		return skipString(text, i)
	case '{', '[':
		depth := 0
		for i < len(text) {
			switch text[i] {
			case '"':
				i = skipString(text, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(text)
	}
	for i < len(text) {
		switch text[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

// eachMember calls yield with the quoted name and the value of each member of an object,
// until it returns false.
func eachMember(object []byte, yield func(name, value []byte) bool) {
	for i := skipSpace(object, 1); i < len(object) && object[i] == '"'; {
		nameEnd := skipString(object, i)
		begin := skipSpace(object, nameEnd)
		begin = skipSpace(object, min(begin+1, len(object))) // behind the colon
		end := skipValue(object, begin)
		if !yield(object[i:nameEnd], object[begin:end]) {
			return
		}
		i = skipSpace(object, end)
		if i >= len(object) || object[i] != ',' {
			return
		}
		i = skipSpace(object, i+1)
	}
}

// eachItem calls yield with each item of an array, until it returns false.
func eachItem(array []byte, yield func(i int, item []byte) bool) {
	i := skipSpace(array, 1)
	for n := 0; i < len(array) && array[i] != ']'; n++ {
		end := skipValue(array, i)
		if !yield(n, array[i:end]) {
			return
		}
		i = skipSpace(array, end)
		if i >= len(array) || array[i] != ',' {
			return
		}
		i = skipSpace(array, i+1)
	}
}

// isName reports whether a quoted name is the given one.
func isName(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name
	}
	text, err := unquote(quoted)
	return err == nil && text == name
}

// lookup returns the value at a path, nil if there is none.
func lookup(value []byte, path []Segment) []byte {
	if len(value) > 0 {
		value = value[skipSpace(value, 0):]
	}
	for _, segment := range path {
		if len(value) == 0 {
			return nil
		}
		var found []byte
		switch {
		case segment.IsIndex && value[0] == '[':
			eachItem(value, func(i int, item []byte) bool {
				if i == segment.Index {
					found = item
				}
				return i < segment.Index
			})
		case !segment.IsIndex && value[0] == '{':
			eachMember(value, func(name, member []byte) bool {
				if isName(name, segment.Name) {
					found = member
				}
				return found == nil
			})
		}
		if found == nil {
			return nil
		}
		value = found
	}
	return value
}
