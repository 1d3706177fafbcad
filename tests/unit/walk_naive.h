// Naive versions of the fused walks, in double, and the golden pairs of tests/support/pairs.h in every pixel type and
// layout.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <variant>
#include <vector>

#include "hwy/base.h"
#include "kernels/image.h"
#include "kernels/walks/walk.h"

namespace likeness::walk_test {

// Planes of double values, channel by channel.
struct Planes {
  int width = 0, height = 0, channels = 0;
  std::vector<double> values;

  Planes(int w, int h, int c) : width(w), height(h), channels(c), values(static_cast<std::size_t>(w) * h * c) {}
  double& at(int c, int y, int x) { return values[(static_cast<std::size_t>(c) * height + y) * width + x]; }
  double at(int c, int y, int x) const { return values[(static_cast<std::size_t>(c) * height + y) * width + x]; }
};

struct NaiveResult {
  double score = 0.0;
  Planes map{0, 0, 0};
  Planes gradient{0, 0, 0};
};

inline NaiveResult NaivePointwise(const PointwiseWalk& walk, const Planes& r, const Planes& d) {
  NaiveResult result{0.0, Planes(r.width, r.height, r.channels), Planes(r.width, r.height, r.channels)};
  const double count = static_cast<double>(r.values.size());
  const double p = walk.parameter;
  double sum = 0.0, maximum = 0.0;
  std::vector<double> slopes(r.values.size());
  for (std::size_t i = 0; i < r.values.size(); ++i) {
    const double e = d.values[i] - r.values[i];
    const double a = std::abs(e);
    const double sign = e > 0 ? 1.0 : e < 0 ? -1.0 : 0.0;
    double value = 0.0, slope = 0.0;
    switch (walk.loss) {
      case PointwiseLoss::kMeanAbsolute:
        value = a, slope = sign;
        break;
      case PointwiseLoss::kMeanSquare:
      case PointwiseLoss::kRootMeanSquare:
      case PointwiseLoss::kSumSquare:
      case PointwiseLoss::kPsnr:
        value = e * e, slope = 2 * e;
        break;
      case PointwiseLoss::kMeanSigned:
        value = e, slope = 1;
        break;
      case PointwiseLoss::kMaximum:
        value = a, slope = e;
        break;
      case PointwiseLoss::kHuber:
        value = a <= p ? e * e / 2 : p * (a - p / 2), slope = std::clamp(e, -p, p);
        break;
      case PointwiseLoss::kSmoothL1:
        if (p == 0.0) {
          value = a, slope = sign;
        } else {
          value = a < p ? e * e / 2 / p : a - p / 2, slope = std::clamp(e / p, -1.0, 1.0);
        }
        break;
      case PointwiseLoss::kLogCosh:
        value = a + std::log1p(std::exp(-2 * a)) - std::log(2.0), slope = std::tanh(e);
        break;
      case PointwiseLoss::kCharbonnier:
        value = std::sqrt(e * e + p * p), slope = value > 0 ? e / value : 0;
        break;
      case PointwiseLoss::kShiftedCharbonnier:
        value = std::sqrt(e * e + p * p) - p, slope = e == 0 ? 0 : e / std::sqrt(e * e + p * p);
        break;
      case PointwiseLoss::kPinball:
        value = e < 0 ? p * a : (1 - p) * a, slope = e < 0 ? -p : e > 0 ? 1 - p : 0;
        break;
      case PointwiseLoss::kBarron: {
        const double b = std::abs(p - 2.0), q = e * e / (walk.factor * walk.factor);
        value = b / p * (std::pow(q / b + 1.0, p / 2.0) - 1.0);
        slope = e / (walk.factor * walk.factor) * std::pow(q / b + 1.0, p / 2.0 - 1.0);
        break;
      }
      case PointwiseLoss::kPercentage:
        value = a / std::max(std::abs(r.values[i]), p), slope = sign / std::max(std::abs(r.values[i]), p);
        break;
      case PointwiseLoss::kSymmetricPercentage: {
        // Values are not below 0. At 0 the derivative of the sum is 0.
        const double of = r.values[i] + d.values[i], rises = d.values[i] > 0 ? 1.0 : 0.0;
        if (of > 0) value = walk.factor * a / of, slope = walk.factor * (sign / of - a * rises / (of * of));
        break;
      }
      case PointwiseLoss::kSignedPercentage:
        value = -walk.factor * e / std::max(r.values[i], p), slope = -walk.factor / std::max(r.values[i], p);
        break;
    }
    sum += value;
    maximum = std::max(maximum, a);
    result.map.values[i] = value;
    slopes[i] = slope;
  }
  const double mean = sum / count;
  double scale = 1.0 / count;
  result.score = mean;
  if (walk.loss == PointwiseLoss::kSumSquare) result.score = sum, scale = 1.0;
  if (walk.loss == PointwiseLoss::kRootMeanSquare) {
    result.score = std::sqrt(mean);
    scale = mean > 0 ? 0.5 / (count * result.score) : 0.0;
  }
  if (walk.loss == PointwiseLoss::kPsnr) {
    const double uncapped = mean + p > 0 ? -10 * std::log10(mean + p) : std::numeric_limits<double>::infinity();
    result.score = std::min(uncapped, walk.cap);
    scale = mean + p > 0 && uncapped <= walk.cap ? -10 / std::log(10.0) / (count * (mean + p)) : 0.0;
  }
  if (walk.loss == PointwiseLoss::kMaximum) {
    result.score = maximum;
    // Values of bytes are quotients: equal differences may differ in the last bit of a double, too.
    const auto reaches = [&](double e) { return e != 0 && std::abs(e) >= maximum - 1e-9; };
    scale =
        1.0 / static_cast<double>(std::max<std::ptrdiff_t>(1, std::count_if(slopes.begin(), slopes.end(), reaches)));
    for (double& e : slopes) e = reaches(e) ? std::copysign(1.0, e) : 0.0;
  }
  for (std::size_t i = 0; i < slopes.size(); ++i) result.gradient.values[i] = slopes[i] * scale;
  return result;
}

// SSIM whose windows lie inside of the planes.
inline NaiveResult NaiveSsimInside(const SsimWalk& walk, const Planes& r, const Planes& d) {
  double taps[11], sum = 0.0;
  for (int i = 0; i < 11; ++i) sum += taps[i] = std::exp(-(i - 5) * (i - 5) / (2 * walk.sigma * walk.sigma));
  for (double& tap : taps) tap /= sum;
  const double c1 = walk.k1 * walk.k1, c2 = walk.k2 * walk.k2;
  NaiveResult result{0.0, Planes(r.width - 10, r.height - 10, r.channels), Planes(r.width, r.height, r.channels)};
  const double weight = 1.0 / static_cast<double>(result.map.values.size());
  for (int c = 0; c < r.channels; ++c) {
    for (int y = 0; y < r.height - 10; ++y) {
      for (int x = 0; x < r.width - 10; ++x) {
        double mr = 0, md = 0;
        for (int j = 0; j < 11; ++j) {
          for (int i = 0; i < 11; ++i) {
            mr += taps[j] * taps[i] * r.at(c, y + j, x + i);
            md += taps[j] * taps[i] * d.at(c, y + j, x + i);
          }
        }
        double vr = 0, vd = 0, cov = 0;  // centred: no cancellation to speak of
        for (int j = 0; j < 11; ++j) {
          for (int i = 0; i < 11; ++i) {
            const double w = taps[j] * taps[i];
            const double a = r.at(c, y + j, x + i) - mr, b = d.at(c, y + j, x + i) - md;
            vr += w * a * a, vd += w * b * b, cov += w * a * b;
          }
        }
        const double a1 = 2 * mr * md + c1, a2 = 2 * cov + c2, b1 = mr * mr + md * md + c1, b2 = vr + vd + c2;
        const double s = a1 * a2 / (b1 * b2);
        result.map.at(c, y, x) = walk.scale * s + walk.offset;
        result.score += weight * s;
        // dS with the moments as they stand: the mean's own, then the variance's and the covariance's about it.
        const double ds_mean = (2 * mr * a2 / b2 - 2 * md * s) / b1;
        const double ds_variance = -s / b2;
        const double ds_covariance = 2 * a1 / (b1 * b2);
        for (int j = 0; j < 11; ++j) {
          for (int i = 0; i < 11; ++i) {
            const double a = r.at(c, y + j, x + i) - mr, b = d.at(c, y + j, x + i) - md;
            result.gradient.at(c, y + j, x + i) +=
                walk.scale * weight * taps[j] * taps[i] * (ds_mean + 2 * ds_variance * b + ds_covariance * a);
          }
        }
      }
    }
  }
  result.score = walk.scale * result.score + walk.offset;
  return result;
}

// Where the planes are filled up by five pixels a side: the image's pixel that lies at (y, x), or none.
template <typename Use>
void ForEachFilled(const SsimWalk& walk, const Planes& image, const Use& use) {
  const auto inside = [](int i, int size) { return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i; };
  for (int c = 0; c < image.channels; ++c) {
    for (int y = -5; y < image.height + 5; ++y) {
      for (int x = -5; x < image.width + 5; ++x) {
        const int from_y = inside(y, image.height), from_x = inside(x, image.width);
        if (walk.border == Border::kReflect101 || (from_y == y && from_x == x)) use(c, y + 5, x + 5, from_y, from_x);
      }
    }
  }
}

inline NaiveResult NaiveSsim(const SsimWalk& walk, const Planes& r, const Planes& d) {
  if (walk.border == Border::kValid) return NaiveSsimInside(walk, r, d);
  Planes filled_r(r.width + 10, r.height + 10, r.channels), filled_d = filled_r;
  ForEachFilled(walk, r, [&](int c, int y, int x, int from_y, int from_x) {
    filled_r.at(c, y, x) = r.at(c, from_y, from_x);
    filled_d.at(c, y, x) = d.at(c, from_y, from_x);
  });
  NaiveResult result = NaiveSsimInside(walk, filled_r, filled_d);
  Planes gradient(r.width, r.height, r.channels);
  ForEachFilled(walk, r, [&](int c, int y, int x, int from_y, int from_x) {
    gradient.at(c, from_y, from_x) += result.gradient.at(c, y, x);
  });
  result.gradient = gradient;
  return result;
}

// 2x2 means; where a side is odd, both begin with a copy of the first row or column.
inline int OddBefore(const Planes& fine) { return fine.width % 2 | fine.height % 2; }

template <typename Use>
void ForEachSource(const Planes& fine, int y, int x, const Use& use) {
  for (int k = 0; k < 4; ++k) {
    use(std::max(2 * y - OddBefore(fine) + k / 2, 0), std::max(2 * x - OddBefore(fine) + k % 2, 0));
  }
}

inline Planes Halve(const Planes& fine) {
  const int before = OddBefore(fine);
  Planes half((fine.width + before) / 2, (fine.height + before) / 2, 1);
  for (int y = 0; y < half.height; ++y) {
    for (int x = 0; x < half.width; ++x) {
      ForEachSource(fine, y, x, [&](int from_y, int from_x) { half.at(0, y, x) += fine.at(0, from_y, from_x) / 4; });
    }
  }
  return half;
}

inline NaiveResult NaiveMsSsim(const MsSsimWalk& walk, const Planes& reference, const Planes& distorted) {
  constexpr double kWeights[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
  NaiveResult result{0.0, Planes(0, 0, 0), Planes(reference.width, reference.height, reference.channels)};
  const std::size_t plane = result.gradient.values.size() / reference.channels;
  for (int c = 0; c < reference.channels; ++c) {
    std::vector<Planes> r(1, Planes(reference.width, reference.height, 1)), d = r;
    std::copy_n(&reference.values[c * plane], plane, r[0].values.begin());
    std::copy_n(&distorted.values[c * plane], plane, d[0].values.begin());
    std::vector<NaiveResult> scales;
    double product = 1.0;
    for (int s = 0; s < 5; ++s) {
      // cs is what S comes to as C1 grows.
      scales.push_back(NaiveSsim({walk.sigma, s < 4 ? 1e12 : walk.k1, walk.k2}, r[s], d[s]));
      product *= std::pow(std::max(scales[s].score, 0.0), kWeights[s]);
      r.push_back(Halve(r[s]));
      d.push_back(Halve(d[s]));
    }
    result.score += product / reference.channels;
    if (product == 0.0) continue;
    Planes below(d[5].width, d[5].height, 1);
    for (int s = 4; s >= 0; --s) {
      Planes gradient = scales[s].gradient;
      for (double& g : gradient.values) g *= kWeights[s] * product / scales[s].score / reference.channels;
      for (int y = 0; y < below.height; ++y) {
        for (int x = 0; x < below.width; ++x) {
          ForEachSource(d[s], y, x, [&](int to_y, int to_x) { gradient.at(0, to_y, to_x) += below.at(0, y, x) / 4; });
        }
      }
      below = gradient;
    }
    std::copy_n(below.values.begin(), plane, &result.gradient.values[c * plane]);
  }
  return result;
}

inline NaiveResult Naive(const WalkRequest& request, const Planes& r, const Planes& d) {
  if (const auto* ms_ssim = std::get_if<MsSsimWalk>(&request.walk)) return NaiveMsSsim(*ms_ssim, r, d);
  if (const auto* ssim = std::get_if<SsimWalk>(&request.walk)) return NaiveSsim(*ssim, r, d);
  return NaivePointwise(std::get<PointwiseWalk>(request.walk), r, d);
}

// An image of 0..255 levels, and the values that it stands for. Rows are `padding` bytes longer than need be.
struct TestImage {
  std::vector<std::uint8_t> bytes;
  ImageView view;
  Planes values{0, 0, 0};
};

inline float HalfOf(float value, hwy::float16_t* half) {
  // The level's nearest half, by search over its bits: positive halves are ordered like their bit patterns.
  std::uint16_t low = 0, high = 0x7BFF;
  const auto to_float = [](std::uint16_t bits) {
    const int exponent = bits >> 10, mantissa = bits & 1023;
    return exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                         : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  };
  while (low + 1 < high) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (to_float(middle) <= value ? low : high) = middle;
  }
  std::memcpy(half, &low, sizeof(low));
  return to_float(low);
}

template <typename LevelAt>
TestImage MakeImage(int width, int height, int channels, PixelType type, Layout layout, const LevelAt& level_at,
                    int padding = 0) {
  TestImage image;
  const int bytes = BytesPerSample(type);
  image.values = Planes(width, height, channels);
  ImageView& view = image.view;
  view.width = width, view.height = height, view.channels = channels;
  view.type = type, view.layout = layout, view.value_of_one = DefaultValueOfOne(type);
  const bool planar = layout == Layout::kChw;
  view.row_bytes = static_cast<std::ptrdiff_t>(width) * (planar ? 1 : channels) * bytes + padding * bytes;
  image.bytes.resize(static_cast<std::size_t>(view.row_bytes) * height * (planar ? channels : 1));
  for (int c = 0; c < channels; ++c) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const int level = level_at(y, x, c);
        std::uint8_t* to = image.bytes.data() + view.row_bytes * (planar ? c * height + y : y) +
                           static_cast<std::ptrdiff_t>(planar ? x : x * channels + c) * bytes;
        double& value = image.values.at(c, y, x);
        if (type == PixelType::kUint8) {
          *to = static_cast<std::uint8_t>(level);
          value = level / 255.0;
        } else if (type == PixelType::kUint16) {
          const auto sample = static_cast<std::uint16_t>(level * 256 + (level * 7 + x) % 256);
          std::memcpy(to, &sample, 2);
          value = sample / 65535.0;
        } else if (type == PixelType::kFloat16) {
          hwy::float16_t half;
          value = HalfOf(static_cast<float>(level) / 255.0f, &half);
          std::memcpy(to, &half, 2);
        } else {
          const float sample = static_cast<float>(level) / 255.0f;
          std::memcpy(to, &sample, 4);
          value = sample;
        }
      }
    }
  }
  view.data = image.bytes.data();
  return image;
}

// The scene of tests/support/pairs.h.
inline int Triangle(int n, int p) { return std::abs(n % (2 * p) - p); }
inline int ReferenceLevel(int y, int x, int c) {
  return std::clamp(40 + Triangle(x * (c + 2) + y, 64) + Triangle(3 * y + 17 * c, 48) + 60 * ((x / 16 + y / 16) & 1), 0,
                    255);
}
inline int DistortedLevel(int y, int x, int c, int width) {
  std::uint64_t h = (static_cast<std::uint64_t>(x) * 73856093u) ^ (static_cast<std::uint64_t>(y) * 19349663u) ^
                    (static_cast<std::uint64_t>(c) * 83492791u);
  h = (h & 0xFFFFFFFFu) * 2654435761u & 0xFFFFFFFFu;
  const int noise = static_cast<int>(h >> 24) & 15;
  return std::clamp(7 * ReferenceLevel(y, std::min(x + 1, width - 1), c) / 8 + 12 + noise - 8, 0, 255);
}

struct Pair {
  TestImage reference, distorted;
};

inline Pair GoldenPair(int width, int height, int channels, PixelType type, Layout layout, int padding = 0) {
  return {MakeImage(width, height, channels, type, layout, ReferenceLevel, padding),
          MakeImage(
              width, height, channels, type, layout,
              [width](int y, int x, int c) { return DistortedLevel(y, x, c, width); }, padding ? padding + 2 : 0)};
}

}  // namespace likeness::walk_test
