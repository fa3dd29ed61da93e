package fullname

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"leaktrack/heap"
	"leaktrack/ingest/internal/metadata"
)

// frameworkText is the nested types, and those of the global namespace, of the
// class libraries of .NET whose nested types are met in heaps. README.md says
// where it comes from. A line without indent names an assembly; the lines below
// it a type, and behind it the types nested in it by what follows the plus sign,
// a ! behind those that are abstract in every version; - stands for no enclosing
// type.
//
//go:embed framework.txt
var frameworkText string

var framework = sync.OnceValues(func() (map[string]*Index, error) { return parseFramework(frameworkText) })

// Framework returns what the table says of the module with this path or file
// name; nil when it is not in the table.
func Framework(module string) *Index {
	table, err := framework()
	if err != nil {
		panic(err) // the table is part of the program and tested
	}
	return table[assembly(module)]
}

// Recognise tells which assembly of the table a module without a name is, by
// types that it defines; "" when that is not clear. The base library alone
// defines System.String. Any other must define two or more of the table's types,
// more than fit any other assembly, and nothing outside of the namespaces of the
// class libraries, so that a program's copy of a library's class does not count.
func Recognise(defines []heap.TypeName) string {
	table, err := framework()
	if err != nil {
		panic(err)
	}
	fits := map[string]int{}
	seen := map[shape]bool{}
	for _, n := range defines {
		s := flatten(n)
		switch {
		case s.name == "System.String":
			return "System.Private.CoreLib"
		case n.Bare() || seen[s]:
			continue
		case !strings.HasPrefix(s.name, "System.") && !strings.HasPrefix(s.name, "Microsoft.Win32.") && !strings.HasPrefix(s.name, "Internal."):
			return ""
		}
		seen[s] = true
		for name, x := range table {
			if x.outers[s] {
				fits[name]++
			}
		}
	}
	best, most, second := "", 0, 0
	for name, n := range fits {
		if n > most {
			best, most, second = name, n, most
		} else if n > second {
			second = n
		}
	}
	if most < 2 || most == second {
		return ""
	}
	return table[best].name
}

// assembly is the key of a module in the table.
func assembly(module string) string {
	name := strings.ToLower(BaseName(module))
	for _, ext := range []string{".dll", ".exe"} {
		name = strings.TrimSuffix(name, ext)
	}
	return strings.TrimSuffix(name, ".ni")
}

func parseFramework(text string) (map[string]*Index, error) {
	table := map[string]*Index{}
	var x *Index
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || line[0] == '#':
		case line[0] != '\t':
			x = &Index{name: line, outers: map[shape]bool{}}
			table[strings.ToLower(line)] = x
		default:
			fields := strings.Fields(line)
			if x == nil || len(fields) < 2 {
				return nil, fmt.Errorf("framework.txt:%d: %q", n, line)
			}
			outer := metadata.TypeName{}
			if fields[0] != "-" {
				i := strings.LastIndexByte(fields[0], '.')
				outer.Namespace, outer.Path = fields[0][:max(i, 0)], []string{fields[0][i+1:]}
			}
			if len(outer.Path) > 0 {
				name, params := cutArity(fields[0])
				x.outers[shape{name, params}] = true
			}
			for _, f := range fields[1:] {
				name, abstract := strings.CutSuffix(f, "!")
				t := metadata.TypeName{Namespace: outer.Namespace, Path: append(append([]string{}, outer.Path...), strings.Split(name, "+")...)}
				flags := uint32(0)
				if abstract {
					flags = typeAbstract
				}
				x.add(t, flags)
			}
		}
	}
	return table, nil
}
