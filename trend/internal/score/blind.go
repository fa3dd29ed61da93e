package score

import "math"

// Blind was written by one who knew .NET processes and the other sets, and
// not the method: how it decides was neither read nor tried. No series of it
// was judged before the method was final.
//
// What does not leak has ended its growth by three quarters of the window or
// swings about a level; what leaks grows through the end.
var Blind = []Family{
	// Each customer's rules are loaded at his first request and stay; a few
	// customers are large. The last of them has come by two thirds of the
	// window.
	{Name: "tenants_load", make: func(s *source) float64 {
		level, last := s.geo(20, 1e4), s.in(0.3, 0.67)
		var at, size [12]float64
		customers := 3 + s.IntN(10)
		for k := range customers {
			at[k] = last * math.Pow(s.Float64(), 1.5)
			size[k] = 0.4 * level * math.Exp(0.8*s.NormFloat64())
		}
		s.show(func(x float64) float64 {
			v := level
			for k := range customers {
				v += size[k] * after(x, at[k])
			}
			return v
		})
		return 0
	}},
	// A link from a news site: requests in flight jump, then fall by a power
	// law, as visits after an event do.
	{Name: "flash_crowd", make: func(s *source) float64 {
		level, cv, peak := s.geo(50, 1e4), s.in(0.03, 0.15), s.in(2, 15)
		from, rise, tail, p := s.in(0.1, 0.45), s.in(0.005, 0.04), s.in(0.01, 0.06), s.in(1.2, 2)
		for i := range s.y {
			crowd := 0.0
			if since := s.x(i) - from; since > rise {
				crowd = math.Pow(1+(since-rise)/tail, -p)
			} else if since > 0 {
				crowd = since / rise
			}
			s.y[i] = s.burstyArrivals(level*(1+peak*crowd), cv)
		}
		return 0
	}},
	// The arrays of a shared pool: as many as the greatest demand since, up to
	// the size of its buckets, and a part is dropped at each full collection.
	{Name: "pool_trims", make: func(s *source) float64 {
		floor, most := s.geo(10, 1e3), s.geo(50, 1e4)
		demands, trims := s.in(10, 60), s.in(6, 30)
		// The pool is long in use when the window begins.
		size, next := 0.0, -0.5
		s.showAsIs(func(x float64) float64 {
			for next <= x {
				if s.Float64() < demands/(demands+trims) {
					size = max(size, most*sq(s.Float64()))
				} else {
					size *= 1 - s.in(0.2, 0.75)
				}
				next += s.ExpFloat64() / (demands + trims)
			}
			return floor + size
		})
		return 0
	}},
	// The consumer of a bounded channel fails: the queue fills to its bound,
	// where producers have to wait, and is worked off when the consumer is back.
	// Otherwise it is short.
	{Name: "outage_queue", make: func(s *source) float64 {
		bound := math.Round(s.geo(500, 1e5))
		usual := bound * s.geo(0.002, 0.1)
		from := s.in(0.05, 0.3)
		full := from + s.in(0.03, 0.2)
		back := full + s.in(0, 0.12)
		empty := back + s.in(0.02, 0.12)
		s.showAsIs(func(x float64) float64 {
			part := min((x-from)/(full-from), (empty-x)/(empty-back), 1)
			return min(bound, bound*max(0, part)+usual*s.ExpFloat64())
		})
		return 0
	}},
	// A queue close to what its consumer can bear: exponentially distributed
	// lengths, long excursions.
	{Name: "busy_queue", make: func(s *source) float64 {
		mean := s.geo(50, 1e4)
		floor := mean * s.in(0, 1)
		for i, q := range s.queue(s.in(0.005, 0.03)) {
			s.y[i] = whole(floor + mean*q)
		}
		return 0
	}},
	// Every restart is a deployment, and every version keeps another number of
	// objects, more or fewer.
	{Name: "rolling_deploy", Young: true, make: func(s *source) float64 {
		level, until, version, before := s.geo(50, 1e5), 0.0, 0.0, math.Inf(1)
		s.lives(func(part float64) float64 {
			if part < before {
				version, until = level*s.geo(0.4, 2.5), s.in(0.02, 0.3)
			}
			before = part
			return version * min(1, 0.2+0.8*part/until)
		})
		return 0
	}},
	// Load comes, and the thread pool seeks the number of threads that it needs:
	// overshoots, rings, and goes on trying a few more and a few less.
	{Name: "hill_climbing", make: func(s *source) float64 {
		need := s.geo(50, 5e3)
		idle, from := need*s.in(0.05, 0.6), s.in(0, 0.25)
		period, tau, trial := s.in(0.05, 0.15), s.in(0.04, 0.1), need*s.in(0.01, 0.08)
		s.showAsIs(func(x float64) float64 {
			if x < from {
				return idle
			}
			u := x - from
			v := need - (need-idle)*math.Exp(-u/tau)*math.Cos(2*math.Pi*u/period)
			return v + trial*float64(s.IntN(3)-1)
		})
		return 0
	}},
	// Each collection of generation 1 empties the young generations and promotes
	// a few objects that then die in generation 2, which every third to tenth
	// collection takes in: small teeth on the stairs of large ones.
	{Name: "generations", make: func(s *source) float64 {
		level := s.geo(50, 1e5)
		young, old := level*s.in(0.1, 2), level*s.in(0.05, 0.6)
		gap := 1 / s.in(40, 120)
		at, next, promoted, full := -0.5, -0.5, 0.0, 3
		s.show(func(x float64) float64 {
			for next <= x {
				at = next
				next += gap * s.in(0.7, 1.3)
				promoted++
				if full--; full == 0 {
					promoted, full = 0, 3+s.IntN(8)
				}
			}
			return level + old*promoted + young*(x-at)/gap
		})
		return 0
	}},
	// A memory cache with a size limit: fills evenly, then each time that it is
	// full a part of its entries is removed and comes back at the same pace.
	{Name: "compaction", Young: true, make: func(s *source) float64 {
		limit, until, part := s.geo(200, 1e5), s.in(0.15, 0.45), s.in(0.05, 0.35)
		s.show(func(x float64) float64 {
			if x < until {
				return limit * x / until
			}
			_, filled := math.Modf((x - until) / (part * until))
			return limit * (1 - part*(1-filled))
		})
		return 0
	}},
	// Clients begin to send what they have in batches: as many objects as before
	// on average, and ten times the scatter.
	{Name: "bigger_batches", make: func(s *source) float64 {
		mean := s.geo(200, 1e5)
		large := mean / s.geo(2, 20)
		small := large / s.in(8, 40)
		from := s.in(0.15, 0.6)
		to := from + s.in(0.01, 0.3)
		s.showAsIs(func(x float64) float64 {
			batch := small + (large-small)*min(1, max(0, (x-from)/(to-from)))
			return mean/4 + batch*s.arrivals(0.75*mean/batch)
		})
		return 0
	}},
	// Visitors at noon and in the evening, each day another number of them;
	// at night there are none.
	{Name: "two_peaks", Daily: true, make: func(s *source) float64 {
		level, part, phase, cv := s.geo(50, 1e4), s.in(0.5, 4), s.Float64(), s.in(0.03, 0.2)
		noon, evening, wide := s.in(10, 13), s.in(18, 21), s.in(1, 2.2)
		var visitors [16]float64
		for d := range visitors {
			visitors[d] = s.in(0.4, 1.6)
		}
		for i, t := range s.t {
			day, hour := math.Modf(t/86400 + phase)
			hour *= 24
			load := math.Exp(-sq((hour-noon)/wide)/2) + math.Exp(-sq((hour-evening)/wide)/2)
			s.y[i] = s.burstyArrivals(level*(1+part*visitors[int(day)%len(visitors)]*load), cv)
		}
		return 0
	}},
	// The handlers of HTTP clients are replaced every two minutes, all at once;
	// the old ones go when generation 2 is collected: stairs, exact, that fall.
	{Name: "handler_rotation", make: func(s *source) float64 {
		handlers := float64((3 + s.IntN(60)) * (3 + s.IntN(10)))
		rotations, phase := s.in(40, 200), s.Float64()
		last, next := 0.0, -s.in(0.03, 0.2)
		s.showAsIs(func(x float64) float64 {
			for next <= x {
				last = math.Floor(next*rotations + phase)
				next += s.in(0.03, 0.2)
			}
			return handlers * (1 + math.Floor(x*rotations+phase) - last)
		})
		return 0
	}},

	// A timer per request that nobody disposes, among timers of requests in
	// flight, some of which take very long: Student's t of few degrees.
	{Name: "lost_timers", Leaks: true, make: func(s *source) float64 {
		level, cv, degrees := s.geo(100, 1e5), s.in(0.02, 0.12), s.in(2.5, 5)
		gain := level * cv * s.in(5, 20)
		for i := range s.y {
			z := s.NormFloat64() / math.Sqrt(2*s.gamma(degrees/2)/degrees)
			s.y[i] = whole(level*(1+cv*z) + gain*s.x(i))
		}
		return gain / s.span()
	}},
	// An event handler per view that nobody unsubscribes, under work whose
	// swings become three to eight times as wide, or as narrow.
	{Name: "lost_handlers", Leaks: true, make: func(s *source) float64 {
		level, cv, wider := s.geo(100, 1e5), s.in(0.03, 0.2), s.geo(3, 8)
		gain, calmer := level*cv*s.in(5, 15), s.IntN(2) == 0
		for i, e := range s.wanderOver(s.in(0.005, 0.03)) {
			x := s.x(i)
			wide := cv * math.Pow(wider, x-1)
			if calmer {
				wide = cv * math.Pow(wider, -x)
			}
			s.y[i] = whole(level*(1+wide*e) + gain*x)
		}
		return gain / s.span()
	}},
	// A busy queue whose consumer keeps one of many messages in a static
	// dictionary.
	{Name: "leak_in_queue", Leaks: true, make: func(s *source) float64 {
		floor, mean := s.geo(20, 1e3), s.geo(50, 5e3)
		gain := mean * s.in(6, 25)
		for i, q := range s.queue(s.in(0.005, 0.03)) {
			s.y[i] = whole(floor + mean*q + gain*s.x(i))
		}
		return gain / s.span()
	}},
	// A feature that loses a few objects at each use is adopted by more and more
	// users, then by all: no noise but that of the uses, which add up.
	{Name: "feature_adopted", Leaks: true, make: func(s *source) float64 {
		level, each := s.geo(20, 1e4), float64(1+s.IntN(20))
		gain := max(40*each, level*s.geo(0.5, 10))
		middle, width := s.in(0.15, 0.45), s.in(0.02, 0.08)
		lost := func(x float64) float64 { return width * math.Log1p(math.Exp((x-middle)/width)) }
		rate := gain / (lost(1) - lost(0))
		sum, before := math.Round(level), 0.0
		for i := range s.y {
			x := s.x(i)
			sum += each * s.arrivals(rate*(lost(x)-lost(before))/each)
			s.y[i], before = sum, x
		}
		return rate / (1 + math.Exp((middle-1)/width)) / s.span()
	}},
	// Leaks, is killed at the memory limit, starts again; the last life is not
	// yet at the limit.
	{Name: "oom_loop", Leaks: true, Young: true, make: func(s *source) float64 {
		level, cv, tau := s.geo(20, 1e4), s.in(0.03, 0.25), s.in(0.01, 0.05)
		gain, last := level*s.in(1, 20), s.in(0.6, 1)
		killed := 1
		if s.n >= 30 {
			killed += s.IntN(3)
		}
		life := s.window / (float64(killed) + last)
		n := s.n
		s.t, s.y = nil, nil
		for l := range killed + 1 {
			m, long := n-len(s.t), life*last
			if l < killed {
				m, long = int(float64(m)/(float64(killed-l)+last)), life
			}
			for _, t := range s.times(m, s.in(1, 5), long) {
				part := t / life
				s.t = append(s.t, t)
				s.y = append(s.y, s.burstyArrivals(-level*math.Expm1(-part/tau), cv)+s.arrivals(gain*part))
			}
		}
		return gain / life
	}},
	// The finalizer thread waits for a lock for ever: what was collected in teeth
	// stays from then on, at the pace at which the teeth rose.
	{Name: "finalizer_stuck", Leaks: true, make: func(s *source) float64 {
		level, cycles, stuck := s.geo(20, 3e3), s.in(8, 40), s.in(0.2, 0.55)
		rate := level * s.in(0.5, 3) * cycles
		last := -s.Float64() / cycles
		next := last + s.in(0.7, 1.3)/cycles
		s.show(func(x float64) float64 {
			for next <= min(x, stuck) {
				last = next
				next += s.in(0.7, 1.3) / cycles
			}
			return level + rate*(x-last)
		})
		return rate / s.span()
	}},
	// An unbounded log queue whose writer is slower than those who log: a random
	// walk that drifts, with an excess that scatters less than it adds up to.
	{Name: "log_backlog", Leaks: true, make: func(s *source) float64 {
		gain := s.geo(500, 1e5)
		scatter := gain / s.in(8, 25)
		at := gain * s.in(0, 0.3)
		for i := range s.y {
			if i > 0 {
				gap := s.x(i) - s.x(i-1)
				at = max(0, at+gain*gap+scatter*math.Sqrt(gap)*s.NormFloat64())
			}
			s.y[i] = whole(at)
		}
		return gain / s.span()
	}},
	// One context tracks every entity it has ever loaded, and loads as the work
	// comes: much for a while, then little.
	{Name: "tracked_entities", Leaks: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		gain, long, cv := max(200, level*s.in(1, 20)), s.in(0.01, 0.05), s.in(0.5, 1.1)
		// The work is drawn on a grid, so that it does not depend on when
		// snapshots were taken.
		var loaded [513]float64
		phi, e := math.Exp(-1/(512*long)), s.NormFloat64()
		for k := 1; k < len(loaded); k++ {
			loaded[k] = loaded[k-1] + math.Exp(cv*e)
			e = phi*e + math.Sqrt(1-phi*phi)*s.NormFloat64()
		}
		s.showAsIs(func(x float64) float64 {
			k := min(511, int(512*x))
			v := loaded[k] + (512*x-float64(k))*(loaded[k+1]-loaded[k])
			return level + gain*v/loaded[512]
		})
		return none
	}},
	// Caches that were filled at the start expire while a leak grows: falls,
	// turns, rises.
	{Name: "masked_leak", Leaks: true, Young: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		gain := max(100, level*s.in(0.5, 8))
		filled, tau := gain*s.in(0.3, 1.5), s.in(0.02, 0.1)
		s.show(func(x float64) float64 { return level + filled*math.Exp(-x/tau) + gain*x })
		return (gain - filled/tau*math.Exp(-1/tau)) / s.span()
	}},
	// A few hundred strings of keys that are never removed, among hundreds of
	// thousands that live for ever and a few that come and go.
	{Name: "few_of_many", Leaks: true, make: func(s *source) float64 {
		level := s.geo(3e4, 5e5)
		gain := max(150, level*s.geo(0.003, 0.05))
		others := gain / s.in(8, 40)
		for i, e := range s.wanderOver(s.in(0.003, 0.03)) {
			s.y[i] = whole(level + others*e + gain*s.x(i))
		}
		return gain / s.span()
	}},
}

// showAsIs fills the series with a level that depends on the place and scatters
// by itself.
func (s *source) showAsIs(level func(x float64) float64) {
	for i := range s.y {
		s.y[i] = whole(level(s.x(i)))
	}
}

// wanderOver is an autocorrelated series of unit variance whose memory is a
// part of the window, whatever the number of points.
func (s *source) wanderOver(part float64) []float64 {
	return s.wander(math.Exp(-1 / (part * float64(s.n-1))))
}

// queue is the length of a queue of mean one: exponentially distributed, with
// a memory of a part of the window.
func (s *source) queue(part float64) []float64 {
	q := s.wanderOver(part)
	for i, e := range q {
		q[i] = -math.Log(0.5 * math.Erfc(e/math.Sqrt2))
	}
	return q
}
