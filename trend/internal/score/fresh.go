package score

import "math"

// Fresh was written after the method had been attacked with all the other
// sets, from what pools, caches, queues and collectors of .NET processes do.
// It was scored once, when everything else was done.
var Fresh = []Family{
	// Dead objects in generation 2, which is collected two to six times in the
	// window: teeth of different lengths, each leaving a slightly other rest.
	{Name: "rare_full_gc", make: func(s *source) float64 {
		level := s.geo(50, 1e5)
		rate := level * s.in(1, 6)
		var collected []float64
		for at := s.in(0.05, 0.3); at < 1; at += s.in(0.13, 0.4) {
			collected = append(collected, at)
		}
		before := s.in(0, 0.2)
		s.show(func(x float64) float64 {
			last := -before
			for _, c := range collected {
				if c <= x {
					last = c
				}
			}
			return level + rate*(x-last)
		})
		return 0
	}},
	// A pool never gives back: it is as large as the greatest load so far, and
	// the load has a bound (a thread limit).
	{Name: "high_water", make: func(s *source) float64 {
		level, bound := s.geo(20, 1e4), s.in(0.5, 3)
		most := 0.0
		for i, e := range s.wander(s.in(0, 0.6)) {
			most = max(most, 0.5*(1+math.Erf(e/math.Sqrt2)))
			s.y[i] = s.seen(level * (1 + bound*most))
		}
		return 0
	}},
	// Connections open in bursts of work and are pruned when idle.
	{Name: "bursts_pruned", make: func(s *source) float64 {
		level, often, idle := s.geo(50, 1e4), s.in(4, 15), s.in(0.02, 0.1)
		var at, size []float64
		for x := -3 * idle; x < 1; x += s.ExpFloat64() / often {
			at, size = append(at, x), append(size, level*s.in(0.2, 2))
		}
		s.show(func(x float64) float64 {
			v := level
			for k, a := range at {
				if x >= a {
					v += size[k] * math.Exp((a-x)/idle)
				}
			}
			return v
		})
		return 0
	}},
	// Sessions that live for a fixed time: rises evenly for that long after the
	// start, then stays, with the slow noise of a queue.
	{Name: "sessions_expire", Young: true, make: func(s *source) float64 {
		level, life, cv := s.geo(100, 1e5), s.in(0.1, 0.4), s.in(0.01, 0.08)
		for i, e := range s.wander(0.7) {
			x := s.x(i)
			s.y[i] = whole(level * (0.05 + 0.95*min(1, x/life)) * (1 + cv*e))
		}
		return 0
	}},
	// Snapshots see finalizable objects before or after the finalizer thread
	// has run: one of two levels, by chance.
	{Name: "finalizer_lag", make: func(s *source) float64 {
		level, more, often := s.geo(20, 1e5), s.in(0.2, 2), s.in(0.2, 0.8)
		s.show(func(float64) float64 {
			if s.Float64() < often {
				return level * (1 + more)
			}
			return level
		})
		return 0
	}},
	// Compiled queries: each of a finite number of distinct keys is made when it
	// is first asked for; some are asked for a hundred times as often as others.
	// The rarest is due by half of the window.
	{Name: "compiled_queries", Young: true, make: func(s *source) float64 {
		keys, level := s.geo(50, 5000), s.geo(1, 1e4)
		const kinds = 12
		rare := s.in(6, 12)
		s.show(func(x float64) float64 {
			v := 0.0
			for k := range kinds {
				rate := rare * math.Pow(100, float64(k)/(kinds-1))
				v -= math.Expm1(-rate * x)
			}
			return level + keys*v/kinds
		})
		return 0
	}},
	// A load balancer moves traffic here, gradually, and leaves it.
	{Name: "traffic_moves", make: func(s *source) float64 {
		level, gain, cv := s.geo(100, 1e5), s.in(0.3, 4), s.in(0.01, 0.06)
		from := s.in(0.1, 0.35)
		to := from + s.in(0.1, 0.35)
		for i, e := range s.wander(0.5) {
			p := min(1, max(0, (s.x(i)-from)/(to-from)))
			s.y[i] = whole(level * (1 + gain*(1-math.Cos(math.Pi*p))/2) * (1 + cv*e))
		}
		return 0
	}},
	// A job every so often whose size varies: narrow blocks on a flat level.
	{Name: "periodic_job", make: func(s *source) float64 {
		level, jobs, long := s.geo(50, 1e5), s.in(4, 20), s.in(0.1, 0.4)
		phase := s.Float64()
		size := make([]float64, 32)
		for k := range size {
			size[k] = s.in(0.3, 3)
		}
		s.show(func(x float64) float64 {
			at := x*jobs + phase
			if k := math.Floor(at); at-k < long {
				return level * (1 + size[int(k)])
			}
			return level
		})
		return 0
	}},
	// Memory pressure trims the caches once to three times; they fill up again
	// to where they were.
	{Name: "trimmed_caches", make: func(s *source) float64 {
		level, part, tau := s.geo(100, 1e5), s.in(0.3, 0.9), s.in(0.03, 0.12)
		var at []float64
		for range 1 + s.IntN(3) {
			at = append(at, s.in(0.05, 0.65))
		}
		s.show(func(x float64) float64 {
			missing := 0.0
			for _, a := range at {
				if x > a {
					missing = max(missing, math.Exp((a-x)/tau))
				}
			}
			return level * (1 - part*missing)
		})
		return 0
	}},

	// Leaks while a feature is in use, rests when it is not; in use at the end.
	{Name: "stop_and_go", Leaks: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		gain, phases := level*s.in(2, 20), 3+2*s.IntN(3)
		ends := make([]float64, phases)
		sum := 0.0
		for k := range ends {
			sum += s.in(0.5, 1.5)
			ends[k] = sum
		}
		s.show(func(x float64) float64 {
			used, from := 0.0, 0.0
			for k, e := range ends {
				to := min(x*sum, e)
				if k%2 == 0 && to > from {
					used += to - from
				}
				from = e
			}
			return level + gain*used/sum
		})
		return none
	}},
	// A leak beside sessions that live for a fixed time.
	{Name: "sessions_leak", Leaks: true, Young: true, make: func(s *source) float64 {
		level, life, cv := s.geo(100, 1e4), s.in(0.05, 0.2), s.in(0.01, 0.05)
		gain := level * s.in(1, 5)
		for i, e := range s.wander(0.7) {
			x := s.x(i)
			s.y[i] = whole(level*min(1, x/life)*(1+cv*e) + gain*x)
		}
		return gain / s.span()
	}},
	// One lost handler per visitor, and visitors come in crowds.
	{Name: "crowds", Leaks: true, make: func(s *source) float64 {
		level, crowds := s.geo(20, 1e3), 20+s.IntN(60)
		each := level * s.in(0.05, 0.3)
		at, size, sum := make([]float64, crowds), make([]float64, crowds), 0.0
		for k := range at {
			at[k], size[k] = s.Float64(), math.Round(each*s.gamma(2))
			sum += size[k]
		}
		s.show(func(x float64) float64 {
			v := level
			for k, a := range at {
				if x >= a {
					v += size[k]
				}
			}
			return v
		})
		return sum / s.span()
	}},
	// Two to four times a clean-up gets hold of a part of what leaked.
	{Name: "cleaned_up", Leaks: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		rate := level * s.in(5, 30)
		at, part := make([]float64, 2+s.IntN(3)), s.in(0.15, 0.5)
		for k := range at {
			at[k] = s.in(0.1, 0.8)
		}
		s.show(func(x float64) float64 {
			// What was allocated at place u is there with (1-part) for each
			// clean-up since.
			v, from := 0.0, 0.0
			sorted := append([]float64{}, at...)
			for i := range sorted {
				for j := i; j > 0 && sorted[j] < sorted[j-1]; j-- {
					sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
				}
			}
			for _, a := range sorted {
				if a > x {
					break
				}
				v = (v + rate*(a-from)) * (1 - part)
				from = a
			}
			return level + v + rate*(x-from)
		})
		return rate / s.span()
	}},
	// Generation 2 is collected seldom, and each time a little less is free.
	{Name: "rare_gc_leak", Leaks: true, make: func(s *source) float64 {
		level := s.geo(50, 1e4)
		teeth, gain := level*s.in(1, 4), level*s.in(3, 12)
		cycles, phase := s.in(3, 9), s.Float64()
		s.show(func(x float64) float64 { return level + gain*x + teeth*math.Mod(cycles*x+phase, 1) })
		return gain / s.span()
	}},
	// A deployment in the middle of the window brings the leak; the level
	// before and after it is that of a busy pool.
	{Name: "deployed", Leaks: true, make: func(s *source) float64 {
		level, cv, from := s.geo(100, 1e5), s.in(0.01, 0.06), s.in(0.25, 0.6)
		gain := level * s.in(0.8, 6)
		for i, e := range s.wander(0.5) {
			s.y[i] = whole(level*(1+cv*e) + gain*max(0, s.x(i)-from)/(1-from))
		}
		return gain / (1 - from) / s.span()
	}},
	// Subscribers that each copy the list of subscribers, some of which leave.
	{Name: "copied_lists", Leaks: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		gain, p := level*s.in(2, 20), s.in(1.2, 1.8)
		s.show(func(x float64) float64 { return level + gain*math.Pow(x, p) })
		return none
	}},
}
