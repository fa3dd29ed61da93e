package fullname

import (
	"bytes"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"leaktrack/ingest/internal/bundle"
	"leaktrack/ingest/internal/metadata"
)

var update = flag.Bool("update", false, "write framework.txt anew from the runtimes of the test bed")

// assemblies are those whose nested types were met in real heaps.
var assemblies = []string{
	"System.Private.CoreLib",
	"System.Collections",
	"System.Collections.Concurrent",
	"System.Collections.Immutable",
	"System.ComponentModel.TypeConverter",
	"System.Console",
	"System.Diagnostics.DiagnosticSource",
	"System.IO.Pipes",
	"System.Linq",
	"System.Linq.Expressions",
	"System.Net.Http",
	"System.Net.Sockets",
	"System.Private.DataContractSerialization",
	"System.Private.Uri",
	"System.Private.Xml",
	"System.Security.Cryptography",
	"System.Text.Encodings.Web",
	"System.Text.Json",
	"System.Text.RegularExpressions",
	"System.Threading.Channels",
}

// libraries opens an assembly in each version of the test bed.
func libraries(t testing.TB, bed, name string) (out []*metadata.Module) {
	open := func(r io.ReaderAt, size int64) {
		m, err := metadata.Open(r, size, metadata.File)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, m)
	}
	for _, version := range []string{"3.1.2", "9.0.5"} {
		b, err := os.ReadFile(filepath.Join(bed, "shared", "Microsoft.NETCore.App", version, name+".dll"))
		if err == nil {
			open(bytes.NewReader(b), int64(len(b)))
		}
	}
	host, err := os.Open(filepath.Join(bed, "net10", "azmcp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	st, err := host.Stat()
	if err != nil {
		t.Fatal(err)
	}
	single, err := bundle.Open(host, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	if r, size, ok := single.File(name + ".dll"); ok {
		open(r, size)
	}
	return out
}

// generate writes the table.
func generate(t testing.TB, bed string) string {
	var out strings.Builder
	out.WriteString("# Nested types of the class libraries of .NET, made by go test -update; see README.md.\n")
	for _, name := range assemblies {
		nested := map[string]map[string]bool{} // outer type, nested path, whether concrete
		for _, m := range libraries(t, bed, name) {
			for i := range m.TypeDefs() {
				token := 0x02000001 + uint32(i)
				n, err := m.TypeName(token)
				if err != nil {
					t.Fatal(err)
				}
				attributes, err := m.Attributes(token)
				if err != nil {
					t.Fatal(err)
				}
				full := n.String()
				if attributes&(typeAbstract|typeSealed) == typeAbstract|typeSealed || strings.ContainsAny(full, "< =") ||
					len(n.Path) == 1 && n.Namespace != "" {
					continue
				}
				outer, path := "-", full
				if len(n.Path) > 1 {
					outer, path, _ = strings.Cut(full, "+")
				}
				if nested[outer] == nil {
					nested[outer] = map[string]bool{}
				}
				nested[outer][path] = nested[outer][path] || attributes&typeAbstract == 0
			}
		}
		out.WriteString("\n" + name + "\n")
		for _, outer := range slices.Sorted(maps.Keys(nested)) {
			out.WriteString("\t" + outer)
			for _, path := range slices.Sorted(maps.Keys(nested[outer])) {
				out.WriteString(" " + path)
				if !nested[outer][path] {
					out.WriteString("!")
				}
			}
			out.WriteString("\n")
		}
	}
	return out.String()
}

// TestFrameworkTable: the table is what the runtimes of the test bed give.
func TestFrameworkTable(t *testing.T) {
	bed := os.Getenv("LEAKTRACK_DOTNET")
	if bed == "" {
		t.Skip("LEAKTRACK_DOTNET names no test bed; .ci/run lays one")
	}
	got := generate(t, bed)
	if *update {
		if err := os.WriteFile("framework.txt", []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		frameworkText = got
	}
	if got != frameworkText {
		t.Error("framework.txt is not what the test bed gives; run with -update")
	}
}
