package score

import "math"

// Shape is a history whose shape has a name, for judging the word a method
// finds for it.
type Shape struct {
	Family
	Word string // what it should be called
}

// Shapes are drawn with light noise only: rounding, arrivals, or up to three
// hundredths of the level.
var Shapes = []Shape{
	{shape("a line", true, func(x float64) float64 { return 0.1 + x }), "linear"},
	{shape("a line from the middle on", true, func(x float64) float64 { return 0.2 + max(0, x-0.45) }), "linear"},
	{shape("a warm-up, then a line", true, func(x float64) float64 { return 0.3 - 0.3*math.Expm1(-x/0.07) + x }), "linear"},
	{shape("a line, a part freed once", true, func(x float64) float64 { return 0.2 + x - 0.2*after(x, 0.45) }), "linear"},
	{shape("a square", true, func(x float64) float64 { return 0.1 + x*x }), "accelerating"},
	{shape("an exponential", true, func(x float64) float64 { return math.Exp(2.5*x) / 10 }), "accelerating"},
	{shape("a power of 0.6", true, func(x float64) float64 { return 0.1 + math.Pow(x, 0.6) }), "slowing"},
	{shape("a logarithm", true, func(x float64) float64 { return 0.1 + math.Log1p(6*x)/math.Log1p(6) }), "slowing"},
	{shape("five equal steps", true, func(x float64) float64 { return 0.2 + math.Floor(min(4.999, 5*x+0.5))/5 }), "stepwise"},
	{shape("nine equal steps", true, func(x float64) float64 { return 0.2 + math.Floor(min(8.999, 9*x+0.5))/9 }), "stepwise"},
	{shape("an array that doubles", true, func(x float64) float64 { return math.Exp2(math.Ceil(math.Log2(1+38*x))) / 64 }), "stepwise"},
	{shape("fills, then full", false, func(x float64) float64 { return 0.1 + min(x, 0.4)/0.4 }), "plateau"},
	{shape("a warm-up", false, func(x float64) float64 { return 0.1 - math.Expm1(-x/0.1) }), "plateau"},
	{shape("one step", false, func(x float64) float64 { return 0.5 + 0.7*after(x, 0.5) }), "level-shift"},
	{shape("up and back", false, func(x float64) float64 { return 0.5 + 0.7*(after(x, 0.3)-after(x, 0.7)) }), "level-shift"},
	{shape("grew, then freed", false, func(x float64) float64 { return 0.1 + x*(1-after(x, 0.65)) }), "dropped"},
	{shape("three waves", false, func(x float64) float64 { return 0.7 + 0.3*math.Sin(6*math.Pi*x) }), "cycle"},
	{shape("teeth", false, func(x float64) float64 { return 0.1 + 0.9*math.Mod(6.3*x, 1) }), "sawtooth"},
	{shape("constant", false, steady(1)), "flat"},
	{Family{Name: "noise of a tenth", make: func(s *source) float64 {
		level := s.geo(200, 1e5)
		for i := range s.y {
			s.y[i] = whole(level * (1 + 0.1*s.NormFloat64()))
		}
		return 0
	}}, "flat"},
	{shape("shrinks", false, func(x float64) float64 { return 1.1 - x }), "shrinking"},
}

// shape is a curve of up to about one, drawn 200 to 100,000 objects high.
func shape(name string, leaks bool, f func(x float64) float64) Family {
	return Family{Name: name, Leaks: leaks, Young: true, make: func(s *source) float64 {
		height := s.geo(200, 1e5)
		s.show(func(x float64) float64 { return height * f(x) })
		return none
	}}
}
