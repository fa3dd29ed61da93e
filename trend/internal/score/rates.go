package score

// Rates is growth in lots, as lumpy and steps_rep in the other sets, but what
// is true of it is the rate that lots were drawn with, not what came of it in
// the window. No interval can hold both alike: the series are of one kind, and
// what came is nearer to their middle than the rate is.
var Rates = []Family{
	{Name: "lumpy_rate", Leaks: true, make: func(s *source) float64 {
		level := s.geo(20, 1e4)
		size := level * s.in(0.1, 2)
		return lots(s, level, 10+s.IntN(31), func() float64 { return size * s.ExpFloat64() }) * size
	}},
	{Name: "steps_rate", Leaks: true, make: func(s *source) float64 {
		level, batches := s.geo(20, 1e4), 6+s.IntN(10)
		batch := level * s.in(0.2, 3)
		return lots(s, level, batches, func() float64 { return batch }) * batch
	}},
}

// lots fills the series with a level that rises at random times by what draw
// returns. It returns how many of them are expected per second.
func lots(s *source, level float64, mean int, draw func() float64) float64 {
	var at, lot []float64
	for x := s.ExpFloat64() / float64(mean); x < 1; x += s.ExpFloat64() / float64(mean) {
		at, lot = append(at, x), append(lot, draw())
	}
	s.show(func(x float64) float64 {
		v := level
		for k, a := range at {
			v += lot[k] * after(x, a)
		}
		return v
	})
	return float64(mean) / s.span()
}
