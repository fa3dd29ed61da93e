package main

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

// warnings are what is said although the work is done.
var warnings = map[string]failure{
	"warn-incomplete":    {run: "ingest cut.log"},
	"warn-total":         {run: "ingest sum.log"},
	"warn-row":           {run: "ingest absurd.log"},
	"warn-unnamed":       {run: "ingest --uptime 5m bare.txt"},
	"warn-repeated":      {run: "ingest --uptime-from mtime bare.txt bare2.txt", before: apart},
	"warn-skipped":       {run: "ingest mixed"},
	"warn-look-alike":    {run: "ingest both.log"},
	"warn-part":          {run: "ingest part.log"},
	"warn-not-used":      {run: "ingest --process Other good.log"},
	"warn-trace-cut":     {run: "ingest --uptime 5s t.nettrace", before: cutTrace(-3000)},
	"warn-ignore-line":   {run: "--db calm.db check --ignore ignore4.txt", before: calm},
	"warn-meta":          {run: "--db shop.db list", before: damagedMeta},
	"warn-waiting":       {run: "--db shop.db trend", before: lockedBriefly},
	"live-wait":          {run: "watch --wait NoSuchProgramHere", interrupt: true, before: interruptedWhenHeard},
	"ps-none":            {run: "ps", mount: "alone"},
	"warn-metrics-open":  {run: "--db shop.db metrics --listen 0.0.0.0:0", interrupt: true, before: interruptedWhenHeard},
	"warn-metrics-store": {run: "--db none.db metrics --listen 127.0.0.1:0", interrupt: true, before: interruptedWhenHeard},
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writes(name string, content []byte) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) { s.write(t, name, content) }
}

func makeFolder(t *testing.T, s *scene, name string, mode os.FileMode) {
	check(t, os.Mkdir(s.path(name), 0o777))
	check(t, os.Chmod(s.path(name), mode))
}

func forbid(name string) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		s.write(t, name, []byte("nobody's business\n"))
		check(t, os.Chmod(s.path(name), 0))
	}
}

// runs runs the command once, which must do its work.
func runs(t *testing.T, s *scene, args ...string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LEAKTRACK_AS_COMMAND=1", "LEAKTRACK_DB=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// interruptedWhenHeard sends Ctrl-C to a server once it has said something.
func interruptedWhenHeard(_ *testing.T, s *scene) {
	s.connected = make(chan bool)
	var once sync.Once
	s.said = func() { once.Do(func() { close(s.connected) }) }
}

// errorInputs are the files in the folder of every failure.
const errorInputs = `
-- good.log --
Debug session time: Sun Nov 22 10:09:56.000 2026 (UTC + 0:00)
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
00155f80       12          400      Free
Total 15 objects
-- changed.log --
Debug session time: Sun Nov 22 10:09:56.000 2026 (UTC + 0:00)
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        4          128 Shop.Cart
00155f80       12          400      Free
Total 16 objects
-- header.log --
Process Uptime: 0 days 0:09:56.000
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
0:000> lm
-- cut.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
00a1b
-- sum.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
00155f80       12          400      Free
Total 17 objects
-- absurd.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4       15          480 Shop.Cart
00a1b2c5        9223372036854775808          96 Shop.A
Total 15 objects
-- part.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat -gen 2
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
Total 3 objects
-- both.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
Total 3 objects
0:000> !finalizequeue
SyncBlocks to be cleaned up: 0
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
Total 3 objects
-- finalize.log --
Process Uptime: 0 days 0:09:56.000
0:000> !finalizequeue
SyncBlocks to be cleaned up: 0
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
Total 3 objects
-- broken.log --
Process Uptime: 0 days 0:09:56.000
0:000> !dumpheap -stat
Failed to load data access DLL, 0x80004005
-- talk.log --
Process Uptime: 0 days 0:09:56.000
0:000> lm
start    end        module name
-- bare.txt --
> dumpheap -stat
Statistics:
          MT Count TotalSize Class Name
7ff912345678 1,200    38,400 Shop.Node
Total 1,200 objects, 38,400 bytes
-- bare2.txt --
> dumpheap -stat
Statistics:
          MT Count TotalSize Class Name
7ff912345678 1,300    41,600 Shop.Node
Total 1,300 objects, 41,600 bytes
-- bad.jsonl --
{"process":{"program":"App","pid":"seven"},"uptime_seconds":60,"source":"json","basis":"live","complete":true,"types":[]}
-- hosts.jsonl --
{"process":{"host":"a","program":"Shop","pid":7},"uptime_seconds":60,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":1,"bytes":24}]}
{"process":{"host":"b","program":"Shop","pid":7},"uptime_seconds":60,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":1,"bytes":24}]}
-- sizes.jsonl --
{"process":{"program":"Shop","pid":7},"uptime_seconds":60,"source":"json","basis":"live","complete":false,"heap":{"heaps":1},"types":[]}
-- eeheap.log --
Process Uptime: 0 days 0:09:56.000
0:000> !eeheap -gc
Number of GC Heaps: 1
generation 0 starts at 0x01b01018
generation 1 starts at 0x01b0100c
generation 2 starts at 0x01b01000
ephemeral segment allocation context: none
-- empty.log --
-- notes/readme.md --
Nothing of interest here.
-- mixed/readme.md --
Nothing of interest here.
-- mixed/good.log --
Process Uptime: 0 days 0:09:56.000
.  0	id: 7fc	attach	name: Shop.Web.exe
0:000> !dumpheap -stat
Statistics:
      MT    Count    TotalSize Class Name
00a1b2c4        3           96 Shop.Cart
Total 3 objects
-- ignore1.txt --
Shop.Cache.*
-- ignore2.txt --
* # everything
-- ignore4.txt --
Shop.Cache.* # bounded
`
