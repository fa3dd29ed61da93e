package unit

import (
	"math"
	"strings"
	"time"
)

// Quantity is a rate ready for print, in parts so that a table can put them
// into columns.
type Quantity struct {
	Value     string // "5,455"
	Low, High string // bounds in the same unit and with the same digits; "" without interval
	Unit      string // "objects / 10 min", "MiB / h"
}

// String returns value and unit: "5,455 objects / 10 min".
func (q Quantity) String() string {
	if q.Value == Unknown {
		return Unknown
	}
	return q.Value + " " + q.Unit
}

// Interval returns the bounds in parentheses, "(5,229 to 5,677)", or "".
func (q Quantity) Interval() string {
	if q.Low == "" {
		return ""
	}
	return "(" + q.Low + " to " + q.High + ")"
}

// Full returns value, unit and interval: "5,455 objects / 10 min (5,229 to 5,677)".
func (q Quantity) Full() string {
	if q.Low == "" {
		return q.String()
	}
	return q.String() + " " + q.Interval()
}

// per is a span of time by which rates are told.
type per struct {
	span time.Duration
	name string
}

var pers = []per{{time.Second, "s"}, {10 * time.Minute, "10 min"}, {time.Hour, "h"}, {24 * time.Hour, "d"}}

// choosePer returns the shortest span in which at least enough happens.
// Seconds ask for enough as well, so that they serve fast rates only.
func choosePer(perSecond, enough float64) per {
	for _, p := range pers {
		if perSecond*p.span.Seconds() >= enough {
			return p
		}
	}
	if perSecond == 0 {
		return pers[1]
	}
	return pers[len(pers)-1]
}

// Rate writes objects per second in the unit that suits its size: from ten
// per second on "10.0 objects / s", from ten per ten minutes on "5,455 objects
// / 10 min", below that per hour and per day.
func Rate(perSecond float64) string { return CountRate(perSecond, math.NaN(), math.NaN()).String() }

// RateInterval is [Rate] followed by the interval: "5,455 objects / 10 min
// (5,229 to 5,677)".
func RateInterval(perSecond, low, high float64) string {
	return CountRate(perSecond, low, high).Full()
}

// BytesRate writes bytes per second in the unit that suits its size: from 1
// MiB/s on per second, from 10 KiB per ten minutes on "5.39 MiB / 10 min",
// below that per hour and per day.
func BytesRate(perSecond float64) string {
	return ByteRate(perSecond, math.NaN(), math.NaN()).String()
}

// BytesRateInterval is [BytesRate] followed by the interval: "5.39 MiB / 10
// min (5.16 to 5.61)".
func BytesRateInterval(perSecond, low, high float64) string {
	return ByteRate(perSecond, low, high).Full()
}

// enoughObjects is how many objects a span must hold to be the one in which a
// rate is told. A little below ten, so that a rate of ten, of which every
// measurement is a little off, keeps one unit.
const enoughObjects = 9.5

// CountRate returns the parts of a rate in objects per second. Bounds that
// are NaN or infinite leave the interval out.
//
// Value and bounds are rounded alike: to three significant digits of the value
// with every digit before the point, or one more where bounds that differ by a
// thousandth would look alike, but no finer than the third digit of the interval's half width, as
// finer digits would be noise.
func CountRate(perSecond, low, high float64) Quantity {
	perSecond, low, high = plainNothing(perSecond, low, high)
	p := choosePer(magnitude(perSecond, low, high), enoughObjects)
	f := p.span.Seconds()
	return quantity(perSecond*f, low*f, high*f, "objects / "+p.name)
}

// ByteRate is [CountRate] for bytes per second.
func ByteRate(perSecond, low, high float64) Quantity {
	perSecond, low, high = plainNothing(perSecond, low, high)
	m := magnitude(perSecond, low, high)
	p := pers[0]
	if m < 1<<20 {
		p = choosePer(m, 10<<10)
		if p == pers[0] {
			p = pers[1]
		}
	}
	f := p.span.Seconds()
	_, u := scaleBytes(m * f)
	div := 1.0
	for _, name := range byteUnits {
		if name == u {
			break
		}
		div *= 1024
	}
	f /= div
	return quantity(perSecond*f, low*f, high*f, u+" / "+p.name)
}

// nothing is a rate below which there is none: one object or byte in three
// years, which is what the arithmetic leaves over when a constant is fitted.
const nothing = 1e-3 / 86400

// plainNothing turns a rate and bounds that are all next to nothing into zero.
func plainNothing(v, low, high float64) (float64, float64, float64) {
	clear := func(x float64) float64 {
		if math.Abs(x) < nothing {
			return 0
		}
		return x
	}
	if clear(v) != 0 || finite(low) && clear(low) != 0 || finite(high) && clear(high) != 0 {
		return v, low, high
	}
	return clear(v), clear(low), clear(high)
}

// magnitude is what the unit is chosen by: the value, or a tenth of the
// half width where the value is next to nothing.
func magnitude(v, low, high float64) float64 {
	m := math.Abs(v)
	if half := (high - low) / 2; finite(half) {
		m = max(m, math.Abs(half)/10)
	}
	if !finite(m) {
		return 0
	}
	return m
}

func quantity(v, low, high float64, unit string) Quantity {
	if !finite(v) {
		return Quantity{Value: Unknown, Unit: unit}
	}
	d := digitsFor(v)
	half := (high - low) / 2
	if !finite(half) {
		return Quantity{Value: fixed(v, d), Unit: unit}
	}
	if half = math.Abs(half); half > 0 {
		byHalf := 2 - int(math.Floor(math.Log10(half)))
		if v == 0 || math.Abs(v) < half/100 {
			d = byHalf // the value has no digits of its own to show
		}
		d = max(-15, min(d, byHalf, 10))
		// Bounds that differ by a thousandth or more should look so.
		if half > math.Abs(v)/1000 && d < min(byHalf, 10) && fixed(low, d) == fixed(high, d) {
			d++
		}
	}
	return Quantity{Value: plainZero(fixed(v, d)), Low: plainZero(fixed(low, d)), High: plainZero(fixed(high, d)), Unit: unit}
}

// plainZero drops the decimals of a zero, which say nothing.
func plainZero(s string) string {
	if strings.Trim(s, "0.") == "" {
		return "0"
	}
	return s
}
