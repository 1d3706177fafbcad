#include "kernels/ops/load/load_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

#if !LIKENESS_TARGET_SCALAR
float HalfToFloat(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 31;
  const std::uint32_t mantissa = bits & 1023;
  float magnitude;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    const std::uint32_t out =
        exponent == 31 ? 0x7f800000u | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
    std::memcpy(&magnitude, &out, sizeof(magnitude));
  }
  return sign ? -magnitude : magnitude;
}
#else
double HalfToFloat(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? std::numeric_limits<double>::infinity()
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000u ? -magnitude : magnitude;
}
#endif

// Where channel c of row y begins, and how far its samples are apart, in samples.
struct SampleRow {
  const std::byte* begin;
  int step;
};
SampleRow RowOf(const ImageView& image, int channel, int y) {
  const auto* data = static_cast<const std::byte*>(image.data);
  const int bytes = BytesPerSample(image.type);
  if (image.layout == Layout::kHwc) return {data + y * image.row_bytes + channel * bytes, image.channels};
  return {data + (std::int64_t{channel} * image.height + y) * image.row_bytes, 1};
}

template <class Sample, class Convert>
void ReadSamples(const SampleRow& row, int width, Real value_of_one, Real* to, Convert convert) {
  const auto* from = reinterpret_cast<const Sample*>(row.begin);
  for (int x = 0; x < width; ++x) to[x] = static_cast<Real>(convert(from[x * row.step])) / value_of_one;
}

// One channel of one row on the [0, 1] scale.
void ReadChannel(const ImageView& image, int channel, int y, Real* to) {
  const SampleRow row = RowOf(image, channel, y);
  const Real one = static_cast<Real>(image.value_of_one);
  const auto same = [](auto sample) { return sample; };
  switch (image.type) {
    case PixelType::kUint8:
      return ReadSamples<std::uint8_t>(row, image.width, one, to, same);
    case PixelType::kUint16:
      return ReadSamples<std::uint16_t>(row, image.width, one, to, same);
    case PixelType::kFloat16:
      return ReadSamples<std::uint16_t>(row, image.width, one, to, HalfToFloat);
    case PixelType::kFloat32:
      return ReadSamples<float>(row, image.width, one, to, same);
  }
}

// The common case of files, whole vectors at a time: returns how many pixels of the row it did.
int ReadInterleaved(const ImageView& image, int y, Real* const* to) {
#if !LIKENESS_TARGET_SCALAR
  if (image.type != PixelType::kUint8 || image.layout != Layout::kHwc || image.channels != 3) return 0;
  const hn::Rebind<std::uint8_t, Tag> bytes;
  const hn::Rebind<std::int32_t, Tag> ints;
  const auto* from = static_cast<const std::uint8_t*>(image.data) + y * image.row_bytes;
  const auto one = hn::Set(Tag(), static_cast<float>(image.value_of_one));
  int x = 0;
  for (; x + kLanes <= image.width; x += kLanes) {
    hn::Vec<decltype(bytes)> sample[3];
    hn::LoadInterleaved3(bytes, from + 3 * x, sample[0], sample[1], sample[2]);
    for (int c = 0; c < 3; ++c) {
      hn::StoreU(hn::Div(hn::ConvertTo(Tag(), hn::PromoteTo(ints, sample[c])), one), Tag(), to[c] + x);
    }
  }
  return x;
#else
  (void)image, (void)y, (void)to;
  return 0;
#endif
}

// ReadChannel for the pixels that ReadInterleaved left.
void ReadRest(const ImageView& image, int y, int from, Real* const* to) {
  if (from == image.width) return;
  ImageView rest = image;
  rest.width -= from;
  const int bytes = BytesPerSample(image.type) * (image.layout == Layout::kHwc ? image.channels : 1);
  rest.data = static_cast<const std::byte*>(image.data) + std::int64_t{from} * bytes;
  for (int c = 0; c < image.color_channels(); ++c) ReadChannel(rest, c, y, to[c] + from);
}

template <class Body>
void ForEachImageRow(const ImageView& image, Body body) {
  ForEachRow({image.width, image.height, 1}, [&](int, int y) { body(y); });
}

void StoreSample(Tensor& tensor, int channel, int y, int x, double value) {
  const std::int64_t at = tensor.layout == Layout::kHwc
                              ? (std::int64_t{y} * tensor.width + x) * tensor.channels + channel
                              : (std::int64_t{channel} * tensor.height + y) * tensor.width + x;
  tensor.data[at] = static_cast<float>(value);
}

// All channels' rows as row y, whole vectors at a time in the common layouts.
void StoreTensorRow(Tensor& tensor, int y, const Real* const* rows) {
  if (tensor.layout == Layout::kChw || tensor.channels == 1) {
    for (int c = 0; c < tensor.channels; ++c) {
      float* to = tensor.data.get() + (std::int64_t{c} * tensor.height + y) * tensor.width;
      for (int x = 0; x < tensor.width; ++x) to[x] = static_cast<float>(rows[c][x]);
    }
    return;
  }
  int x = 0;
#if !LIKENESS_TARGET_SCALAR
  if (tensor.channels == 3) {
    float* to = tensor.data.get() + std::int64_t{y} * tensor.width * 3;
    for (; x + kLanes <= tensor.width; x += kLanes) {
      hn::StoreInterleaved3(Load(rows[0] + x).v, Load(rows[1] + x).v, Load(rows[2] + x).v, Tag(), to + 3 * x);
    }
  }
#endif
  for (; x < tensor.width; ++x) {
    for (int c = 0; c < tensor.channels; ++c) StoreSample(tensor, c, y, x, rows[c][x]);
  }
}

Tensor NewTensor(int width, int height, int channels, Layout layout) {
  Tensor tensor;
  tensor.width = width;
  tensor.height = height;
  tensor.channels = channels;
  tensor.layout = layout;
  tensor.data.reset(new float[tensor.sample_count()]);
  return tensor;
}

}  // namespace

void LoadForward(Cpu&, const ImageView& image, double background, const PlanesView& out) {
  const Real base = static_cast<Real>(background);
  ForEachImageRow(image, [&](int y) {
    Real* to[3];
    for (int c = 0; c < out.shape.channels; ++c) to[c] = Row(out, c, y);
    ReadRest(image, y, ReadInterleaved(image, y, to), to);
    if (image.has_alpha()) {
      Real* alpha = RowScratch(image.width);
      ReadChannel(image, image.channels - 1, y, alpha);
      for (int c = 0; c < image.color_channels(); ++c) {
        for (int x = 0; x < image.width; ++x) to[c][x] = base + alpha[x] * (to[c][x] - base);
      }
    }
    for (int c = image.color_channels(); c < out.shape.channels; ++c) std::copy(to[0], to[0] + image.width, to[c]);
  });
}

Tensor UnloadGradient(const PlanesView& gradient, const ImageView& image, double background) {
  Tensor tensor = NewTensor(image.width, image.height, image.channels, image.layout);
  const int colors = image.color_channels();
  if (!image.has_alpha() && gradient.data != nullptr && gradient.shape.channels == colors) {
    ForEachImageRow(image, [&](int y) {
      const Real* rows[3];
      for (int c = 0; c < colors; ++c) rows[c] = Row(gradient, c, y);
      StoreTensorRow(tensor, y, rows);
    });
    return tensor;
  }
  ForEachImageRow(image, [&](int y) {
    Real* alpha = RowScratch(image.width, 0);
    if (image.has_alpha()) ReadChannel(image, image.channels - 1, y, alpha);
    Real* alpha_gradient = RowScratch(image.width, 1);
    std::fill(alpha_gradient, alpha_gradient + image.width, Real(0));
    for (int c = 0; c < colors; ++c) {
      Real* color = RowScratch(image.width, 2);
      Real* sum = RowScratch(image.width, 3);
      std::fill(sum, sum + image.width, Real(0));
      // No gradient arrived: the score does not depend on the image.
      if (gradient.data != nullptr) {
        for (int from = c; from < gradient.shape.channels; from += colors) {
          const Real* row = Row(gradient, from, y);
          for (int x = 0; x < image.width; ++x) sum[x] += row[x];
        }
      }
      if (image.has_alpha()) {
        ReadChannel(image, c, y, color);
        for (int x = 0; x < image.width; ++x) {
          alpha_gradient[x] += sum[x] * (color[x] - static_cast<Real>(background));
          sum[x] *= alpha[x];
        }
      }
      for (int x = 0; x < image.width; ++x) StoreSample(tensor, c, y, x, sum[x]);
    }
    if (image.has_alpha()) {
      for (int x = 0; x < image.width; ++x) StoreSample(tensor, image.channels - 1, y, x, alpha_gradient[x]);
    }
  });
  return tensor;
}

Tensor UnloadPlanes(const PlanesView& planes, Layout layout, int offset) {
  Tensor tensor = NewTensor(planes.shape.width, planes.shape.height, planes.shape.channels, layout);
  tensor.offset_x = tensor.offset_y = offset;
  ForEachRow(planes.shape, [&](int c, int y) {
    const Real* row = Row(planes, c, y);
    for (int x = 0; x < planes.shape.width; ++x) StoreSample(tensor, c, y, x, row[x]);
  });
  return tensor;
}

LIKENESS_END_TARGET
