package trend

import (
	"math"
	"testing"
)

// investment is the investment equation of the United States, 1964 to 1982:
// nominal product and investment in billions of dollars, the price level of
// 1972, the discount rate in per cent, from 1963 (Greene, Econometric Analysis,
// second edition 1993, table 15.1; figures as in the data set Investment of R's
// package sandwich).
var investment = [][4]float64{
	{596.7, 90.9, 0.7167, 3.23}, {637.7, 97.4, 0.7277, 3.55}, {691.1, 113.5, 0.7436, 4.04}, {756, 125.7, 0.7676, 4.5},
	{799.6, 122.8, 0.7906, 4.19}, {873.4, 133.3, 0.8254, 5.16}, {944, 149.3, 0.8679, 5.87}, {992.7, 144.2, 0.9145, 5.95},
	{1077.6, 166.4, 0.9601, 4.88}, {1185.9, 195, 1, 4.5}, {1326.4, 229.8, 1.0575, 6.44}, {1434.2, 228.7, 1.1508, 7.83},
	{1549.2, 206.1, 1.2579, 6.25}, {1718, 257.9, 1.3234, 5.5}, {1918.3, 324.1, 1.4005, 5.46}, {2163.9, 386.6, 1.5042, 7.46},
	{2417.8, 423, 1.6342, 10.28}, {2631.7, 401.9, 1.7842, 11.77}, {2954.1, 474.9, 1.9514, 13.42}, {3073, 414.5, 2.0688, 11.02},
}

// TestNeweyWestPublished reproduces the standard errors of lag 4 that Zeileis
// (Journal of Statistical Software 11, 10, 2004) prints for the regression of
// real investment on real product and real interest. neweyWest knows one
// column besides the constant; the coefficient of one of two is that of the
// residuals from the other (Frisch and Waugh 1933).
func TestNeweyWestPublished(t *testing.T) {
	var product, interest, invested []float64
	for i := 1; i < len(investment); i++ {
		v, before := investment[i], investment[i-1]
		product = append(product, v[0]/v[2])
		invested = append(invested, v[1]/v[2])
		interest = append(interest, v[3]-100*(v[2]-before[2])/before[2])
	}
	for _, c := range []struct {
		name            string
		column, other   []float64
		coefficient, se float64
	}{
		{"real product", product, interest, 0.169136, 0.016751},
		{"real interest", interest, product, -1.001438, 3.342375},
	} {
		x, y := residuals(c.other, c.column), residuals(c.other, invested)
		o := leastSquares(x, y)
		if math.Abs(o.slope-c.coefficient) > 1e-6 {
			t.Errorf("%s: coefficient %.6f, want %.6f", c.name, o.slope, c.coefficient)
		}
		if got := neweyWest(x, y, o, 4); math.Abs(got-c.se) > 1e-6 {
			t.Errorf("%s: standard error %.6f, want %.6f", c.name, got, c.se)
		}
	}
}

// residuals are those of y from its least-squares line over x.
func residuals(x, y []float64) []float64 {
	o := leastSquares(x, y)
	out := make([]float64, len(y))
	for i := range y {
		out[i] = y[i] - o.at0 - o.slope*(x[i]-x[0])
	}
	return out
}
