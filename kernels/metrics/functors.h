// Small maths that many programs use. A name here is taken in every target's namespace.
#pragma once

#include "kernels/base/number.h"

LIKENESS_BEGIN_TARGET

// The error of a sample, in the order that every metric is given its images.
struct Difference {
  LIKENESS_HD auto operator()(auto reference, auto distorted) const { return distorted - reference; }
};
struct Magnitude {  // of a vector of two components
  double eps = 0.0;
  LIKENESS_HD auto operator()(auto x, auto y) const { return Sqrt(x * x + y * y + eps); }
};
struct AbsoluteValue {
  LIKENESS_HD auto operator()(auto x) const { return Abs(x); }
};
struct Square {
  LIKENESS_HD auto operator()(auto x) const { return x * x; }
};
struct Product {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a * b; }
};
struct Plus {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a + b; }
};
struct Quotient {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a / b; }
};
struct AddScaled {
  double weight;
  LIKENESS_HD auto operator()(auto sum, auto x) const { return sum + x * weight; }
};
struct Linear {
  double scale, offset;
  LIKENESS_HD auto operator()(auto x) const { return x * scale + offset; }
};
struct SquareRoot {
  LIKENESS_HD auto operator()(auto x) const { return Sqrt(x); }
};
// (2ab + c) / (a^2 + b^2 + c): 1 where a and b are equal, to the bit.
struct Similarity {
  double c;
  LIKENESS_HD auto operator()(auto a, auto b) const { return (a * b * 2.0 + c) / (a * a + b * b + c); }
};

LIKENESS_END_TARGET
