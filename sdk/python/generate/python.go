package main

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// width is how long the lines of comments and docstrings may be.
const width = 88

// keywordsOfPython can't be names.
var keywordsOfPython = []string{
	"False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except", "finally",
	"for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
}

// render returns the generated files by their names.
func render(c *contract) (map[string][]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"name":      name,
		"snake":     snake,
		"quote":     strconv.Quote,
		"literal":   literal,
		"asked":     func(s *schema) string { return typeOf(s, true) },
		"answered":  func(s *schema) string { return typeOf(s, false) },
		"decoder":   decoder,
		"docstring": docstring,
		"comment":   comment,
		"isAlias":   func(s *schema) bool { return s.Kind != object && s.Kind != array },
		"isRequest": func(s *schema) bool { return s.Kind == object && s.asked },
		"isAnswer":  func(s *schema) bool { return s.Kind == object && s.answered },
		"pick": func(required bool, list []property) (picked []property) {
			for _, p := range list {
				if p.Required == required {
					picked = append(picked, p)
				}
			}
			return picked
		},
		"in": func(place string, list []parameter) (picked []parameter) {
			for _, p := range list {
				if p.In == place {
					picked = append(picked, p)
				}
			}
			return picked
		},
		"document": document,
		"alias":    func(s *schema) string { return orNone(s, plain(s, true)) },
		"forward":  forward,
		"imports":  imports,
	}).ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, file := range []string{"models.py", "operations.py"} {
		var out bytes.Buffer
		if err := t.ExecuteTemplate(&out, file+".tmpl", c); err != nil {
			return nil, err
		}
		files[file] = out.Bytes()
	}
	return files, nil
}

// name makes a name of Python's of one of the contract's.
func name(of string) string {
	of = strings.ReplaceAll(of, "-", "_")
	if slices.Contains(keywordsOfPython, of) {
		return of + "_"
	}
	return of
}

// snake makes sendEvents send_events, and Idempotency-Key idempotency_key.
func snake(of string) string {
	var b strings.Builder
	lower := false
	for _, c := range of {
		isUpper := c >= 'A' && c <= 'Z'
		if isUpper && lower {
			b.WriteByte('_')
		}
		lower = !isUpper && c != '-'
		b.WriteString(strings.ToLower(string(c)))
	}
	return name(b.String())
}

// literal is the type of an enum's values.
func literal(enum []string) string {
	quoted := make([]string, len(enum))
	for i, v := range enum {
		quoted[i] = strconv.Quote(v)
	}
	if short := "Literal[" + strings.Join(quoted, ", ") + "]"; len(short) < 60 {
		return short
	}
	return "Literal[\n    " + strings.Join(quoted, ",\n    ") + ",\n]"
}

// typeOf is the type of a value in a request, where whatever can be read will do,
// or in an answer.
func typeOf(s *schema, asked bool) string {
	if s.Name != "" && s.Kind != array {
		return s.Name
	}
	typ := ""
	switch s.Kind {
	case array:
		typ = "List[" + typeOf(s.Items, asked) + "]"
		if asked {
			typ = "Sequence[" + typeOf(s.Items, asked) + "]"
		}
	default:
		typ = plain(s, asked)
	}
	return orNone(s, typ)
}

// orNone adds None to the type of what may be null.
func orNone(s *schema, typ string) string {
	if s.Nullable {
		return "Optional[" + typ + "]"
	}
	return typ
}

// forward is the type of a value in a request, in quotes if it is made of a class,
// which may not be there yet.
func forward(s *schema) string {
	typ, of := typeOf(s, true), s
	for of.Kind == array {
		of = of.Items
	}
	if of.Kind == object {
		return strconv.Quote(typ)
	}
	return typ
}

// imports lists the names of the types of requests and answers.
func imports(c *contract) []string {
	var names []string
	add := func(s *schema) {
		for s != nil && s.Kind == array {
			s = s.Items
		}
		if s != nil && s.Name != "" && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, o := range c.Operations {
		for _, p := range o.Parameters {
			add(p.Schema)
		}
		add(o.Body)
		add(o.Answer)
	}
	slices.Sort(names)
	return names
}

// plain is the type of a schema, whatever its name and whether it may be null.
func plain(s *schema, asked bool) string {
	switch s.Kind {
	case text:
		if s.Enum != nil {
			return literal(s.Enum)
		}
		return "str"
	case integer:
		return "int"
	case number:
		if s.Double {
			return "float"
		}
		return "Union[int, Decimal]"
	case boolean:
		return "bool"
	case free:
		if asked {
			return "Mapping[str, Any]"
		}
		return "Dict[str, Any]"
	case anything:
		return "Any"
	case union:
		members := make([]string, len(s.Of))
		for i, m := range s.Of {
			members[i] = strconv.Quote(typeOf(m, asked))
		}
		return "Union[" + strings.Join(members, ", ") + "]"
	}
	panic("no type of Python's for a schema of " + string(s.Kind)) // read lets none through
}

// decoder is what reads a value of an answer.
func decoder(s *schema) string {
	d := ""
	switch s.Kind {
	case text:
		d = "text"
		if s.Enum != nil {
			d = "choice"
		}
	case integer:
		d = "integer"
	case number:
		d = "number"
		if s.Double {
			d = "double"
		}
	case boolean:
		d = "boolean"
	case array:
		d = "array(" + decoder(s.Items) + ")"
	case object:
		d = s.Name + ".from_json"
	case free:
		d = "record"
	case anything:
		d = "anything"
	default:
		panic("no decoder for a schema of " + string(s.Kind)) // unions are only asked
	}
	if s.Nullable {
		return "nullable(" + d + ")"
	}
	return d
}

// document is the text of a method's docstring.
func document(o *operation) string {
	var b strings.Builder
	b.WriteString(o.Summary + ".\n\n" + o.Description)
	var arguments []string
	for _, p := range o.Parameters {
		arguments = append(arguments, fmt.Sprintf("* `%s`: %s", snake(p.Name), strings.TrimSpace(p.Description)))
	}
	if o.Body != nil {
		about := strings.TrimSpace(o.BodyDescription)
		if o.Lines {
			about += " Bytes are sent as they are: an event per line, as JSON."
		}
		arguments = append(arguments, "* `body`: "+about)
	}
	if len(arguments) > 0 {
		b.WriteString("\n\n" + strings.Join(arguments, "\n"))
	}
	return strings.ReplaceAll(b.String(), "?.\n", "?\n")
}

// docstring lays a text out as a docstring.
func docstring(indent int, text string) string {
	lines := wrap(text, width-indent-3)
	quotes := `"""`
	if strings.Contains(text, `\`) {
		quotes = `r"""`
	}
	margin := strings.Repeat(" ", indent)
	if len(lines) == 1 && len(lines[0]) <= width-indent-7 {
		return margin + quotes + lines[0] + `"""`
	}
	return indented(margin, quotes+strings.Join(lines, "\n")+"\n"+`"""`)
}

// comment lays a text out as comments.
func comment(indent int, text string) string {
	return indented(strings.Repeat(" ", indent)+"# ", strings.Join(wrap(text, width-indent-2), "\n"))
}

func indented(margin, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(margin+line, " ")
	}
	return strings.Join(lines, "\n")
}

// wrap breaks the paragraphs of a text into lines, and keeps its lists.
func wrap(text string, width int) []string {
	var lines []string
	line, margin := "", ""
	flush := func() {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
		line, margin = "", ""
	}
	for _, source := range strings.Split(strings.TrimSpace(text), "\n") {
		if strings.TrimSpace(source) == "" {
			flush()
			if len(lines) > 0 && lines[len(lines)-1] != "" {
				lines = append(lines, "")
			}
			continue
		}
		if strings.HasPrefix(source, "* ") {
			flush()
		}
		isItem := strings.HasPrefix(source, "* ")
		for _, word := range strings.Fields(source) {
			switch {
			case line == "":
				line = word
			case strings.TrimSpace(line) == "":
				line += word
			case len(line)+1+len(word) > width:
				lines = append(lines, line)
				line = margin + word
			default:
				line += " " + word
			}
			if isItem {
				margin = "  "
			}
		}
	}
	flush()
	return lines
}
