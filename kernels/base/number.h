// The arithmetic that metrics are written in, and its derivative.
//
// A functor of a metric is a generic function: it runs on Vec for a score and on Dual<Vec, k> for a gradient. A Dual
// carries a value and its k partial derivatives; the compiler differentiates the functor by running it.
//
// Every rule about a kink lives here, as an operation with its own name, so that a metric says which one it means:
//   Max           elementwise; the derivative is split in half where the arguments are equal
//   Select        the derivative of the branch that the condition picks
//   Clamp(x,a,b)  derivative 1 inside and on the ends, 0 outside
//   Relu          derivative 0 at 0
//   Abs           derivative 0 at 0
//   Sqrt          derivative 0 at 0
//   Cbrt          for x >= 0; derivative 0 at 0
//   SafePow       x^p for x >= 0; value and derivative 0 at x <= 0
// A metric's own exception stays visible in its _math.h.
#pragma once

#include "kernels/base/vec.h"

LIKENESS_BEGIN_TARGET

// What may stand beside a Dual as a constant: its own value type, and literals.
template <class S, class V>
concept ConstantFor = std::same_as<std::remove_cvref_t<S>, V> || std::is_arithmetic_v<std::remove_cvref_t<S>>;

template <class V, int K>
struct Dual {
  V v;
  V d[K];

  Dual() = default;
  LIKENESS_HD Dual(V value) : v(value) {  // NOLINT: a constant is a number with no derivative
    for (int k = 0; k < K; ++k) d[k] = V(0.0);
  }
  LIKENESS_HD Dual(double value)  // NOLINT
      requires(!std::same_as<V, double>)
      : Dual(V(value)) {}

  static LIKENESS_HD Dual Variable(V value, int index) {
    Dual x(value);
    x.d[index] = V(1.0);
    return x;
  }

  // value with every partial multiplied by `slope`: the chain rule of a function of one argument.
  LIKENESS_HD Dual Chain(V value, V slope) const {
    Dual y;
    y.v = value;
    for (int k = 0; k < K; ++k) y.d[k] = slope * d[k];
    return y;
  }

  friend LIKENESS_HD Dual operator-(const Dual& a) { return a.Chain(-a.v, V(-1.0)); }

  friend LIKENESS_HD Dual operator+(const Dual& a, const Dual& b) {
    Dual y;
    y.v = a.v + b.v;
    for (int k = 0; k < K; ++k) y.d[k] = a.d[k] + b.d[k];
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator+(const Dual& a, S b) {
    Dual y = a;
    y.v = a.v + V(b);
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator+(S a, const Dual& b) {
    return b + a;
  }

  friend LIKENESS_HD Dual operator-(const Dual& a, const Dual& b) {
    Dual y;
    y.v = a.v - b.v;
    for (int k = 0; k < K; ++k) y.d[k] = a.d[k] - b.d[k];
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator-(const Dual& a, S b) {
    Dual y = a;
    y.v = a.v - V(b);
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator-(S a, const Dual& b) {
    return b.Chain(V(a) - b.v, V(-1.0));
  }

  friend LIKENESS_HD Dual operator*(const Dual& a, const Dual& b) {
    Dual y;
    y.v = a.v * b.v;
    for (int k = 0; k < K; ++k) y.d[k] = a.d[k] * b.v + a.v * b.d[k];
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator*(const Dual& a, S b) {
    return a.Chain(a.v * V(b), V(b));
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator*(S a, const Dual& b) {
    return b * a;
  }

  friend LIKENESS_HD Dual operator/(const Dual& a, const Dual& b) {
    const V inverse = V(1.0) / b.v;
    Dual y;
    y.v = a.v / b.v;
    for (int k = 0; k < K; ++k) y.d[k] = (a.d[k] - y.v * b.d[k]) * inverse;
    return y;
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator/(const Dual& a, S b) {
    return a.Chain(a.v / V(b), V(1.0) / V(b));
  }
  template <ConstantFor<V> S>
  friend LIKENESS_HD Dual operator/(S a, const Dual& b) {
    const V quotient = V(a) / b.v;
    return b.Chain(quotient, -quotient / b.v);
  }
};

template <class T>
struct IsDual : std::false_type {};
template <class V, int K>
struct IsDual<Dual<V, K>> : std::true_type {};
template <class T>
concept DualNumber = IsDual<std::remove_cvref_t<T>>::value;

// The value without its derivatives: what conditions compare.
template <class T>
LIKENESS_HD auto Value(const T& x) {
  if constexpr (DualNumber<T>) {
    return x.v;
  } else {
    return x;
  }
}

// The type of an expression that mixes a and b.
template <class A, class B>
using Mixed = decltype(std::declval<A>() + std::declval<B>());

template <class M, class A, class B>
LIKENESS_HD auto Select(M condition, const A& yes, const B& no) {
  using R = Mixed<A, B>;
  const R a(yes), b(no);
  if constexpr (DualNumber<R>) {
    R y;
    y.v = SelectValue(condition, a.v, b.v);
    for (std::size_t k = 0; k < sizeof(y.d) / sizeof(y.d[0]); ++k) y.d[k] = SelectValue(condition, a.d[k], b.d[k]);
    return y;
  } else {
    return R(SelectValue(condition, a, b));
  }
}

// f(x) for a functor of one number, differentiated once by itself however many partials x carries.
template <class F, class T>
LIKENESS_HD T Apply(const F& f, const T& x) {
  if constexpr (DualNumber<T>) {
    const auto y = f(Dual<std::remove_cvref_t<decltype(x.v)>, 1>::Variable(x.v, 0));
    return x.Chain(y.v, y.d[0]);
  } else {
    return f(x);
  }
}

// x * scale + y, in vectors with one rounding where the processor has it.
template <class T>
LIKENESS_HD T MulAdd(const T& x, double scale, const T& y) {
  if constexpr (DualNumber<T>) {
    T out;
    out.v = MulAdd(x.v, scale, y.v);
    for (std::size_t k = 0; k < sizeof(out.d) / sizeof(out.d[0]); ++k) out.d[k] = MulAdd(x.d[k], scale, y.d[k]);
    return out;
  } else if constexpr (std::same_as<T, Vec>) {
    return MulAdd(x, Vec(scale), y);
  } else {
    return x * scale + y;
  }
}

// f(x) for a functor of n numbers in an array, differentiated by itself on Dual numbers of n partials. Worth it where x
// carries more partials than that, or where f is long.
template <int n, class F, class T>
LIKENESS_HD T ApplyTo(const F& f, const T* x) {
  if constexpr (DualNumber<T>) {
    using V = std::remove_cvref_t<decltype(x[0].v)>;
    Dual<V, n> own[n];
    for (int i = 0; i < n; ++i) own[i] = Dual<V, n>::Variable(x[i].v, i);
    const Dual<V, n> y = f(own);
    T out = x[0].Chain(y.v, y.d[0]);
    for (int i = 1; i < n; ++i) {
      for (std::size_t k = 0; k < sizeof(out.d) / sizeof(out.d[0]); ++k) out.d[k] = out.d[k] + y.d[i] * x[i].d[k];
    }
    return out;
  } else {
    return f(x);
  }
}

template <class T>
LIKENESS_HD T Sqrt(const T& x) {
  if constexpr (DualNumber<T>) {
    const auto root = SqrtValue(x.v);
    using V = std::remove_cvref_t<decltype(x.v)>;
    return x.Chain(root, SelectValue(root > V(0.0), V(0.5) / root, V(0.0)));
  } else {
    return SqrtValue(x);
  }
}

template <class T>
LIKENESS_HD T Abs(const T& x) {
  if constexpr (DualNumber<T>) {
    using V = std::remove_cvref_t<decltype(x.v)>;
    const V sign = SelectValue(x.v > V(0.0), V(1.0), SelectValue(x.v < V(0.0), V(-1.0), V(0.0)));
    return x.Chain(AbsValue(x.v), sign);
  } else {
    return AbsValue(x);
  }
}

template <class A, class B>
LIKENESS_HD auto Max(const A& a, const B& b) {
  using R = Mixed<A, B>;
  if constexpr (DualNumber<R>) {
    const R p(a), q(b);
    return Select(p.v > q.v, p, Select(p.v == q.v, (p + q) * 0.5, q));
  } else {
    return MaxValue(R(a), R(b));
  }
}

template <class T>
LIKENESS_HD T Relu(const T& x) {
  using V = decltype(Value(x));
  return Select(Value(x) > V(0.0), x, V(0.0));
}

template <class T>
LIKENESS_HD T Clamp(const T& x, double low, double high) {
  using V = decltype(Value(x));
  if constexpr (DualNumber<T>) {
    return Select(Value(x) < V(low), V(low), Select(Value(x) > V(high), V(high), x));
  } else {
    return MinValue(V(high), MaxValue(V(low), x));  // in this order NaN stays NaN
  }
}

template <class T>
LIKENESS_HD T Exp(const T& x) {
  if constexpr (DualNumber<T>) {
    const auto y = ExpValue(x.v);
    return x.Chain(y, y);
  } else {
    return ExpValue(x);
  }
}

// exp(x) - 1 without the cancellation near 0.
template <class T>
LIKENESS_HD T Expm1(const T& x) {
  if constexpr (DualNumber<T>) {
    const auto y = Expm1Value(x.v);
    return x.Chain(y, y + 1.0);
  } else {
    return Expm1Value(x);
  }
}

// For x > 0.
template <class T>
LIKENESS_HD T Log(const T& x) {
  if constexpr (DualNumber<T>) {
    using V = std::remove_cvref_t<decltype(x.v)>;
    return x.Chain(LogValue(x.v), V(1.0) / x.v);
  } else {
    return LogValue(x);
  }
}

// For x > -1.
template <class T>
LIKENESS_HD T Log1p(const T& x) {
  if constexpr (DualNumber<T>) {
    using V = std::remove_cvref_t<decltype(x.v)>;
    return x.Chain(Log1pValue(x.v), V(1.0) / (V(1.0) + x.v));
  } else {
    return Log1pValue(x);
  }
}

// x^(-1/n) for x > 0.
template <int n, class T>
LIKENESS_HD T InverseRoot(const T& x) {
  if constexpr (DualNumber<T>) {
    const auto y = InverseRootValue<n>(x.v);
    return x.Chain(y, y / x.v * (-1.0 / n));
  } else {
    return InverseRootValue<n>(x);
  }
}

template <class T>
LIKENESS_HD T Cbrt(const T& x) {
  if constexpr (DualNumber<T>) {
    using V = std::remove_cvref_t<decltype(x.v)>;
    const auto root = CbrtValue(x.v);
    return x.Chain(root, SelectValue(root > V(0.0), V(1.0 / 3.0) / (root * root), V(0.0)));
  } else {
    return CbrtValue(x);
  }
}

// The exponent is a constant of the metric, above 0.
template <class T>
LIKENESS_HD T SafePow(const T& x, double exponent) {
  using V = decltype(Value(x));
  const auto positive = Value(x) > V(0.0);
  const V base = SelectValue(positive, Value(x), V(1.0));
  const V y = SelectValue(positive, ExpValue(V(exponent) * LogValue(base)), V(0.0));
  if constexpr (DualNumber<T>) {
    return x.Chain(y, V(exponent) * y / base);
  } else {
    return y;
  }
}

LIKENESS_END_TARGET
