package markup

// Srcset walks the candidates of an unescaped srcset attribute (HTML, 4.8.4.2.1): commas inside a URL belong to it, a
// comma at its end closes the candidate, parentheses in descriptors are kept together. start and end enclose the URL in
// value.
func Srcset(value string, yield func(url string, start, end int, descriptor string) bool) {
	srcset([]byte(value), func(start, end, ds, de int) bool {
		return yield(value[start:end], start, end, value[ds:de])
	})
}

func srcset(s []byte, yield func(start, end, ds, de int) bool) {
	i := 0
	for {
		for i < len(s) && (isSpace(s[i]) || s[i] == ',') {
			i++
		}
		if i == len(s) {
			return
		}
		start := i
		for i < len(s) && !isSpace(s[i]) {
			i++
		}
		end := i
		ds, de := i, i
		if s[end-1] == ',' {
			for end > start && s[end-1] == ',' {
				end--
			}
		} else {
			depth := 0
		descriptor:
			for i < len(s) {
				switch s[i] {
				case '(':
					depth++
				case ')':
					if depth > 0 {
						depth--
					}
				case ',':
					if depth == 0 {
						break descriptor
					}
				}
				i++
			}
			ds, de = trim(s, ds, i)
		}
		if end > start && !yield(start, end, ds, de) {
			return
		}
	}
}
