package gcdump

import (
	"math"
	"strings"
	"time"

	"leaktrack/ingest/internal/fastser"
	"leaktrack/ingest/internal/fullname"
	"leaktrack/ingest/internal/gcname"
)

// Versions of GCHeapDump. From version 8 on new fields are tagged; the tool's
// own reader refuses version 8 itself.
const (
	oldestVersion = 4
	taggedVersion = 8
	knownVersion  = 10
)

// dump is what is kept of a file.
type dump struct {
	in       *fastser.Reader
	name     string
	modified time.Time
	names    *fullname.Finder
	g        graph
	// counted says that everything the histogram depends on was read.
	counted bool

	version                    int32
	countAverage, bytesAverage float32
	multipliers                int // in the file
	javaScript                 bool
	segmentBytes               int64 // 0 when the file does not say it
	ticks                      int64
	machine, process           string
	pid                        int32
	commit, workingSet         int64
	tool                       string
	partialAt                  int64 // where the file says that it lacks objects; 0 when it does not
}

// classIs compares a class name without its namespace.
func classIs(t fastser.Type, name string) bool {
	return t.Name == name || strings.HasSuffix(t.Name, "."+name)
}

// read reads the whole file. Its error is the reader's.
func (d *dump) read() {
	in := d.in
	head := in.Peek(128)
	if in.Err() != nil {
		return
	}
	if !Sniff(head) && !(len(head) < 64 && strings.HasPrefix(string(head), fastser.Signature)) {
		in.FailWith(stranger(head, d.name))
		return
	}
	in.Skip(int64(len(fastser.Signature)), "the signature")
	at := in.Offset()
	o := in.Begin("the dump")
	if in.Err() != nil {
		return
	}
	d.version = o.Type.Version
	switch v := d.version; {
	case o.Type.Name != class:
		in.FailAt(at, "the file holds a %q", o.Type.Name)
	case v < oldestVersion || v == taggedVersion:
		in.FailAt(at, "version %d of the format is not supported", v)
	case o.Type.MinVersion > knownVersion:
		in.FailAt(at, "the file needs a reader of version %d; known is %d", o.Type.MinVersion, knownVersion)
	}
	d.graph()
	if d.version < taggedVersion {
		d.oldBody()
	} else {
		d.body()
	}
	d.counted = in.Err() == nil
	for {
		f, more := in.Next("the dump")
		switch {
		case !more:
			in.Trailer()
			return
		case f.Skip:
			in.Region("the interop info", d.interop)
		case f.String && d.tool == "":
			d.tool = f.Text
		}
	}
}

// body reads what follows the graph, of versions from 9 on.
func (d *dump) body() {
	in := d.in
	in.U8("the word size") // a duplicate of what the graph says
	d.countAverage = d.average("the average count multiplier")
	d.bytesAverage = d.average("the average size multiplier")
	d.javaScript = d.object("the JavaScript heap info", "JSHeapInfo", func(fastser.Type) {})
	d.object("the .NET heap info", "DotNetHeapInfo", d.heapInfo)
	d.collector()
	at := in.Offset()
	d.multipliers = in.Count("multipliers", 4)
	if d.multipliers > len(d.g.types) {
		in.FailAt(at, "%d multipliers for %d types", d.multipliers, len(d.g.types))
	}
	for i := 0; i < d.multipliers && in.Err() == nil; i++ {
		at := in.Offset()
		m := in.F32("the multipliers")
		t := &d.g.types[i]
		// What the sample does not hold has no multiplier either.
		if t.count > 0 && in.Err() == nil && !t.scale(float64(m), float64(m)) {
			in.FailAt(at, "a multiplier of %g", m)
		}
	}
	if d.sampled() && d.multipliers < len(d.g.types) {
		for i := d.multipliers; i < len(d.g.types); i++ {
			if t := &d.g.types[i]; in.Err() == nil && !t.scale(float64(d.countAverage), float64(d.bytesAverage)) {
				in.FailAt(in.Offset(), "average multipliers of %g and %g", d.countAverage, d.bytesAverage)
			}
		}
	}
}

// sampled reports whether the graph is a sample of the heap.
func (d *dump) sampled() bool {
	return d.multipliers > 0 || d.countAverage != 1 || d.bytesAverage != 1
}

func (d *dump) average(what string) float32 {
	at := d.in.Offset()
	m := d.in.F32(what)
	if d.in.Err() == nil && !plausible(float64(m)) {
		d.in.FailAt(at, "%s is %g", what, m)
	}
	return m
}

// plausible reports whether a sample of one in m can be meant. Not a number
// fails both comparisons.
func plausible(m float64) bool { return m > 0 && m <= 1e9 }

// scale multiplies what was counted and reports whether it could.
func (t *typeEntry) scale(count, bytes float64) bool {
	c, b := math.Round(float64(t.count)*count), math.Round(float64(t.bytes)*bytes)
	if !plausible(count) || !plausible(bytes) || c >= 1<<62 || b >= 1<<62 {
		return false
	}
	t.count, t.bytes = int64(c), int64(b)
	return true
}

// object reads an object of the class, or null, and reports whether there was
// one.
func (d *dump) object(what, class string, body func(fastser.Type)) bool {
	in := d.in
	at := in.Offset()
	o := in.Begin(what)
	if in.Err() != nil || o.Null {
		return false
	}
	if o.Reference || !classIs(o.Type, class) {
		in.FailAt(at, "%s is of class %q", what, o.Type.Name)
		return false
	}
	body(o.Type)
	in.End(what)
	return true
}

// collector reads what the tool tells of itself and the process.
func (d *dump) collector() {
	in := d.in
	in.SkipString("the collection log")
	d.ticks = in.I64("the time")
	d.machine, _ = in.String("the machine name")
	d.process, _ = in.String("the process name")
	d.pid = in.I32("the process id")
	d.commit = in.I64("the committed bytes")
	d.workingSet = in.I64("the working set")
}

func (d *dump) heapInfo(fastser.Type) {
	d.segmentBytes = d.in.I64("the size of the segments")
	d.segments(d.in.Count("segments", 1))
}

// segments passes over n segments of the heap.
func (d *dump) segments(n int) {
	in := d.in
	for i := 0; i < n && in.Err() == nil; i++ {
		d.object("a segment", "GCHeapDumpSegment", func(t fastser.Type) {
			in.Skip(6*8, "a segment")
			if t.Version >= 1 {
				in.Skip(8, "a segment") // the end of the pinned heap
			}
		})
	}
}

// oldBody reads what follows the graph, of versions 4 to 7.
func (d *dump) oldBody() {
	in := d.in
	d.countAverage, d.bytesAverage = 1, 1
	d.segmentBytes = in.I64("the size of the segments")
	in.Skip(8+8, "the size and number of the dumped objects")
	at := in.Offset()
	if all := in.U8("whether all objects are in the dump"); all == 0 && in.Err() == nil {
		d.partialAt = at
	}
	if d.version >= 5 {
		d.collector()
	}
	if d.version >= 6 {
		d.segments(in.Count("segments", 1))
	}
	if d.version >= 7 {
		in.U8("the word size")
	}
}

// interop passes over the tables of COM wrappers.
func (d *dump) interop() {
	in := d.in
	d.object("the interop info", "InteropInfo", func(fastser.Type) {
		if in.Count("COM wrappers", 1) == 0 {
			return
		}
		runtime := in.Count("runtime-callable wrappers", 40)
		callable := in.Count("COM-callable wrappers", 32)
		interfaces := in.Count("COM interfaces", 33)
		modules := in.Count("COM modules", 20)
		in.Skip(int64(runtime)*40+int64(callable)*32+int64(interfaces)*33, "the COM wrappers")
		for i := 0; i < modules && in.Err() == nil; i++ {
			in.Skip(8+4+4, "a COM module")
			in.SkipString("a COM module's name")
		}
	})
}

// deferred reads the names of types that were to be looked up later, in the
// symbols of an image: all there is are the image and the place in it.
func (d *dump) deferred() {
	in, g := d.in, &d.g
	at := in.Offset()
	n := in.Count("deferred type names", 4+1+4)
	if n > len(g.types) {
		in.FailAt(at, "%d deferred names for %d types", n, len(g.types))
	}
	paths := map[int64]string{}
	for i := 0; i < n && in.Err() == nil; i++ {
		id := uint32(in.I32("a type id"))
		at := in.Offset()
		o := in.Begin("a module")
		path := ""
		switch {
		case in.Err() != nil:
			return
		case o.Reference:
			p, ok := paths[o.Label]
			if !ok {
				in.FailAt(at, "a module at %#x, where there is none", o.Label)
			}
			path = p
		case !o.Null && !classIs(o.Type, "Module"):
			in.FailAt(at, "a module of class %q", o.Type.Name)
		case !o.Null:
			path, _ = in.String("the path of a module")
			in.Skip(8+4+8, "a module") // base, size, time
			in.SkipString("the symbol file of a module")
			in.Skip(16+4, "a module")
			in.End("a module")
			if len(paths) >= maxModules {
				in.FailAt(at, "more than %d modules", maxModules)
			}
			g.nameBytes += int64(len(path))
			paths[o.Label] = path
		}
		in.SkipString("the size class of a type")
		// Types with names have an empty entry here, to keep the order.
		if t := &g.types[i]; in.Err() == nil && t.name == "" && (!o.Null || id != 0) {
			image := path[strings.LastIndexAny(path, `/\`)+1:]
			if image == "" {
				image = "image"
			}
			t.name = gcname.Image(image, id)
			t.module, t.synthetic = g.module(path, false), false
			g.nameBytes += int64(len(t.name))
			if g.nameBytes > maxNameBytes {
				in.FailAt(at, "the names are more than the %d bytes that are kept", maxNameBytes)
			}
		}
	}
	in.End("the deferred type names")
}
