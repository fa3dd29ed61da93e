package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "renew the golden texts inside the scripts; read them before commit")

// programs are what the test binary is when it is started by another name; they
// are in $PATH.
var programs = map[string]func(){"leaktrack": main}

func TestMain(m *testing.M) {
	playRoles()
	testscript.Main(m, programs)
}

// TestScripts runs the command as a user would: each script is a folder of
// inputs, calls, and what they must print.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			env.Setenv("LEAKTRACK_DB", "")
			return writeBinaries(env.WorkDir)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":    checkStatus,
			"unchanged": checkUnchanged,
			"damage":    damageFile,
			"scrape":    scrapePage,
			"occupy":    occupyPort,
		},
	})
}

// writeBinaries adds what the text of a script cannot hold.
func writeBinaries(dir string) error {
	log := "Process Uptime: 0 days 0:09:56.000\r\n.  0\tid: 7fc\tattach\tname: Shop.Web.exe\r\n" +
		"0:000> !dumpheap -stat\r\nStatistics:\r\n      MT    Count    TotalSize Class Name\r\n" +
		"00a1b2c4       15          480 Shop.Cart\r\nTotal 15 objects\r\n"
	utf16le := []byte{0xff, 0xfe}
	for _, r := range utf16.Encode([]rune(log)) {
		utf16le = binary.LittleEndian.AppendUint16(utf16le, r)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "utf16.log"), utf16le, 0o644),
		os.WriteFile(filepath.Join(dir, "binary.log"), []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00"), 0o644))
}
