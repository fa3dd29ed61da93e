package trend

import "math"

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
