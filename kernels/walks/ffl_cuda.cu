// Six launches, one more for the map and three for the gradient, whatever the batch; a call of cuFFT counts as one:
//
//   1. The error of all channels, from one reading of both images. 2. Its half spectrum, by cuFFT.
//   3. The largest weight of each channel, and 4. that of what the blocks left.
//   5. The mean of weighted squares, and 6. of what the blocks left.
//   7. What the score changes with at each frequency, the weight held constant. 8. The way back, by cuFFT, in place.
//   9. The gradient, in the layout of the image.
//
// Weights are computed anew from the spectrum wherever they are needed: that is cheaper than to write and read them.
// The arithmetic, the order of sums and the calls of cuFFT are the program's, and so are the bits of the score and the
// map.
//
// Floor: the bytes of both images, 2 a sample at 8 bit, and 4 of errors; 16 of cuFFT, which goes over rows and columns;
// and 4 for each of the two readings of the spectrum: 30 bytes a sample, of which the program moves 66. A gradient adds
// 8 for the spectrum, 16 for the way back, and 8 of errors and gradient.
#include "kernels/metrics/ffl/ffl_math.h"
#include "kernels/ops/fft/fft_cuda.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/ffl_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

constexpr std::int64_t kAlignment = 256;
constexpr int kMostChannels = 3;

Shape ShapeOf(const ImageView& image) { return {image.width, image.height, image.channels}; }

// Of a spectrum; errors have room in as much.
std::int64_t PlanesBytes(const Shape& real) {
  const PlanesView planes = HalfSpectrum::PlanesFor(real, nullptr);
  const std::int64_t bytes = planes.stride() * planes.shape.height * planes.shape.channels * std::int64_t{sizeof(Real)};
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

template <bool flat>
struct ErrorKernel {
  static constexpr int kThreads = kRowThreads;
  PairSamples pair;
  SampleSteps steps;
  Shape shape;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, shape, [&](int, int y, int x) {
      for (int c = 0; c < shape.channels; ++c) {
        float r = 0.0f, d = 0.0f;
        pair.Read<flat>(steps.At(c, y, x), &r, &d);
        Store(Difference{}(Vec(r), Vec(d)), Row(out, c, y) + x);
      }
    });
  }
};

// The spectrum of the error, and what the metric makes of a frequency.
struct Focus {
  HalfSpectrum spectrum;
  SpectrumWeight weight;
  const double* maxima;  // of the weights of each channel
  Real scale;

  __device__ ComplexVec Number(int c, int y, int x) const {
    const ComplexVec number = spectrum.Read(c, y, x);
    return {Vec(scale) * number.re, Vec(scale) * number.im};
  }
  __device__ static Vec Square(const ComplexVec& number) { return SquaredNorm{}(number.re, number.im); }
  // `of` times the weight over the largest.
  __device__ Vec Focal(int c, const Vec& square, const Vec& of) const {
    return NormalizedTimes{0.0}(weight(square), Vec(maxima[c]), of);
  }
  __device__ Vec Loss(int c, int y, int x) const {
    const Vec square = Square(Number(c, y, x));
    return Focal(c, square, square);
  }
};

struct WeightAt {
  Focus focus;
  __device__ double operator()(int c, int y, int x) const {
    return static_cast<double>(Bare(focus.weight(Focus::Square(focus.Number(c, y, x)))));
  }
};

// As often as the frequency's column counts in the full spectrum.
struct LossAt {
  Focus focus;
  __device__ double operator()(int c, int y, int x) const {
    const double times = StandsForTwo(x, focus.spectrum.full_width) ? 2.0 : 1.0;
    return static_cast<double>(Bare(focus.Loss(c, y, x))) * times;
  }
};

// All frequencies, as the map has them.
struct LossMapKernel {
  static constexpr int kThreads = kRowThreads;
  Focus focus;
  Shape shape;
  SampleSteps steps;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    const int stored = focus.spectrum.width();
    ForEachSample(block, shape, [&](int c, int y, int x) {
      const Vec loss = x < stored ? focus.Loss(c, y, x) : focus.Loss(c, OppositeRow(y, shape.height), shape.width - x);
      StoreSample(out, steps.At(c, y, x), Bare(loss));
    });
  }
};

struct SpectrumGradientKernel {
  static constexpr int kThreads = kRowThreads;
  Focus focus;
  double each;  // loss_weight over the count of samples
  HalfSpectrum out;

  __device__ ComplexVec Slope(int c, int y, int x) const {
    const ComplexVec number = focus.Number(c, y, x);
    const Vec slope = focus.Focal(c, Focus::Square(number), Vec(2.0) * Vec(each));
    return {slope * number.re, slope * number.im};
  }

  __device__ void operator()(const Block& block) const {
    const Vec scale(focus.scale);
    ForEachSample(block, out.shape(), [&](int c, int y, int x) {
      // The way back counts the columns that stand for two twice, as the mean does.
      ComplexVec slope = Slope(c, y, x);
      if (!StandsForTwo(x, out.full_width)) {
        const ComplexVec opposite = Slope(c, OppositeRow(y, out.numbers.shape.height), x);
        slope = {Vec(0.5) * (slope.re + opposite.re), Vec(0.5) * (slope.im - opposite.im)};
      }
      out.Write(c, y, x, {scale * slope.re, scale * slope.im});
    });
  }
};

struct StoreGradientKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView from;
  Shape shape;
  SampleSteps steps;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, shape, [&](int, int y, int x) {
      for (int c = 0; c < shape.channels; ++c) StoreSample(out, steps.At(c, y, x), *(Row(from, c, y) + x));
    });
  }
};

struct TimesOver {
  double factor, divisor;
  __device__ double operator()(double x) const { return Linear{factor, 0.0}(x / divisor); }
};

}  // namespace

std::int64_t FflWorkspaceBytes(const ImageView& distorted) { return 2 * PlanesBytes(ShapeOf(distorted)) + kAlignment; }

std::int64_t FflMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_map, bool want_gradient) {
  const Shape shape = ShapeOf(distorted);
  const std::int64_t errors = shape.count() * std::int64_t{sizeof(Real)};
  const std::int64_t spectrum = HalfSpectrum::PlanesFor(shape, nullptr).shape.count() * std::int64_t{sizeof(Real)};
  // cuFFT goes over rows, and then over columns in place.
  const std::int64_t transform = errors + 3 * spectrum;
  std::int64_t bytes = pair_bytes + errors + transform + 2 * spectrum;
  if (want_map) bytes += spectrum;
  if (want_gradient) bytes += 2 * spectrum + transform + errors;
  return bytes;
}

void NoteFfl(Cuda& device, const PairSamples& pair, const ImageView& distorted, const FflWalk& walk,
             const ProgramOutput& to, std::byte* workspace) {
  const Shape shape = ShapeOf(distorted);
  const SampleSteps steps(distorted);
  const PlanesView error{workspace, shape};
  const HalfSpectrum spectrum{HalfSpectrum::PlanesFor(shape, workspace + PlanesBytes(shape)), shape.width};
  auto* maxima = reinterpret_cast<double*>(workspace + 2 * PlanesBytes(shape));
  static_assert(kMostChannels * sizeof(double) <= kAlignment);
  if (pair.flat()) {
    device.Launch(ErrorKernel<true>{pair, steps, shape, error}, PixelGrid(shape));
  } else {
    device.Launch(ErrorKernel<false>{pair, steps, shape, error}, PixelGrid(shape));
  }
  ToSpectrum(device, shape, error.data, error.stride(), spectrum);

  const Focus focus{spectrum, {walk.alpha, walk.log_matrix}, maxima, SpectrumScale(shape)};
  CombineSamples(device, spectrum.shape(), shape.channels, WeightAt{focus}, TakeMax{}, AsIs{}, maxima);
  const auto samples = static_cast<double>(shape.count());
  CombineSamples(device, spectrum.shape(), 1, LossAt{focus}, AddUp{}, TimesOver{walk.loss_weight, samples}, to.score);
  if (to.map) device.Launch(LossMapKernel{focus, shape, steps, to.map}, RowGrid(shape));
  if (!to.gradient) return;
  const HalfSpectrum slopes{HalfSpectrum::PlanesFor(shape, workspace), shape.width};
  device.Launch(SpectrumGradientKernel{focus, walk.loss_weight / samples, slopes}, RowGrid(slopes.shape()));
  FromSpectrum(device, slopes, shape, workspace, slopes.numbers.stride());
  device.Launch(StoreGradientKernel{slopes.numbers, shape, steps, to.gradient}, PixelGrid(shape));
}

LIKENESS_END_TARGET
