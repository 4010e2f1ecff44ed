package sites

import "fmt"

// Bounds that hold before the YAML parser sees the text: its time grows with the square of the nesting, so that 20 KB of
// brackets would take seconds. A sites file nests five deep.
const (
	maxNesting = 60
	maxIndent  = 400
	maxLine    = 64 << 10
)

// bounded looks for text that is nested or indented beyond all sense. It follows quotes and comments only roughly, which
// is why its bounds are wide.
func (d *decoder) bounded() {
	depth := 0
	for i, line := range d.lines {
		if len(line) > maxLine {
			d.fail(i+1, 1, fmt.Sprintf("the line is longer than %d octets", maxLine), "a sites file has short lines")
		}
		at := 0
		for at < len(line) && line[at] == ' ' {
			at++
		}
		if at > maxIndent {
			d.fail(i+1, at+1, "the line is indented too deeply", "a sites file nests a few levels deep")
		}
		dashes := 0
		for ; at+1 < len(line) && (line[at] == '-' || line[at] == '?') && line[at+1] == ' '; at += 2 {
			if dashes++; dashes > maxNesting {
				d.fail(i+1, at+1, "lists are nested too deeply", "a sites file nests a few levels deep")
			}
			for at+2 < len(line) && line[at+2] == ' ' {
				at++
			}
		}
		quote := byte(0)
		for ; at < len(line); at++ {
			c := line[at]
			switch {
			case quote != 0:
				if c == '\\' && quote == '"' {
					at++
				} else if c == quote {
					quote = 0
				}
				continue
			case c == '#' && (at == 0 || line[at-1] == ' ' || line[at-1] == '\t'):
				at = len(line)
				continue
			case (c == '"' || c == '\'') && (at == 0 || line[at-1] == ' ' || line[at-1] == '[' || line[at-1] == '{' || line[at-1] == ','):
				quote = c
			case c == '[' || c == '{':
				if depth++; depth > maxNesting {
					d.fail(i+1, at+1, "brackets are nested too deeply", "a sites file nests a few levels deep")
				}
			case c == ']' || c == '}':
				depth = max(depth-1, 0)
			}
		}
	}
}
