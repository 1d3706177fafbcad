// Which frequency is where in a spectrum; for the host and for kernels.
#pragma once

namespace likeness {

// Whether a column of a half spectrum stands for two of the full one.
constexpr bool StandsForTwo(int column, int full_width) { return column > 0 && 2 * column != full_width; }

// The signed frequency at index i of n: 0, 1, ..., -2, -1. The lone one of an even n is negative.
constexpr int FrequencyAt(int i, int n) { return i < (n + 1) / 2 ? i : i - n; }
constexpr int IndexOfFrequency(int frequency, int n) { return frequency < 0 ? frequency + n : frequency; }

// The index of `sign` times the frequency at index i of n, among the `to` lowest; -1 where it is not among them.
constexpr int SameFrequency(int i, int n, int to, int sign) {
  // From an even side to all of it, the lone frequency is its own mirror.
  if (n == to && 2 * i == n) return i;
  const int frequency = sign * FrequencyAt(i, n);
  return frequency >= -(to / 2) && frequency <= (to - 1) / 2 ? IndexOfFrequency(frequency, to) : -1;
}

}  // namespace likeness
