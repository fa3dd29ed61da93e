package heap

import (
	"strconv"
	"strings"
)

// TypeName is a type name taken apart, whatever its spelling was.
type TypeName struct {
	// Chain is the type behind those that enclose it, the outermost first,
	// which alone has a namespace. It is never empty.
	Chain  []NamePart
	Suffix string // of arrays and pointers: [] [,] [*] * &
}

// NamePart is one name of a chain Outer+Inner.
type NamePart struct {
	Name string
	// Arity is the number of parameters of a generic type without arguments; 0
	// where there are arguments.
	Arity int
	Args  []TypeName // generic arguments of this part alone
}

// ParseTypeName takes a name apart in any of the spellings that
// [CanonicalName] knows. ok is false for a text that is no type name.
func ParseTypeName(name string) (n TypeName, ok bool) {
	p := nameParser{s: strings.TrimSpace(name)}
	n, ok = p.parse()
	return n, ok && p.i == len(p.s)
}

// String spells the name canonically.
func (n TypeName) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n TypeName) write(b *strings.Builder) {
	for i, p := range n.Chain {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(p.Name)
		switch {
		case p.Args != nil:
			for i, a := range p.Args {
				b.WriteByte("<,"[min(i, 1)])
				a.write(b)
			}
			b.WriteByte('>')
		case p.Arity > 0:
			b.WriteByte('`')
			b.WriteString(strconv.Itoa(p.Arity))
		}
	}
	b.WriteString(n.Suffix)
}

// Args returns the generic arguments of the whole chain, the outermost type's
// first, which is how a runtime keeps them.
func (n TypeName) Args() []TypeName {
	if len(n.Chain) == 1 {
		return n.Chain[0].Args
	}
	var args []TypeName
	for _, p := range n.Chain {
		args = append(args, p.Args...)
	}
	return args
}

// Flat returns the name as dotnet-gcdump leaves it, which drops the arities: the
// generic arguments of the whole chain stand behind its last part, here and in
// all arguments. Two spellings of one type have the same flat form.
func (n TypeName) Flat() TypeName {
	out := TypeName{Chain: make([]NamePart, len(n.Chain)), Suffix: n.Suffix}
	var args []TypeName
	arity := 0
	for i, p := range n.Chain {
		out.Chain[i].Name = p.Name
		arity += p.Arity
		for _, a := range p.Args {
			args = append(args, a.Flat())
		}
	}
	last := &out.Chain[len(n.Chain)-1]
	if last.Args = args; args == nil {
		last.Arity = arity
	}
	return out
}

// Short returns the name as a runtime's events have it: a nested type without
// namespace and enclosing types, with the generic arguments of all of them.
// Any other type keeps its name.
func (n TypeName) Short() TypeName {
	if len(n.Chain) == 1 {
		return n
	}
	last := NamePart{Name: n.Chain[len(n.Chain)-1].Name, Args: n.Args()}
	if last.Args == nil {
		for _, p := range n.Chain {
			last.Arity += p.Arity
		}
	}
	return TypeName{Chain: []NamePart{last}, Suffix: n.Suffix}
}

// Bare reports whether the name has neither namespace nor enclosing type: a
// type of the global namespace, or a nested one whose source left them out.
func (n TypeName) Bare() bool {
	if len(n.Chain) > 1 {
		return false
	}
	// A dot in the angle brackets of a compiler is part of a method's name.
	depth := 0
	for _, c := range []byte(n.Chain[0].Name) {
		switch c {
		case '<':
			depth++
		case '>':
			depth--
		case '.':
			if depth == 0 {
				return false
			}
		}
	}
	return true
}
