package trend

import "math"

// jointLine is the slope of a line estimated together with other columns, under
// AR(1) noise averaged over its coefficient, whose places are those of
// lineCoefficients. The result is per second; ok is false where too few points
// are left or the columns cannot be told apart.
func (p *plan) jointLine(c *coefficients, y []float64, others [][]float64, confidence float64) (m arMixture, degrees int, ok bool) {
	k := len(others) + 2
	degrees = p.n - k
	if degrees < 1 {
		return m, 0, false
	}
	rows := make([][]float64, k) // the line first
	fits := make([]lineFit, len(c.phi))
	top, scores := minusInf, []float64(nil)
	for i, phi := range c.phi {
		l := &p.lines[i]
		noise := noisePlan{a: l.a, d: l.d}
		rows[0], rows[1] = l.x, l.u
		for j, column := range others {
			rows[j+2] = noise.whiten(column, rows[j+2])
		}
		yw := noise.whiten(y, nil)
		inverse, coef, rss, solved := normalEquations(rows, yw)
		if !solved || inverse[0][0] <= 0 {
			return m, 0, false
		}
		s := scoresOf(rows, inverse, coef, yw, 0)
		variance := max(rss/float64(degrees)*inverse[0][0], sandwich(s, k))
		f := lineFit{phi: phi, slope: coef[0], se: math.Sqrt(variance)}
		if rss > 0 {
			f.logLik = -0.5 * (float64(degrees)*math.Log(rss) + l.logDet + logDet(inverse))
		}
		if fits[i] = f; f.logLik > top {
			top, scores = f.logLik, s
		}
	}
	m = c.average(fits, degrees, confidence)
	m.longRun(scores, degrees, confidence)
	return m, degrees, finite(m.slope) && finite(m.se)
}

// logDet is the logarithm of the determinant of the Gram matrix whose inverse
// is given, by Gaussian elimination; the matrix is positive.
func logDet(inverse [][]float64) float64 {
	k := len(inverse)
	a := make([][]float64, k)
	for i := range a {
		a[i] = append([]float64(nil), inverse[i]...)
	}
	sum := 0.0
	for c := range k {
		if a[c][c] <= 0 {
			return 0
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
