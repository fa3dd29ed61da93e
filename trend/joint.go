package trend

import (
	"math"
	"slices"
)

// jointLine is the slope of a line estimated together with other columns, under
// AR(1) noise averaged over its coefficient, whose places are those of
// lineCoefficients. The result is per second; ok is false where too few points
// are left or the columns cannot be told apart.
func (p *plan) jointLine(c *coefficients, y []float64, others [][]float64, confidence float64) (arMixture, bool) {
	k := len(others) + 2
	degrees := p.n - k
	if degrees < 1 {
		return arMixture{}, false
	}
	rows := make([][]float64, k) // the line first
	var yw []float64
	return c.averageSolutions(func(i int) (solution, float64) {
		l := &p.lines[i]
		noise := noisePlan{a: l.a, d: l.d}
		rows[0], rows[1] = l.x, l.u
		for j, column := range others {
			rows[j+2] = noise.whiten(column, rows[j+2])
		}
		yw = noise.whiten(y, yw)
		s := solution{columns: rows, y: yw, unit: 1}
		if !s.solve() || s.inverse[0][0] <= 0 {
			return s, minusInf
		}
		return s, s.restricted(degrees, l.logDet)
	}, degrees, confidence)
}

// solution is a least-squares fit of whitened columns, one of which is the
// line.
type solution struct {
	columns [][]float64
	y       []float64
	at      int     // the line
	unit    float64 // seconds per unit of the line
	inverse [][]float64
	coef    []float64 // of the columns but those that only widen the interval
	rss     float64
}

func (s *solution) solve() (ok bool) {
	s.inverse, s.coef, s.rss, ok = normalEquations(s.columns, s.y)
	return ok
}

// beside lets a column widen the interval without being fitted.
func (s *solution) beside(column []float64) {
	columns := append(slices.Clip(s.columns), column)
	if inverse, _, _, ok := normalEquations(columns, s.y); ok {
		s.columns, s.inverse = columns, inverse
	}
}

// restricted is the restricted log likelihood.
func (s *solution) restricted(degrees int, logDetOfNoise float64) float64 {
	if s.rss <= 0 {
		return 0
	}
	return -0.5 * (float64(degrees)*math.Log(s.rss) + logDetOfNoise + logDet(s.inverse))
}

// score is what the point adds to the error of the slope, and reach by how much
// the slope changes with it.
func (s *solution) score(r int) (score, reach float64) {
	rest := s.y[r]
	for c := range s.columns {
		reach += s.inverse[s.at][c] * s.columns[c][r]
	}
	for c := range s.coef {
		rest -= s.coef[c] * s.columns[c][r]
	}
	return rest * reach, reach
}

// line is the slope per second. Its variance is not less than that for unequal
// noise (White 1980, with the factor n/(n-k)): counts scatter more where they
// are greater, which is where a leak has its end.
func (s *solution) line(phi float64, degrees int) lineFit {
	sum := 0.0
	for r := range s.y {
		score, _ := s.score(r)
		sum += score * score
	}
	n := float64(len(s.y))
	variance := max(s.rss/float64(degrees)*s.inverse[s.at][s.at], sum*n/(n-float64(len(s.columns))))
	return lineFit{phi: phi, slope: s.coef[s.at] / s.unit, se: math.Sqrt(max(0, variance)) / s.unit}
}

// averageSolutions averages the slopes of the solutions that fit returns with
// their log likelihoods, for each coefficient. ok is false where there is none.
func (c *coefficients) averageSolutions(fit func(i int) (solution, float64), degrees int, confidence float64) (m arMixture, ok bool) {
	fits := make([]lineFit, len(c.phi))
	best, points := -1, 0
	for i, phi := range c.phi {
		s, logLik := fit(i)
		points = len(s.y)
		if logLik == minusInf {
			fits[i] = lineFit{phi: phi, logLik: logLik}
			continue
		}
		fits[i] = s.line(phi, degrees)
		fits[i].logLik = logLik
		if best < 0 || logLik > fits[best].logLik {
			best = i
		}
	}
	if best < 0 {
		return m, false
	}
	m = c.average(fits, degrees, confidence)
	if points >= longRunFrom {
		s, _ := fit(best)
		scores, reach := make([]float64, len(s.y)), make([]float64, len(s.y))
		for r := range scores {
			scores[r], reach[r] = s.score(r)
			scores[r] /= s.unit
		}
		m.longRun(scores, s.inverse[s.at][s.at], slowestOf(s.columns, reach))
	}
	return m, finite(m.slope) && finite(m.se)
}

// logDet is the logarithm of the determinant of the Gram matrix whose inverse
// is given, by Gaussian elimination; infinite where the matrix is not positive.
func logDet(inverse [][]float64) float64 {
	k := len(inverse)
	a := make([][]float64, k)
	for i := range a {
		a[i] = append([]float64(nil), inverse[i]...)
	}
	sum := 0.0
	for c := range k {
		if a[c][c] <= 0 {
			return math.Inf(1)
		}
		sum -= math.Log(a[c][c])
		for r := c + 1; r < k; r++ {
			f := a[r][c] / a[c][c]
			for j := c; j < k; j++ {
				a[r][j] -= f * a[c][j]
			}
		}
	}
	return sum
}

// stepColumns are columns that rise by one at each of the points.
func (p *plan) stepColumns(at []int) [][]float64 {
	out := make([][]float64, len(at))
	for k, i := range at {
		out[k] = make([]float64, p.n)
		for j := i; j < p.n; j++ {
			out[k][j] = 1
		}
	}
	return out
}
