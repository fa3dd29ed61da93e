package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"debug/elf"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// failures makes each failure of doc/errors.md happen, by the id of its row.
var failures = map[string]failure{
	// How it was called.
	"verb":              {run: "trnd"},
	"verb-unknown":      {run: "frobnicate"},
	"flag":              {run: "trend --typ A"},
	"flag-unknown":      {run: "trend --frobnicate"},
	"flag-number":       {run: "trend --top many"},
	"flag-time":         {run: "watch --every soon App"},
	"flag-yes-no":       {run: "trend --all=perhaps"},
	"flag-no-value":     {run: "trend --top"},
	"flag-behind":       {run: "ingest good.log --process X"},
	"process-several":   {run: "--db shop.db list A B"},
	"no-file":           {run: "ingest"},
	"no-target":         {run: "watch"},
	"core-target":       {run: "core"},
	"ps-several":        {run: "ps A B"},
	"uptime":            {run: "ingest --uptime soon good.log"},
	"uptime-ambiguous":  {run: "ingest --uptime 1:30 good.log"},
	"time":              {run: "ingest --at soon good.log"},
	"started":           {run: "ingest --started soon good.log"},
	"uptime-from":       {run: "ingest --uptime-from birth good.log"},
	"pid":               {run: "ingest --pid -1 good.log"},
	"live-flag":         {run: "ingest --save-trace x good.log"},
	"file-flag":         {run: "ingest --pid 1 --uptime 5m"},
	"pid-and-name":      {run: "ingest --pid 1 --name A"},
	"method":            {run: "ingest --pid 1 --method magic"},
	"trace-method":      {run: "ingest --pid 1 --method memory --save-trace x"},
	"every":             {run: "watch --every 10ms App"},
	"negative":          {run: "watch --count -1 App"},
	"mail-flags":        {run: "watch --to a@example.com App"},
	"format":            {run: "list --format xml"},
	"check-format":      {run: "check --format csv"},
	"basis":             {run: "show --basis dead"},
	"top":               {run: "--db shop.db trend --top 0"},
	"report-top":        {run: "report --top 0 -o x.html"},
	"size":              {run: "trend --limit much"},
	"limit-zero":        {run: "trend --limit 0B"},
	"type-empty":        {run: "trend --type="},
	"explain":           {run: "trend --explain"},
	"program-process":   {run: "--db shop.db trend --program A B"},
	"no-output":         {run: "plot"},
	"report-output":     {run: "report"},
	"core-output":       {run: "core App"},
	"picture-form":      {run: "plot -o leak.gif"},
	"picture-name":      {run: "plot -o leak"},
	"metrics-listen":    {run: "metrics --listen nonsense"},
	"metrics-watch":     {run: "watch --metrics nonsense App"},
	"metrics-host":      {run: "metrics --listen :9464"},
	"metrics-port":      {run: "metrics --listen 127.0.0.1:99999"},
	"metrics-top":       {run: "metrics --top 0"},
	"metrics-print":     {run: "metrics --print --listen 127.0.0.1:0"},
	"root":              {run: "ingest --root none good.log"},
	"metrics-taken":     {run: "metrics --listen ADDR", before: hangsUp},
	"metrics-elsewhere": {run: "metrics --listen 192.0.2.1:0"},
	"width":             {run: "plot -o leak.png --width 5"},
	"core-type":         {run: "core -o x.core --type mini App"},
	"rate":              {run: "check --max-rate fast"},
	"share":             {run: "check --max-share 200"},
	"min-points":        {run: "check --min-points 2"},
	"junit-name":        {run: "check --junit="},
	"db-verb":           {run: "db"},
	"db-verb-unknown":   {run: "db vacuum"},
	"db-arguments":      {run: "db compact x"},
	"prune-nothing":     {run: "db prune"},
	"prune-age":         {run: "db prune --older-than yesterday"},
	"prune-keep":        {run: "db prune --keep -1"},
	"prune-all":         {run: "db prune --keep 0"},
	"backup-name":       {run: "db backup"},
	"shell":             {run: "completion"},
	"shell-unknown":     {run: "completion tcsh"},
	"man-arguments":     {run: "man trend"},
	"diff-same":         {run: "--db shop.db diff --from 4s --to 4s CLRHeapLeak.exe"},
	"process-one":       {run: "--db shop.db show"},
	"program-types":     {run: "--db shop.db plot --program CLRHeapLeak --type * -o x.png"},
	"interrupted":       {run: "--db shop.db mail --smtp ADDR --to a@example.com", before: silentServer, interrupt: true},

	// What was read.
	"input-missing":     {run: "ingest missing.log"},
	"input-pattern":     {run: "ingest 'missing*.log'"},
	"input-bad-pattern": {run: "ingest '[.log'"},
	"input-forbidden":   {run: "ingest private.log", before: forbid("private.log"), nobody: true},
	"input-empty":       {run: "ingest empty.log"},
	"folder-empty":      {run: "ingest nothing", before: func(t *testing.T, s *scene) { makeFolder(t, s, "nothing", 0o777) }},
	"folder-no-log":     {run: "ingest notes"},
	"input-unknown":     {run: "ingest binary.bin", before: writes("binary.bin", []byte("\x00\x01\x02\x03 of no format"))},
	"input-zip":         {run: "ingest dump.gcdump.zip", before: writes("dump.gcdump.zip", zipFile)},
	"input-etl":         {run: "ingest trace.etl", before: writes("trace.etl", append(make([]byte, 72), "\x02\x00\x02\xc0 and events"...))},
	"input-minidump":    {run: "ingest shop.dmp", before: writes("shop.dmp", []byte("MDMP\x93\xa7\x00\x00"))},
	"log-no-heap":       {run: "ingest talk.log"},
	"log-look-alike":    {run: "ingest finalize.log"},
	"log-debugger":      {run: "ingest broken.log"},
	"no-uptime":         {run: "ingest bare.txt"},
	"uptime-twice":      {run: "ingest --uptime 5m bare.txt bare2.txt"},
	"started-no-time":   {run: "ingest --started 2026-11-22T10:00:00Z bare.txt"},
	"started-late":      {run: "ingest --started 2026-11-22T12:00:00Z --at 2026-11-22T10:00:00Z bare.txt"},
	"no-file-time":      {run: "ingest --uptime-from mtime -", stdin: "> dumpheap -stat\nStatistics:\n          MT Count TotalSize Class Name\n7ff912345678 1 24 A\nTotal 1 objects, 24 bytes\n"},
	"oldest-first":      {run: "ingest --uptime-from mtime 20261122_020000_2044.txt 20261122_010000_2044.txt", before: backwards},
	"gzip-cut":          {run: "ingest log.gz", before: writes("log.gz", zipped([]byte(strings.Repeat("a log without an end\n", 1000)))[:60])},
	"gzip-broken":       {run: "ingest log.gz", before: writes("log.gz", []byte("\x1f\x8b\xff and no more"))},
	"json-line":         {run: "ingest bad.jsonl"},
	"trace-cut":         {run: "ingest --uptime 5s t.nettrace", before: cutTrace(100)},
	"trace-no-walk":     {run: "ingest --uptime 5s t.nettrace", before: cutTrace(-102)},
	"trace-version":     {run: "ingest t.nettrace", before: writes("t.nettrace", []byte("Nettrace\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"))},
	"trace-broken":      {run: "ingest t.nettrace", before: func(t *testing.T, s *scene) { s.write(t, "t.nettrace", append(traceHead(), "UUUUUUUU"...)) }},
	"gcdump-cut":        {run: "ingest d.gcdump", before: writes("d.gcdump", []byte("\x14\x00\x00\x00!FastSerialization.1\x05\x04\x01\x07\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00GCHeapDump\x06"))},
	"gcdump-version":    {run: "ingest d.gcdump", before: writes("d.gcdump", []byte("\x14\x00\x00\x00!FastSerialization.1\x05\x04\x01\x08\x00\x00\x00\x04\x00\x00\x00\x0a\x00\x00\x00GCHeapDump"+strings.Repeat("\x06", 30)))},
	"core-pipe":         {run: "ingest c.core.gz", before: writes("c.core.gz", zipped(coreFileOf("9.0.5", elf.EM_X86_64)))},
	"core-no-runtime":   {run: "ingest c.core", before: writes("c.core", coreFileOf("", elf.EM_X86_64))},
	"core-version":      {run: "ingest c.core", before: writes("c.core", coreFileOf("8.0.11", elf.EM_X86_64))},
	"core-machine":      {run: "ingest c.core", before: writes("c.core", coreFileOf("9.0.5", elf.EM_S390))},
	"core-cut":          {run: "ingest c.core", before: writes("c.core", coreFileOf("9.0.5", elf.EM_X86_64)[:600])},
	"core-broken":       {run: "ingest c.core", before: writes("c.core", manySegments())},
	"report-rows":       {run: "ingest --uptime 5m r.txt", before: writes("r.txt", []byte("32  GC Heap bytes\n1  GC Heap objects\n\n  Object Bytes     Count  Type\n"))},
	"conflict":          {run: "ingest good.log changed.log"},
	"ignore-missing":    {run: "--db shop.db check --ignore none.txt"},
	"ignore-no-reason":  {run: "--db shop.db check --ignore ignore1.txt"},
	"ignore-all":        {run: "--db shop.db check --ignore ignore2.txt"},
	"ignore-binary":     {run: "--db shop.db check --ignore ignore3.txt", before: writes("ignore3.txt", []byte("A\xff # why\n"))},

	// The store.
	"store-missing":        {run: "trend"},
	"store-empty":          {run: "--db empty.log trend"},
	"store-not":            {run: "--db good.log trend"},
	"store-not-empty":      {run: "--db empty.log db check"},
	"store-folder":         {run: "--db notes trend"},
	"store-fifo":           {run: "--db pipe trend", before: func(t *testing.T, s *scene) { check(t, unix.Mkfifo(s.path("pipe"), 0o600)) }},
	"store-other":          {run: "--db other.db trend", before: otherBolt},
	"store-newer":          {run: "--db shop.db trend", before: newerStore},
	"store-damaged":        {run: "--db shop.db db check", before: damaged},
	"store-damaged-open":   {run: "--db shop.db trend", before: func(t *testing.T, s *scene) { check(t, os.Truncate(s.path("shop.db"), 20000)) }},
	"store-damaged-values": {run: "--db shop.db db compact", before: damaged},
	"store-locked":         {run: "--db shop.db trend", before: locked},
	"store-read":           {run: "--db private.log trend", before: forbid("private.log"), nobody: true},
	"store-write":          {run: "--db closed/x.db ingest good.log", before: func(t *testing.T, s *scene) { makeFolder(t, s, "closed", 0o555) }, nobody: true},
	"store-no-folder":      {run: "--db none/x.db ingest good.log"},
	"store-read-only":      {run: "--db disk/x.db ingest good.log", mount: "readonly"},
	"store-full":           {run: "--db disk/x.db ingest good.log", mount: "full"},
	"store-meta":           {run: "--db shop.db db check", before: damagedMeta},
	"store-meta-backup":    {run: "--db shop.db db backup x.db", before: damagedMeta},
	"store-no-snapshots": {run: "--db shop.db list", before: func(t *testing.T, s *scene) {
		runs(t, s, "--db", "shop.db", "db", "prune", "--keep", "0", "--older-than", "1d")
	}},
	"process-unknown": {run: "--db shop.db trend Shop.Web"},
	"program-unknown": {run: "--db shop.db trend --program Shop.Web"},
	"program-hosts":   {run: "--db two.db plot --program Shop -o x.png", before: func(t *testing.T, s *scene) { runs(t, s, "--db", "two.db", "ingest", "hosts.jsonl") }},
	"type-unknown":    {run: "--db shop.db trend --type Shop.Warehouse.Basket"},
	"type-near":       {run: "--db shop.db trend --type System.Strin"},
	"basis-none":      {run: "--db shop.db show --basis live CLRHeapLeak.exe"},
	"no-types":        {run: "--db shop.db diff w3wp"},
	"backup-exists":   {run: "--db shop.db db backup good.log"},
	"backup-itself":   {run: "--db shop.db db backup shop.db"},
	"backup-folder":   {run: "--db shop.db db backup none/x.db"},
	"check-too-few":   {run: "--db one.db check", before: func(t *testing.T, s *scene) { runs(t, s, "--db", "one.db", "ingest", "good.log") }},

	// What was written.
	"output-exists":    {run: "--db shop.db report -o good.log CLRHeapLeak.exe"},
	"output-folder":    {run: "--db shop.db report -o notes"},
	"output-no-folder": {run: "--db shop.db report -o none/x.html"},
	"output-forbidden": {run: "--db shop.db export -o closed/x.jsonl", before: func(t *testing.T, s *scene) { makeFolder(t, s, "closed", 0o555) }, nobody: true},
	"output-full":      {run: "--db shop.db export -o disk/x.jsonl", mount: "full"},
	"output-closed":    {run: "--db shop.db export > /dev/full"},
	"core-exists":      {run: "core -o good.log App"},
	"trace-exists":     {run: "ingest --pid PID --save-trace good.log", before: pretending("sessions")},
	"trace-folder":     {run: "ingest --pid PID --quiet --save-trace none/x.nettrace", before: func(t *testing.T, s *scene) { s.set["PID"] = fmt.Sprint(zoo(t, "zoo9", "linked", "1")) }, bed: true},

	// Running processes.
	"live-none":         {run: "ingest --pid 4194304"},
	"live-exited":       {run: "ingest --pid PID", before: zombie},
	"live-name":         {run: "ingest --name Warehouse.Basket.Nobody"},
	"live-name-several": {run: "ingest --name Twin", before: twins},
	"live-not-dotnet":   {run: "ingest --pid PID", before: pretending("nothing")},
	"live-aot":          {run: "ingest --pid PID", before: pretending("thread")},
	"live-old":          {run: "ingest --pid PID", before: pretending("lib2.1.30")},
	"live-no-socket":    {run: "ingest --pid PID", before: pretending("lib9.0.5")},
	"live-disabled":     {run: "ingest --pid PID", before: pretending("nothing", "DOTNET_EnableDiagnostics=0")},
	"live-user":         {run: "ingest --pid PID", before: pretending("silent"), nobody: true, root: true},
	"live-container":    {run: "ingest --pid PID", before: pretending("contained thread silent"), nobody: true, root: true},
	"live-tmpdir-gone":  {run: "ingest --pid PID", before: pretending("gone")},
	"live-tmpdir-long":  {run: "ingest --pid PID", before: longTemp},
	"live-stale":        {run: "ingest --pid PID", before: pretending("dead")},
	"live-planted":      {run: "ingest --pid PID", before: pretending("file")},
	"live-stopped":      {run: "ingest --pid PID", before: stopped},
	"live-suspended":    {run: "ingest --pid PID", before: pretending("lib9.0.5 good", "DOTNET_DefaultDiagnosticPortSuspend=1")},
	"live-busy":         {run: "ingest --pid PID", before: pretending("silent")},
	"live-mute":         {run: "ingest --pid PID", before: pretending("good")},
	"live-stranger":     {run: "ingest --pid PID", before: pretending("garbage")},
	"live-closes":       {run: "ingest --pid PID", before: pretending("closes")},
	"live-sessions":     {run: "ingest --pid PID", before: pretending("sessions")},
	"live-no-walk":      {run: "ingest --pid PID", before: pretending("nowalk")},
	"live-dies":         {run: "ingest --pid PID", before: pretending("dies")},
	"live-nonsense":     {run: "ingest --pid PID", before: pretending("badstream")},
	"live-other-pid":    {run: "ingest --pid PID", before: pretending("otherpid")},
	"live-answer":       {run: "ingest --pid PID", before: pretending("halfinfo")},
	"live-no-tracing":   {run: "ingest --pid PID", before: pretending("notracing")},
	"live-large":        {run: "ingest --pid PID", before: pretending("large sessions")},
	"watch-no-walk":     {run: "watch --count 1 --sample=-1s PID", before: pretending("large sessions")},
	"watch-nothing":     {run: "watch --count 1 --sample=-1s PID", before: pretending("sessions")},
	"core-refused":      {run: "core -o x.core PID", before: pretending("good")},
	"core-unable":       {run: "core -o x.core PID", before: pretending("nocores")},
	"memory-user":       {run: "ingest --pid PID --method memory", before: pretending("nothing"), nobody: true, root: true},
	"memory-debugger":   {run: "ingest --pid PID --method memory", before: debugged, bed: true},
	"memory-no-runtime": {run: "ingest --pid PID --method memory", before: pretending("nothing")},
	"memory-version":    {run: "ingest --pid PID --method memory", before: pretending("lib8.0.11")},
	"memory-forbidden":  {run: "ingest --pid PID --method memory", before: pretending("undumpable"), nobody: true, root: true},
	"watch-name":        {run: "watch Warehouse.Basket.Nobody"},

	// Mail.
	"mail-no-recipient":   {run: "mail --smtp localhost"},
	"mail-no-server":      {run: "mail --to a@example.com"},
	"mail-address":        {run: "mail --to nobody --smtp localhost"},
	"mail-server-name":    {run: "mail --to a@example.com --smtp :25"},
	"mail-tls":            {run: "mail --to a@example.com --smtp localhost --tls maybe"},
	"mail-auth":           {run: "mail --to a@example.com --smtp localhost --auth ntlm --user x"},
	"mail-auth-user":      {run: "mail --to a@example.com --smtp localhost --auth plain"},
	"mail-plain-password": {run: "mail --to a@example.com --smtp localhost --tls none --user x"},
	"mail-no-password":    {run: "mail --to a@example.com --smtp localhost --user x"},
	"mail-password-file":  {run: "mail --to a@example.com --smtp localhost --user x --password-file none"},
	"mail-ca-file":        {run: "mail --to a@example.com --smtp localhost --ca none"},
	"mail-ca-empty":       {run: "mail --to a@example.com --smtp localhost --ca good.log"},
	"mail-attach":         {run: "mail --to a@example.com --smtp localhost --attach cat"},
	"mail-size":           {run: "mail --to a@example.com --smtp localhost --max-size big"},
	"mail-unreachable":    {run: "--db shop.db mail --to a@example.com --smtp 127.0.0.1:1"},
	"mail-silent": {run: "--db one.db mail --to a@example.com --smtp ADDR", before: func(t *testing.T, s *scene) {
		runs(t, s, "--db", "one.db", "ingest", "good.log")
		silentServer(t, s)
		s.env = append(s.env, "LEAKTRACK_HASTY=1")
	}},
	"mail-no-greeting": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: hangsUp},
	"mail-no-starttls": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: mailServer(mailRules{})},
	"mail-no-tls":      {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls implicit", before: mailServer(mailRules{})},
	"mail-certificate": {run: "--db shop.db mail --to a@example.com --smtp ADDR", before: mailServer(mailRules{tls: true})},
	"mail-no-login":    {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw", before: mailServer(mailRules{tls: true})},
	"mail-login-kind":  {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw --auth cram-md5", before: mailServer(mailRules{tls: true, login: true})},
	"mail-login":       {run: "--db shop.db mail --to a@example.com --smtp ADDR --ca ca.pem --user x --password-file pw", before: mailServer(mailRules{tls: true, login: true})},
	"mail-sender":      {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{sender: 553})},
	"mail-recipient":   {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{recipient: 550})},
	"mail-some":        {run: "--db shop.db mail --to a@example.com --to b@example.org --smtp ADDR --tls none", before: mailServer(mailRules{recipient: 550})},
	"mail-refused":     {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{data: 552})},
	"mail-temporary":   {run: "--db shop.db mail --to a@example.com --smtp ADDR --tls none", before: mailServer(mailRules{sender: 451})},

	// Warnings.
	"warn-incomplete":    {run: "ingest cut.log"},
	"warn-total":         {run: "ingest sum.log"},
	"warn-row":           {run: "ingest absurd.log"},
	"warn-unnamed":       {run: "ingest --uptime 5m bare.txt"},
	"warn-skipped":       {run: "ingest mixed"},
	"warn-look-alike":    {run: "ingest both.log"},
	"warn-part":          {run: "ingest part.log"},
	"warn-not-used":      {run: "ingest --process Other good.log"},
	"warn-trace-cut":     {run: "ingest --uptime 5s t.nettrace", before: cutTrace(-3000)},
	"warn-ignore-line":   {run: "--db calm.db check --ignore ignore4.txt", before: calm},
	"warn-meta":          {run: "--db shop.db list", before: damagedMeta},
	"warn-waiting":       {run: "--db shop.db trend", before: lockedBriefly},
	"live-wait":          {run: "watch --wait NoSuchProgramHere", interrupt: true, before: interruptedWhenHeard},
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

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

var zipFile = func() []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	w, err := z.Create("dump.gcdump")
	must(err)
	_, err = w.Write([]byte("content"))
	must(err)
	must(z.Close())
	return out.Bytes()
}()

// backwards makes two reports whose names and whose files disagree about which
// is older.
func backwards(t *testing.T, s *scene) {
	text := "32  GC Heap bytes\n1  GC Heap objects\n\n  Object Bytes     Count  Type\n            32     1  Shop.Cart  [Shop.dll]\n"
	for i, name := range []string{"20261122_020000_2044.txt", "20261122_010000_2044.txt"} {
		s.write(t, name, []byte(text))
		at := time.Date(2026, 11, 22, 1+i, 0, 0, 0, time.UTC)
		check(t, os.Chtimes(s.path(name), at, at))
	}
}

// cutTrace writes the first bytes of a recorded trace; of a negative number, all
// but so many, and for -102 the head and the end, with no event between.
func cutTrace(n int) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		f, err := os.Open("../../ingest/nettrace/testdata/linked-zoo9.nettrace.gz")
		check(t, err)
		defer f.Close()
		z, err := gzip.NewReader(f)
		check(t, err)
		b, err := io.ReadAll(z)
		check(t, err)
		switch {
		case n == -102:
			b = append(b[:102:102], 1)
		case n < 0:
			b = b[:len(b)+n]
		default:
			b = b[:n]
		}
		s.write(t, "t.nettrace", b)
	}
}

var elfIdent = [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1}

func put(w *bytes.Buffer, parts ...any) {
	for _, p := range parts {
		must(binary.Write(w, binary.LittleEndian, p))
	}
}

// runtimePage is the first page of a runtime's image: as much as its headers.
func runtimePage(machine elf.Machine) []byte {
	const page = 4096
	var b bytes.Buffer
	put(&b, elf.Header64{Ident: elfIdent, Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: page, Memsz: page})
	return append(b.Bytes(), make([]byte, page-b.Len())...)
}

// coreFileOf makes a core with one segment, the first page of a runtime of the
// given version, and the note that names its file. Without version there is none.
func coreFileOf(version string, machine elf.Machine) []byte {
	const base = 0x10000000
	image := runtimePage(machine)
	size := uint64(len(image))
	path := "/usr/share/dotnet/shared/Microsoft.NETCore.App/" + version + "/libcoreclr.so\x00"
	if version == "" {
		path = "/usr/bin/sleep\x00"
	}
	var desc, note, out bytes.Buffer
	put(&desc, uint64(1), uint64(1), uint64(base), uint64(base+size), uint64(0))
	desc.WriteString(path)
	put(&note, uint32(5), uint32(desc.Len()), uint32(0x46494c45))
	note.WriteString("CORE\x00\x00\x00\x00")
	note.Write(desc.Bytes())
	note.Write(make([]byte, (8-note.Len()%8)%8))
	at := uint64(64 + 2*56)
	put(&out, elf.Header64{Ident: elfIdent, Type: uint16(elf.ET_CORE), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2},
		elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at, Filesz: uint64(note.Len())},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at + uint64(note.Len()), Vaddr: base, Filesz: size, Memsz: size})
	out.Write(note.Bytes())
	out.Write(image)
	return out.Bytes()
}

// manySegments is the head of a core that promises more than it holds.
func manySegments() []byte {
	b := coreFileOf("9.0.5", elf.EM_X86_64)[:200]
	binary.LittleEndian.PutUint16(b[56:], 1000)
	return b
}

func otherBolt(t *testing.T, s *scene) {
	db, err := bbolt.Open(s.path("other.db"), 0o600, nil)
	check(t, err)
	check(t, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("widgets"))
		return err
	}))
	check(t, db.Close())
}

func newerStore(t *testing.T, s *scene) {
	db, err := bbolt.Open(s.path("shop.db"), 0o600, nil)
	check(t, err)
	check(t, db.Update(func(tx *bbolt.Tx) error {
		head := tx.Bucket([]byte("leaktrack"))
		return errors.Join(head.Put([]byte("version"), []byte{99}), head.SetSequence(uint64(tx.ID()))) // the number of the commit
	}))
	check(t, db.Close())
}

// damaged flips a bit in a name of a type.
func damaged(t *testing.T, s *scene) {
	b, err := os.ReadFile(s.path("shop.db"))
	check(t, err)
	changed := bytes.ReplaceAll(b, []byte("System.String"), []byte("Rystem.String"))
	if bytes.Equal(b, changed) {
		t.Fatal("nothing to damage")
	}
	s.write(t, "shop.db", changed)
}

func lock(t *testing.T, s *scene) *os.File {
	f, err := os.Open(s.path("shop.db"))
	check(t, err)
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	return f
}

func locked(t *testing.T, s *scene) {
	f := lock(t, s)
	t.Cleanup(func() { f.Close() })
}

// lockedBriefly lets go as soon as the command has said that it waits.
func lockedBriefly(t *testing.T, s *scene) {
	f := lock(t, s)
	s.env = append(s.env, "LEAKTRACK_PATIENT=1")
	s.said = func() { f.Close() }
	t.Cleanup(s.said)
}

// damagedMeta flips a bit of the second meta page of shop.db.
func damagedMeta(t *testing.T, s *scene) {
	b, err := os.ReadFile(s.path("shop.db"))
	check(t, err)
	s.write(t, "shop.db", flipMeta(b))
}

// interruptedWhenHeard sends Ctrl-C to a server once it has said something.
func interruptedWhenHeard(_ *testing.T, s *scene) {
	s.connected = make(chan bool)
	var once sync.Once
	s.said = func() { once.Do(func() { close(s.connected) }) }
}

func calm(t *testing.T, s *scene) {
	var b strings.Builder
	for i := range 6 {
		fmt.Fprintf(&b, `{"process":{"program":"Calm","pid":7},"uptime_seconds":%d,"source":"json","basis":"live","complete":true,"types":[{"name":"A","count":100,"bytes":2400}]}`+"\n", 60*(i+1))
	}
	s.write(t, "calm.jsonl", []byte(b.String()))
	runs(t, s, "--db", "calm.db", "ingest", "calm.jsonl")
}

func zombie(t *testing.T, s *scene) {
	cmd := exec.Command("true")
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() })
	s.set["PID"] = fmt.Sprint(cmd.Process.Pid)
	for range 1000 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)); err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it does not end")
}

// twins are two processes of one name; what is looked for is the second word of
// the command line, as of "dotnet Twin.dll".
func twins(t *testing.T, s *scene) {
	for range 2 {
		pretender(t, "thread", "")
	}
	s.set["Twin"] = "exe"
}

func longTemp(t *testing.T, s *scene) {
	dir := filepath.Join(s.dir, strings.Repeat("long-", 20))
	check(t, os.Mkdir(dir, 0o755))
	s.set["PID"] = fmt.Sprint(pretender(t, "lib9.0.5", dir))
}

func stopped(t *testing.T, s *scene) {
	pid := pretender(t, "silent", "")
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	s.set["PID"] = fmt.Sprint(pid)
	for range 1000 {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") T ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it does not stop")
}

// debugged is a .NET process that another one holds: this test.
func debugged(t *testing.T, s *scene) {
	pid := zoo(t, "zoo9", "linked", "1")
	s.set["PID"] = fmt.Sprint(pid)
	seized, done, ended := make(chan error), make(chan bool), make(chan bool)
	go func() {
		// What is held belongs to this thread, and is let go with it.
		runtime.LockOSThread()
		seized <- unix.PtraceSeize(pid)
		<-done
		close(ended)
	}()
	t.Cleanup(func() { close(done); <-ended })
	check(t, <-seized)
}

// mailRules say what a server does not do, or refuses with a code.
type mailRules struct {
	tls, login              bool
	sender, recipient, data int
}

func (r mailRules) NewSession(*smtp.Conn) (smtp.Session, error) {
	if r.login {
		return loginSession{mailSession{r}}, nil
	}
	return mailSession{r}, nil
}

type mailSession struct{ mailRules }

func answerWith(code int) error {
	if code == 0 {
		return nil
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "not today"}
}

func (s mailSession) Reset()                               {}
func (s mailSession) Logout() error                        { return nil }
func (s mailSession) Mail(string, *smtp.MailOptions) error { return answerWith(s.sender) }
func (s mailSession) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return answerWith(s.data)
}

func (s mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasSuffix(to, "example.org") {
		return nil
	}
	return answerWith(s.recipient)
}

// loginSession knows every name, and no password.
type loginSession struct{ mailSession }

func (loginSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (loginSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return smtp.ErrAuthFailed }), nil
}

func mailServer(rules mailRules) func(*testing.T, *scene) {
	return func(t *testing.T, s *scene) {
		server := smtp.NewServer(rules)
		server.ErrorLog = log.New(io.Discard, "", 0)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		if rules.tls {
			// A certificate of no known authority, made by the standard library.
			web := httptest.NewUnstartedServer(nil)
			web.StartTLS()
			server.TLSConfig = &tls.Config{Certificates: web.TLS.Certificates}
			s.write(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
			web.Close()
		}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
		s.set["ADDR"] = l.Addr().String()
		s.write(t, "pw", []byte("secret\n"))
	}
}

// hangsUp takes a connection, and ends it.
func hangsUp(t *testing.T, s *scene) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	s.set["ADDR"] = l.Addr().String()
}

// silentServer takes a connection and says nothing.
func silentServer(t *testing.T, s *scene) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s.set["ADDR"] = l.Addr().String()
	s.connected = make(chan bool)
	done := make(chan bool)
	t.Cleanup(func() { l.Close(); close(done) })
	go func() {
		c, err := l.Accept()
		close(s.connected)
		if err == nil {
			<-done
			c.Close()
		}
	}()
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
