// Rows of an image as float values, and exact sums over rows of bytes.

#if defined(LIKENESS_KERNELS_WALKS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIKENESS_KERNELS_WALKS_ROWS_INL_H_
#undef LIKENESS_KERNELS_WALKS_ROWS_INL_H_
#else
#define LIKENESS_KERNELS_WALKS_ROWS_INL_H_
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/walks/tile.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Df = hn::ScalableTag<float>;
using Vf = hn::Vec<Df>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(Df()));

HWY_INLINE const std::uint8_t* RowStart(const ImageView& image, int plane, int y) {
  return static_cast<const std::uint8_t*>(image.data) + (std::ptrdiff_t{plane} * image.height + y) * image.row_bytes;
}

// sample / value_of_one, correctly rounded. With fused multiply-add a quotient by a constant needs no division: the
// product with the reciprocal is off by at most one unit in the last place, and its remainder is exact. walk_test.cc
// compares every uint8 and uint16 with the division for the two scales that go this way.
class Divider {
 public:
  explicit Divider(double value_of_one)
      : value_of_one_(static_cast<float>(value_of_one)), reciprocal_(1.0f / value_of_one_) {
    by_product_ = HWY_NATIVE_FMA && (value_of_one_ == 255.0f || value_of_one_ == 65535.0f);
  }
  bool is_one() const { return value_of_one_ == 1.0f; }
  bool by_product() const { return by_product_; }
  float value_of_one() const { return value_of_one_; }

  template <bool kByProduct>
  HWY_INLINE Vf Quotient(Vf sample) const {
    const Df d;
    const Vf one = hn::Set(d, value_of_one_);
    if constexpr (kByProduct) {
      const Vf reciprocal = hn::Set(d, reciprocal_);
      const Vf quotient = hn::Mul(sample, reciprocal);
      return hn::MulAdd(hn::NegMulAdd(quotient, one, sample), reciprocal, quotient);
    }
    return hn::Div(sample, one);
  }

 private:
  float value_of_one_;
  float reciprocal_;
  bool by_product_;
};

template <typename Sample>
HWY_INLINE Vf LoadSamples(const Sample* from) {
  const Df d;
  if constexpr (sizeof(Sample) == 4) {
    return hn::LoadU(d, from);
  } else if constexpr (std::is_same_v<Sample, hwy::float16_t>) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, Df>(), from));
  } else {
    const hn::RebindToSigned<Df> di;
    return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(hn::Rebind<Sample, Df>(), from)));
  }
}

// Reads `count` samples and not a byte more; writes whole vectors, with zeros after the last sample.
template <bool kByProduct, typename Sample>
HWY_INLINE void ConvertSamples(const Sample* from, int count, const Divider& divider, bool divide, float* to) {
  const Df d;
  int i = 0;
  if (divide) {
    for (; i + kLanes <= count; i += kLanes) {
      hn::StoreU(divider.Quotient<kByProduct>(LoadSamples(from + i)), d, to + i);
    }
  } else {
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(LoadSamples(from + i), d, to + i);
  }
  if (i < count) {
    Sample rest[kLanes] = {};
    std::memcpy(rest, from + i, static_cast<std::size_t>(count - i) * sizeof(Sample));
    const Vf samples = LoadSamples(static_cast<const Sample*>(rest));
    hn::StoreU(divide ? divider.Quotient<kByProduct>(samples) : samples, d, to + i);
  }
}

template <typename Sample>
HWY_NOINLINE void ConvertRow(const Sample* from, int count, const Divider& divider, float* to) {
  if (divider.by_product() && sizeof(Sample) <= 2 && !std::is_same_v<Sample, hwy::float16_t>) {
    ConvertSamples<true>(from, count, divider, true, to);
  } else {
    ConvertSamples<false>(from, count, divider, !divider.is_one(), to);
  }
}

HWY_INLINE void ConvertTyped(PixelType type, const std::uint8_t* from, int count, const Divider& divider, float* to) {
  switch (type) {
    case PixelType::kUint8:
      return ConvertRow(from, count, divider, to);
    case PixelType::kUint16:
      return ConvertRow(reinterpret_cast<const std::uint16_t*>(from), count, divider, to);
    case PixelType::kFloat16:
      return ConvertRow(reinterpret_cast<const hwy::float16_t*>(from), count, divider, to);
    case PixelType::kFloat32:
      return ConvertRow(reinterpret_cast<const float*>(from), count, divider, to);
  }
}

// One image of a pair as the tiles see it: rows of samples in the layout of the distorted image.
class RowSource {
 public:
  RowSource(const ImageView& image, const Geometry& geometry)
      : image_(image),
        geometry_(geometry),
        divider_(image.value_of_one),
        row_samples_(image.width * geometry.tap_distance),
        sample_bytes_(image.type == PixelType::kUint8     ? 1
                      : image.type == PixelType::kFloat32 ? 4
                                                          : 2) {
    const bool interleaved = image.channels == 1 ? geometry.planes == 1 : image.layout == Layout::kHwc;
    same_layout_ = interleaved == (geometry.planes == 1);
  }

  // Values of samples [begin, end) of a row to `to`; zeros for those left or right of the image. Writes up to kLanes
  // samples beyond `end`.
  HWY_INLINE void Load(int plane, int y, int begin, int end, float* to) const {
    int first = begin;
    if (first < 0) {
      std::memset(to, 0, static_cast<std::size_t>(-first) * sizeof(float));
      first = 0;
    }
    const int last = end < row_samples_ ? end : row_samples_;
    if (first < last) {
      if (same_layout_) {
        const std::uint8_t* from = RowStart(image_, plane, y) + std::ptrdiff_t{first} * sample_bytes_;
        ConvertTyped(image_.type, from, last - first, divider_, to + (first - begin));
      } else {
        LoadOtherLayout(plane, y, first, last, to + (first - begin));
      }
    }
    const int written = last > first ? last : first;
    if (written < end) {
      std::memset(to + (written - begin), 0, static_cast<std::size_t>(end - written) * sizeof(float));
    }
  }

  // The same of the image filled up as the geometry says, whose rows and samples count from the border's first.
  HWY_INLINE void LoadFilled(int plane, int y, int begin, int end, float* to) const {
    if (geometry_.border == Border::kValid) {
      Load(plane, y, begin, end, to);
    } else {
      LoadBordered(plane, y - geometry_.border_rows(), begin - geometry_.border_samples(),
                   end - geometry_.border_samples(), to);
    }
  }

  // The values of a whole block where they lie, or nullptr when they must be made.
  HWY_INLINE const float* InPlace(int plane, int y, int begin, int end) const {
    if (!same_layout_ || image_.type != PixelType::kFloat32 || !divider_.is_one() || end - begin != kBlockSamples) {
      return nullptr;
    }
    return reinterpret_cast<const float*>(RowStart(image_, plane, y)) + begin;
  }

  // Asks for the bytes that LoadFilled will read a few rows later.
  HWY_INLINE void Prefetch(int plane, int y, int begin, int end) const {
    y -= geometry_.border_rows();
    begin -= geometry_.border_samples();
    end -= geometry_.border_samples();
    if (!same_layout_ || y < 0 || y >= image_.height) return;
    if (begin < 0) begin = 0;
    if (end > row_samples_) end = row_samples_;
    const std::uint8_t* from = RowStart(image_, plane, y) + std::ptrdiff_t{begin} * sample_bytes_;
    const int bytes = (end - begin) * sample_bytes_;
    for (int i = 0; i < bytes; i += 64) hwy::Prefetch(from + i);
  }

 private:
  // Row y and samples from `begin` on may lie beyond the image.
  HWY_NOINLINE void LoadBordered(int plane, int y, int begin, int end, float* to) const {
    y = BorderIndex(y, image_.height, geometry_.border);
    if (y < 0) {
      std::memset(to, 0, static_cast<std::size_t>(end - begin) * sizeof(float));
      return;
    }
    Load(plane, y, begin, end, to);
    if (geometry_.border == Border::kZero) return;
    const int pixel = geometry_.tap_distance, reach = geometry_.border_samples();
    // Those next to the outermost pixel are read again: the block need not hold them.
    float mirrored[kTapSpan / 2 * 3 + kLanes];
    if (begin < 0) {
      Load(plane, y, pixel, pixel + reach, mirrored);
      PutMirrored(mirrored, -reach, begin, end, to);
    }
    if (end > row_samples_) {
      Load(plane, y, row_samples_ - pixel - reach, row_samples_ - pixel, mirrored);
      PutMirrored(mirrored, row_samples_, begin, end, to);
    }
  }

  // The five pixels in reverse to samples [first, first + 5 pixels), as far as they are among [begin, end).
  HWY_INLINE void PutMirrored(const float* pixels, int first, int begin, int end, float* to) const {
    const int pixel = geometry_.tap_distance, reach = geometry_.border_samples();
    for (int i = 0; i < reach; ++i) {
      const int at = first + i;
      if (begin <= at && at < end) to[at - begin] = pixels[reach - pixel - i + 2 * (i % pixel)];
    }
  }

  // Sample by sample: a pair of which one is HWC and the other CHW is rare.
  HWY_NOINLINE void LoadOtherLayout(int plane, int y, int first, int last, float* to) const {
    const int channels = image_.channels;
    for (int i = first; i < last; ++i) {
      const std::uint8_t* from;
      if (geometry_.planes == 1) {
        from = RowStart(image_, i % channels, y) + std::ptrdiff_t{i / channels} * sample_bytes_;
      } else {
        from = RowStart(image_, 0, y) + (std::ptrdiff_t{i} * channels + plane) * sample_bytes_;
      }
      float value[kLanes];
      ConvertTyped(image_.type, from, 1, divider_, value);
      to[i - first] = value[0];
    }
  }

  const ImageView& image_;
  const Geometry& geometry_;
  Divider divider_;
  int row_samples_;  // of the image
  int sample_bytes_;
  bool same_layout_;
};

// Sums over bytes. Every value fits: a square sum gains at most 255^2 a sample.
struct IntegerSums {
  std::uint64_t absolute = 0;
  std::uint64_t square = 0;
  std::int64_t signed_sum = 0;
  int maximum = 0;
};

struct IntegerSumsWanted {
  bool absolute = false;
  bool square = false;
  bool signed_sum = false;
  bool maximum = false;

  bool any() const { return absolute || square || signed_sum || maximum; }
};

template <bool kAbsolute, bool kSquare, bool kOthers>
HWY_NOINLINE void AddBytes(const std::uint8_t* reference, const std::uint8_t* distorted, std::int64_t count,
                           IntegerSums* sums) {
  const hn::ScalableTag<std::uint8_t> d8;
  const hn::Repartition<std::int16_t, decltype(d8)> d16;
  const hn::Repartition<std::int32_t, decltype(d8)> d32;
  const hn::Repartition<std::uint64_t, decltype(d8)> d64;
  const int lanes = static_cast<int>(hn::Lanes(d8));
  auto absolute = hn::Zero(d64);
  auto reference_sum = hn::Zero(d64);
  auto distorted_sum = hn::Zero(d64);
  auto maximum = hn::Zero(d8);
  const auto zero = hn::Zero(d8);
  std::uint64_t square = 0;

  const auto add = [&](auto r, auto d, auto& low, auto& high) HWY_ATTR {
    const auto difference = hn::Or(hn::SaturatedSub(r, d), hn::SaturatedSub(d, r));
    if constexpr (kAbsolute) absolute = hn::Add(absolute, hn::SumsOf8(difference));
    if constexpr (kSquare) {
      const auto even = hn::BitCast(d16, hn::InterleaveLower(d8, difference, zero));
      const auto odd = hn::BitCast(d16, hn::InterleaveUpper(d8, difference, zero));
      low = hn::ReorderWidenMulAccumulate(d32, even, even, low, high);
      low = hn::ReorderWidenMulAccumulate(d32, odd, odd, low, high);
    }
    if constexpr (kOthers) {
      reference_sum = hn::Add(reference_sum, hn::SumsOf8(r));
      distorted_sum = hn::Add(distorted_sum, hn::SumsOf8(d));
      maximum = hn::Max(maximum, difference);
    }
  };

  std::int64_t i = 0;
  while (i < count) {
    // A lane of 32 bits holds 4096 steps of four squares.
    const std::int64_t stop = i + std::int64_t{4096} * lanes < count ? i + std::int64_t{4096} * lanes : count;
    auto low = hn::Zero(d32);
    auto high = hn::Zero(d32);
    for (; i + 2 * lanes <= stop; i += 2 * lanes) {
      add(hn::LoadU(d8, reference + i), hn::LoadU(d8, distorted + i), low, high);
      add(hn::LoadU(d8, reference + i + lanes), hn::LoadU(d8, distorted + i + lanes), low, high);
    }
    for (; i + lanes <= stop; i += lanes) {
      add(hn::LoadU(d8, reference + i), hn::LoadU(d8, distorted + i), low, high);
    }
    if (i < stop) {
      std::uint8_t rest[2][hn::MaxLanes(d8)] = {};
      std::memcpy(rest[0], reference + i, static_cast<std::size_t>(stop - i));
      std::memcpy(rest[1], distorted + i, static_cast<std::size_t>(stop - i));
      add(hn::LoadU(d8, rest[0]), hn::LoadU(d8, rest[1]), low, high);
      i = stop;
    }
    if constexpr (kSquare) {
      // Each 32-bit sum is below 2^31, their pairs go to 64 bits.
      const auto sum32 = hn::BitCast(d64, hn::Add(low, high));
      const auto sum64 = hn::Add(hn::And(sum32, hn::Set(d64, 0xFFFFFFFFull)), hn::ShiftRight<32>(sum32));
      square += hn::GetLane(hn::SumOfLanes(d64, sum64));
    }
  }
  if constexpr (kAbsolute) sums->absolute += hn::GetLane(hn::SumOfLanes(d64, absolute));
  if constexpr (kSquare) sums->square += square;
  if constexpr (kOthers) {
    sums->signed_sum += static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d64, distorted_sum))) -
                        static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d64, reference_sum)));
    std::uint8_t lane[hn::MaxLanes(d8)];
    hn::StoreU(maximum, d8, lane);
    for (int k = 0; k < lanes; ++k) {
      if (lane[k] > sums->maximum) sums->maximum = lane[k];
    }
  }
}

HWY_INLINE void AddBytes(const std::uint8_t* reference, const std::uint8_t* distorted, std::int64_t count,
                         const IntegerSumsWanted& wanted, IntegerSums* sums) {
  if (wanted.signed_sum || wanted.maximum) {
    AddBytes<true, true, true>(reference, distorted, count, sums);
  } else if (wanted.absolute && wanted.square) {
    AddBytes<true, true, false>(reference, distorted, count, sums);
  } else if (wanted.square) {
    AddBytes<false, true, false>(reference, distorted, count, sums);
  } else {
    AddBytes<true, false, false>(reference, distorted, count, sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#endif
