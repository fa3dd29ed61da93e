package clr

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestLiveTables compares the tables of offsets with the descriptors in the
// runtimes of the test bed: that of .NET 9.0.5, a library, and that of .NET
// 10.0.9, linked into a program.
func TestLiveTables(t *testing.T) {
	bed := os.Getenv("LEAKTRACK_DOTNET")
	if bed == "" {
		t.Skip("LEAKTRACK_DOTNET names no test bed")
	}
	for file, version := range map[string]Version{
		"shared/Microsoft.NETCore.App/9.0.5/libcoreclr.so": {Major: 9},
		"net10/azmcp": {Major: 10},
	} {
		b, err := os.ReadFile(filepath.Join(bed, file))
		if err != nil {
			t.Fatal(err)
		}
		from := bytes.Index(b, []byte(`{"version":0,"baseline":"empty","types"`))
		if from < 0 {
			t.Fatalf("%s: no descriptor", file)
		}
		text := b[from:]
		text = text[:bytes.IndexByte(text, 0)]
		d := newDescriptor()
		if _, err := d.parse(text, slotsOf()); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		got, err := d.layout(newReader(&Process{Memory: nothing{}}))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want, err := tableLayout(version, AMD64)
		if err != nil {
			t.Fatal(err)
		}
		got.origin, got.freeMT, got.continuationMT = want.origin, want.freeMT, want.continuationMT
		if *got != *want {
			t.Errorf("%s: its descriptor says\n%+v\nthe table\n%+v", file, *got, *want)
		}
	}
}
