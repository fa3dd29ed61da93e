package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leaktrack/heap"
	"leaktrack/trend"
)

// Bounds of the number of series: of the exporter itself, of each process, and
// of each group of a process.
const (
	SeriesOfExporter = 9
	SeriesPerProcess = 23
	SeriesPerGroup   = 16
)

var (
	processLabels = []string{"host", "program", "process"}
	groupLabels   = append(processLabels[:len(processLabels):len(processLabels)], "type")
)

var families []*prometheus.Desc

// define makes a metric. The unit, "" for none, is the end of its name.
func define(name, unit, help string, labels []string, more ...string) *prometheus.Desc {
	full := "leaktrack_" + name
	var opts []prometheus.DescOpt
	if unit != "" {
		full += "_" + unit
		opts = append(opts, prometheus.WithUnit(unit))
	}
	all := append(labels[:len(labels):len(labels)], more...)
	d := prometheus.V2.NewDesc(full, help, prometheus.UnconstrainedLabels(all), nil, opts...)
	families = append(families, d)
	return d
}

// states defines a state set: its last label is its own name.
func states(name, help string, labels []string) *prometheus.Desc {
	return define(name, "", help, labels, "leaktrack_"+name)
}

const perSecond = "per_second"

var (
	up          = define("up", "", "1 if the store was read, 0 if it could not be: then the rest is missing, or that of the reading before if another process had the store.", nil)
	buildInfo   = define("build_info", "", "Version of leaktrack.", nil, "version")
	errorsTotal = define("read_errors_total", "", "Attempts to read the store that failed.", nil, "reason")
	judgedTotal = define("judgements_total", "", "Judgements made of processes; one is made when snapshots were added.", nil)
	processes   = define("processes", "", "Processes that are stored and chosen.", nil)
	omitted     = define("processes_omitted", "", "Of these, how many are not told of, because others were seen later.", nil)

	processInfo    = define("process_info", "", "What is known of a process. Basis says which objects are counted: live, or all.", processLabels, "pid", "runtime", "server_gc", "basis")
	startTime      = define("process_start_time", "seconds", "When the process started.", processLabels)
	snapshots      = define("snapshots", "", "Stored snapshots, by what they hold: types, or counters only.", processLabels, "holds")
	snapshotTime   = define("last_snapshot_timestamp", "seconds", "When the last snapshot was taken.", processLabels)
	snapshotUptime = define("last_snapshot_uptime", "seconds", "Uptime of the process at its last snapshot.", processLabels)
	heapBytes      = define("gc_heap", "bytes", "Size of the GC heap.", processLabels)
	committed      = define("gc_committed", "bytes", "Memory committed by the GC.", processLabels)
	native         = define("native_heap", "bytes", "Memory of native heaps.", processLabels)
	resident       = define("resident_memory", "bytes", "Resident set of the process.", processLabels)
	private        = define("private_memory", "bytes", "Memory that the process shares with no other.", processLabels)
	diagnosis      = states("diagnosis", "Judgement of the process as a whole.", processLabels)
	groups         = define("groups", "", "Groups of types that grow together, by judgement, also those that are not told of.", processLabels, "judgement")
	limit          = define("limit", "bytes", "Memory limit that the forecast is for.", processLabels)
	reached        = define("limit_reached_timestamp", "seconds", "When growth reaches the limit.", processLabels)
	reachedLow     = define("limit_reached_earliest_timestamp", "seconds", "Lower bound of when growth reaches the limit, 95 %.", processLabels)
	reachedHigh    = define("limit_reached_latest_timestamp", "seconds", "Upper bound of when growth reaches the limit, 95 %; missing when it might never.", processLabels)

	groupObjects   = define("group_objects", "", "Objects of the type that heads the group.", groupLabels)
	groupBytes     = define("group", "bytes", "Bytes of all types of the group.", groupLabels)
	objectsRate    = define("group_objects_growth", perSecond, "Growth in objects of the type that heads the group.", groupLabels)
	objectsLow     = define("group_objects_growth_lower", perSecond, "Lower bound of the growth in objects, 95 %.", groupLabels)
	objectsHigh    = define("group_objects_growth_upper", perSecond, "Upper bound of the growth in objects, 95 %.", groupLabels)
	bytesRate      = define("group_growth", "bytes_"+perSecond, "Growth in bytes of all types of the group.", groupLabels)
	bytesLow       = define("group_growth_lower", "bytes_"+perSecond, "Lower bound of the growth in bytes, 95 %.", groupLabels)
	bytesHigh      = define("group_growth_upper", "bytes_"+perSecond, "Upper bound of the growth in bytes, 95 %.", groupLabels)
	groupShare     = define("group_growth_share", "ratio", "Part of the growth of the GC heap that the group is.", groupLabels)
	groupJudgement = states("group_judgement", "Judgement of the group.", groupLabels)
	groupShape     = states("group_shape", "Shape of the growth of the type that heads the group.", groupLabels)
)

// The states of each set. A group of another shape has its own state besides.
var (
	diagnoses = []trend.DiagnosisVerdict{trend.DiagnosisLeak, trend.DiagnosisSuspect, trend.DiagnosisNoLeak, trend.DiagnosisNativeGrowth,
		trend.DiagnosisFragmentation, trend.DiagnosisServerGCSize, trend.DiagnosisTooFew}
	judgements = []string{"leak", "suspect"}
	shapes     = []trend.Verdict{trend.Linear, trend.Accelerating, trend.Slowing, trend.Stepwise}
)

// Describe implements [prometheus.Collector].
func (e *Exporter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range families {
		out <- d
	}
}

// Collect implements [prometheus.Collector]. It tells what is known, without
// reading the store; [Exporter.Refresh] does that.
func (e *Exporter) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	r, err, judged := e.last, e.err, e.judged
	failed := make([]int, len(reasons))
	for i, name := range reasons {
		failed[i] = e.errs[name]
	}
	e.mu.Unlock()

	s := sink{out: out}
	s.gauge(up, oneIf(err == nil && r != nil))
	s.gauge(buildInfo, 1, label(e.o.Version))
	s.counter(judgedTotal, judged)
	for i, name := range reasons {
		s.counter(errorsTotal, failed[i], name)
	}
	if r == nil {
		return
	}
	s.gauge(processes, float64(r.stored))
	s.gauge(omitted, float64(r.stored-len(r.processes)))
	for _, j := range r.processes {
		s.labels = []string{label(j.Process.Process.Host), label(j.Process.Process.Program), label(j.Name)}
		j.collect(s)
	}
}

func (j *judgement) collect(s sink) {
	p := j.Process.Process
	pid := ""
	if p.PID != 0 {
		pid = strconv.Itoa(p.PID)
	}
	s.gauge(processInfo, 1, pid, label(j.runtime), map[heap.Tristate]string{heap.Yes: "true", heap.No: "false"}[j.server], string(j.basis))
	s.time(startTime, p.Start())
	s.gauge(snapshots, float64(j.Live+j.All), "types")
	s.gauge(snapshots, float64(j.Counters), "counters")
	s.time(snapshotTime, j.taken)
	s.gauge(snapshotUptime, j.Last.Seconds())
	s.optional(heapBytes, j.heap)
	s.optional(committed, j.committed)
	s.optional(native, j.native)
	if j.rssIsPrivate {
		s.optional(private, j.rss)
	} else {
		s.optional(resident, j.rss)
	}
	for _, d := range diagnoses {
		s.gauge(diagnosis, oneIf(d == j.diagnosis), string(d))
	}
	s.gauge(groups, float64(j.leaking), judgements[0])
	s.gauge(groups, float64(j.suspected), judgements[1])
	if j.limitBytes > 0 {
		s.gauge(limit, float64(j.limitBytes))
	}
	s.time(reached, j.reached)
	s.time(reachedLow, j.earliest)
	s.time(reachedHigh, j.latestKnown)

	own := s.labels
	for i := range j.groups {
		s.labels = append(own[:len(own):len(own)], j.groups[i].name)
		j.groups[i].collect(s)
	}
}

func (g *group) collect(s sink) {
	s.optional(groupObjects, g.objects)
	s.gauge(groupBytes, float64(g.bytes))
	s.rate(g.objectsRate, objectsRate, objectsLow, objectsHigh)
	s.rate(g.bytesRate, bytesRate, bytesLow, bytesHigh)
	if g.shareAvailable {
		s.gauge(groupShare, rounded(g.share))
	}
	s.gauge(groupJudgement, oneIf(g.leaks), judgements[0])
	s.gauge(groupJudgement, oneIf(!g.leaks), judgements[1])
	known := false
	for _, v := range shapes {
		known = known || v == g.shape
		s.gauge(groupShape, oneIf(v == g.shape), string(v))
	}
	if !known {
		s.gauge(groupShape, 1, string(g.shape))
	}
}

// sink sends metrics that share the values of their first labels.
type sink struct {
	out    chan<- prometheus.Metric
	labels []string
}

func (s sink) send(d *prometheus.Desc, kind prometheus.ValueType, v float64, more []string) {
	s.out <- prometheus.MustNewConstMetric(d, kind, v, append(s.labels[:len(s.labels):len(s.labels)], more...)...)
}

func (s sink) gauge(d *prometheus.Desc, v float64, more ...string) {
	s.send(d, prometheus.GaugeValue, v, more)
}

func (s sink) counter(d *prometheus.Desc, n int, more ...string) {
	s.send(d, prometheus.CounterValue, float64(n), more)
}

// optional sends nothing of what is not known.
func (s sink) optional(d *prometheus.Desc, n heap.Optional) {
	if v, ok := n.Get(); ok {
		s.gauge(d, float64(v))
	}
}

func (s sink) time(d *prometheus.Desc, t time.Time) {
	if !t.IsZero() {
		s.gauge(d, seconds(t))
	}
}

func (s sink) rate(r *trend.Rate, value, low, high *prometheus.Desc) {
	if r != nil {
		s.gauge(value, rounded(r.PerSecond))
		s.gauge(low, rounded(r.Low))
		s.gauge(high, rounded(r.High))
	}
}

// rounded keeps eight digits, as the tables for programs do: more than any rate
// is known to, and the same on every processor.
func rounded(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 8, 64), 64)
	if err != nil {
		return v
	}
	return r
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// seconds since 1970; a float64 keeps a tenth of a microsecond of them.
func seconds(t time.Time) float64 { return float64(t.UnixNano()/1e6) / 1e3 }
