package heap

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// CanonicalName spells a type name in the one way by which names of different
// sources are compared. The forms in use:
//
//	Ns.Dictionary`2+Entry[[System.String, mscorlib],[Ns.V, Asm]][]   SOS before 7.0.42, reflection
//	Ns.Dictionary<System.String, Ns.V>+Entry[]                      SOS from 7.0.42
//	Ns.Dictionary`2+Entry<System.String,Ns.V>[]                     EventPipe, .gcdump
//	Ns.Outer/Inner                                                  SOS 1.x nesting
//
// all become, without blanks, arities or assemblies,
//
//	Ns.Dictionary<System.String,Ns.V>+Entry[]
//
// An open generic keeps its arity (List`1), because nothing else tells it from
// a type that is not generic. A name that does not parse is returned with its
// outer blanks trimmed: comparing by spelling is then all that can be done.
func CanonicalName(name string) string {
	name = strings.TrimSpace(name)
	// Most names hold none of what would be rewritten.
	if !strings.ContainsAny(name, "`<[/ ,\\") {
		return name
	}
	if n, ok := ParseTypeName(name); ok {
		return n.String()
	}
	return name
}

// nameParser is a recursive-descent parser of the union of the grammars above.
type nameParser struct {
	s     string
	i     int
	depth int
}

// Nesting beyond this is no type anybody wrote, and hostile input must not
// exhaust the stack.
const maxNameDepth = 64

func (p *nameParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *nameParser) blanks() {
	for p.peek() == ' ' {
		p.i++
	}
}

func (p *nameParser) parse() (TypeName, bool) {
	if p.depth++; p.depth > maxNameDepth {
		return TypeName{}, false
	}
	defer func() { p.depth-- }()
	var n TypeName
	for {
		seg, ok := p.segment()
		if !ok {
			return n, false
		}
		n.Chain = append(n.Chain, seg)
		if c := p.peek(); c != '+' && c != '/' {
			break
		}
		p.i++
	}
	// Arguments in double brackets, or in angle brackets behind a chain of
	// arities, belong to the whole chain: each segment takes as many as its
	// arity says.
	last := &n.Chain[len(n.Chain)-1]
	if p.peek() == '[' && p.i+1 < len(p.s) && p.s[p.i+1] == '[' {
		if last.Args != nil {
			return n, false
		}
		args, ok := p.bracketArgs()
		if !ok {
			return n, false
		}
		last.Args = args
	}
	if !spread(n.Chain) {
		return n, false
	}
	start := p.i
	for {
		switch p.peek() {
		case '[': // [] [,] [*]
			j := p.i + 1
			for j < len(p.s) && (p.s[j] == ',' || p.s[j] == '*' || p.s[j] == ' ') {
				j++
			}
			if j == len(p.s) || p.s[j] != ']' {
				return n, false
			}
			p.i = j + 1
		case '*', '&':
			p.i++
		default:
			n.Suffix = strings.ReplaceAll(p.s[start:p.i], " ", "")
			return n, true
		}
	}
}

// spread hands the arguments of the last segment to the segments whose
// arities claim them. It reports false when the figures do not fit.
func spread(segs []NamePart) bool {
	last := &segs[len(segs)-1]
	total := 0
	for _, s := range segs {
		total += s.Arity
	}
	for _, s := range segs[:len(segs)-1] {
		if s.Args != nil { // each carries its own: List`1<T>+Enumerator
			return true
		}
	}
	if last.Args == nil || total == 0 {
		return true
	}
	if total != len(last.Args) {
		return false
	}
	args := last.Args
	last.Args = nil
	for i := range segs {
		n := segs[i].Arity
		if n > 0 {
			segs[i].Args, segs[i].Arity = args[:n:n], 0
			args = args[n:]
		}
	}
	return true
}

// segment reads one name: everything up to a structural character. Names made
// by compilers hold balanced angle brackets themselves (<>c__DisplayClass8_0,
// <Run>d__1, <>f__AnonymousType0), which open at the start of a segment or
// after a dot; generic arguments open behind an identifier.
func (p *nameParser) segment() (NamePart, bool) {
	var seg NamePart
	start, escaped := p.i, p.i
loop:
	for p.i < len(p.s) {
		switch c := p.s[p.i]; c {
		case '\\': // an escaped character is part of the name
			p.i += 2
			if p.i > len(p.s) {
				return seg, false
			}
			escaped = p.i
		case '<':
			if p.i == start || p.s[p.i-1] == '.' || p.s[p.i-1] == '>' && p.compilerMade(start) {
				depth := 0
				for ; p.i < len(p.s); p.i++ {
					if p.s[p.i] == '<' {
						depth++
					} else if p.s[p.i] == '>' {
						if depth--; depth == 0 {
							p.i++
							break
						}
					}
				}
				if depth != 0 {
					return seg, false
				}
				continue
			}
			break loop
		case '+', '/', '[', ']', ',', '>', '*', '&', '`':
			break loop
		default:
			p.i++
		}
	}
	// An escaped blank is part of the name, too.
	tail := strings.TrimRightFunc(p.s[escaped:p.i], unicode.IsSpace)
	seg.Name = strings.TrimLeftFunc(p.s[start:escaped]+tail, unicode.IsSpace)
	if seg.Name == "" {
		return seg, false
	}
	if p.peek() == '`' {
		j := p.i + 1
		for j < len(p.s) && p.s[j] >= '0' && p.s[j] <= '9' {
			j++
		}
		n, err := strconv.Atoi(p.s[p.i+1 : j])
		if err != nil || n == 0 || n > 1000 {
			return seg, false
		}
		seg.Arity = n
		p.i = j
	}
	if p.peek() == '<' {
		args, ok := p.angleArgs()
		if !ok {
			return seg, false
		}
		seg.Args = args
		if seg.Arity == len(args) {
			// Written twice: List`1<T>. The arguments say it.
			return seg, true
		}
	}
	return seg, true
}

// compilerMade reports whether the segment so far is nothing but a leading
// <…> group, as in <<Run>b__0>d.
func (p *nameParser) compilerMade(start int) bool {
	return p.s[start] == '<' && strings.Count(p.s[start:p.i], "<") == strings.Count(p.s[start:p.i], ">") &&
		strings.HasSuffix(p.s[start:p.i], ">") && !strings.Contains(p.s[start:p.i], "__")
}

func (p *nameParser) angleArgs() ([]TypeName, bool) {
	p.i++ // <
	var args []TypeName
	for {
		p.blanks()
		a, ok := p.parse()
		if !ok {
			return nil, false
		}
		args = append(args, a)
		p.blanks()
		switch p.peek() {
		case ',':
			p.i++
		case '>':
			p.i++
			return args, true
		default:
			return nil, false
		}
	}
}

// bracketArgs reads [[T, Asm, Version=…],[U, Asm]] and drops the assemblies.
func (p *nameParser) bracketArgs() ([]TypeName, bool) {
	p.i++ // [
	var args []TypeName
	for {
		p.blanks()
		if p.peek() != '[' {
			return nil, false
		}
		p.i++
		p.blanks()
		a, ok := p.parse()
		if !ok {
			return nil, false
		}
		args = append(args, a)
		for p.i < len(p.s) && p.s[p.i] != ']' {
			if p.s[p.i] == '[' {
				return nil, false
			}
			p.i++
		}
		if p.peek() != ']' {
			return nil, false
		}
		p.i++
		p.blanks()
		switch p.peek() {
		case ',':
			p.i++
		case ']':
			p.i++
			return args, true
		default:
			return nil, false
		}
	}
}

// someNames is how many names a warning lists.
const someNames = 10

// Some lists names for a warning, in order and each once, at most ten of them:
// "A, B and 37 more".
func Some(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	rest := len(names) - someNames
	if rest <= 0 {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:someNames], ", ") + " and " + strconv.Itoa(rest) + " more"
}
