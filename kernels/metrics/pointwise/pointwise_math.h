// Pointwise losses: a function f of the error e = distorted - reference of each sample, averaged over all samples.
//
// Values on the [0, 1] scale, every channel alike, no borders, any size from 1x1. Gradients are f'(e) / N with the
// subgradient 0 at a kink. The formulas are textbook ones; where libraries differ the constant that we take is named:
//
//   Huber        0.5 e^2 for |e| <= delta, else delta (|e| - delta / 2); torch HuberLoss. torch's default delta of 1
//                makes it half the MSE on [0, 1] images, so ours is 8/255.
//   smooth L1    Huber / beta; torch SmoothL1Loss.
//   Charbonnier  sqrt(e^2 + eps^2), eps 1e-3; identical images score eps, unless it is subtracted.
//   log-cosh     |e| + log(1 + exp(-2|e|)) - log 2, and its series e^2/2 - e^4/12 below |e| = 0.05, where float
//                cancels.
//   PSNR         10 log10(1 / MSE), infinite for identical images. piq and pyiqa add 1e-8 to the MSE: at most 80 dB.
//                Some score luma only, or each channel by itself: options luma and per_channel_mean. libvmaf floors the
//                MSE (at 1e-16 of 0..255, far below its cap) and caps at 6 dB a bit plus 12: 60 dB for 8 bit.
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

struct AbsoluteError {
  LIKENESS_HD auto operator()(auto r, auto d) const { return Abs(d - r); }
};

struct SquaredError {
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    return e * e;
  }
};

struct HuberError {
  double delta;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    const auto a = Abs(e);
    return Select(Value(a) <= decltype(Value(a))(delta), e * e * 0.5, (a - 0.5 * delta) * delta);
  }
};

struct SmoothL1Error {
  double beta;
  LIKENESS_HD auto operator()(auto r, auto d) const { return HuberError{beta}(r, d) * (1.0 / beta); }
};

struct CharbonnierError {
  double eps;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    return Sqrt(e * e + eps * eps);
  }
};

// sqrt(e^2 + eps^2) - eps without the cancellation: exactly 0 for equal samples.
struct ShiftedCharbonnierError {
  double eps;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    return e * e / (Sqrt(e * e + eps * eps) + eps);
  }
};

struct LogCoshError {
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    const auto a = Abs(e);
    const auto square = e * e;
    const auto small = square * 0.5 - square * square * (1.0 / 12.0);
    const auto large = a + Log1p(Exp(a * -2.0)) - 0.693147180559945309;
    return Select(Value(a) < decltype(Value(a))(0.05), small, large);
  }
};

// On scalars.
struct Decibels {
  double eps;
  double cap;
  LIKENESS_HD auto operator()(auto mse) const {
    const auto floored = mse + eps;
    const auto db = Select(Value(floored) > 0.0, Log(floored) * (-10.0 / 2.302585092994045684),
                           std::numeric_limits<double>::infinity());
    return Select(Value(db) > cap, cap, db);
  }
};

LIKENESS_END_TARGET
