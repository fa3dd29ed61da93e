package fullname

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

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
			x = &Index{}
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
