#include "kernels/ops/fft/fft_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

// An entry of a launch that is cuFFT's: one transform.
struct Transformation {
  cufftHandle plan;
  cufftType type;
  bool inverse;
  void* in;
  void* out;

  friend bool operator==(const Transformation&, const Transformation&) = default;
};

Failure RunTransformation(const Transformation& t, cudaStream_t stream) {
  LIKENESS_CUFFT_RETURN_IF_FAILED(cufftSetStream(t.plan, stream));
  switch (t.type) {
    case CUFFT_R2C:
      return LIKENESS_CUFFT_CHECK(
          cufftExecR2C(t.plan, static_cast<cufftReal*>(t.in), static_cast<cufftComplex*>(t.out)));
    case CUFFT_C2R:
      return LIKENESS_CUFFT_CHECK(
          cufftExecC2R(t.plan, static_cast<cufftComplex*>(t.in), static_cast<cufftReal*>(t.out)));
    default:
      return LIKENESS_CUFFT_CHECK(cufftExecC2C(t.plan, static_cast<cufftComplex*>(t.in),
                                               static_cast<cufftComplex*>(t.out),
                                               t.inverse ? CUFFT_INVERSE : CUFFT_FORWARD));
  }
}

Failure RunTransformations(const Entries& entries, cudaStream_t stream) {
  const auto* transformations = reinterpret_cast<const Transformation*>(entries.host);
  for (int i = 0; i < entries.count; ++i) {
    LIKENESS_CUDA_RETURN_IF_FAILED(RunTransformation(transformations[i], stream));
  }
  return {};
}

constexpr LaunchKind kTransformationKind = CallKind<Transformation>(&RunTransformations);

// A half spectrum from complex numbers to real and imaginary parts, times `twice` in columns that stand for two, else
// `once`.
struct SplitKernel {
  static constexpr int kThreads = kRowThreads;
  HalfSpectrum from;
  GradientView to;
  Real once;
  Real twice;

  __device__ void operator()(const Block& block) const {
    const Shape& shape = from.numbers.shape;
    ForEachSample(block, {to.planes.shape.width, shape.height, shape.channels}, [&](int c, int y, int x) {
      const ComplexVec number = from.Read(c, y, x);
      const Vec weight(StandsForTwo(x, from.full_width) ? twice : once);
      StoreGradient(to, c, y, x, weight * number.re);
      StoreGradient(to, shape.channels + c, y, x, weight * number.im);
    });
  }
};

// The way back. What the transform to real planes should leave out is taken out here, for cuFFT does so only at some
// sizes: in the columns that stand for one, all that is not symmetric.
struct JoinKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView from;
  HalfSpectrum to;
  Real once;
  Real twice;

  __device__ void operator()(const Block& block) const {
    const int channels = to.numbers.shape.channels, height = to.numbers.shape.height;
    ForEachSample(block, {from.shape.width, height, channels}, [&](int c, int y, int x) {
      Vec real = Load(Row(from, c, y) + x);
      Vec imaginary = Load(Row(from, channels + c, y) + x);
      Vec weight(twice);
      if (!StandsForTwo(x, to.full_width)) {
        const int opposite = OppositeRow(y, height);
        real = real + Load(Row(from, c, opposite) + x);
        imaginary = imaginary - Load(Row(from, channels + c, opposite) + x);
        weight = Vec(once) * Vec(0.5);
      }
      to.Write(c, y, x, {weight * real, weight * imaginary});
    });
  }
};

void Split(Cuda& device, const HalfSpectrum& from, const GradientView& to, Real once, Real twice) {
  device.Launch(SplitKernel{from, to, once, twice}, RowGrid(from.shape()));
}

void Join(Cuda& device, const PlanesView& from, const HalfSpectrum& to, Real once, Real twice) {
  device.Launch(JoinKernel{from, to, once, twice}, RowGrid(to.shape()));
}

struct AddRowsKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView from;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, gradient.planes.shape,
                  [&](int c, int y, int x) { StoreGradient(gradient, c, y, x, Load(Row(from, c, y) + x)); });
  }
};

struct ExpandForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const int width = out.shape.width, rows = x.shape.height;
    const int direct = (width + 1) / 2;  // columns of frequencies that are stored as they are
    ForEachSample(block, out.shape, [&](int c, int y, int i) {
      const int frequency = FrequencyAt(y, out.shape.height);
      Vec value;
      if (i < direct) {
        value = Load(Row(x, c, IndexOfFrequency(frequency, rows)) + i);
      } else {
        value = Load(Row(x, c, (rows - frequency) % rows) + (width - i));
        if (2 * c >= out.shape.channels) value = -value;
      }
      Store(value, Row(out, c, y) + i);
    });
  }
};

struct ExpandBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const int width = upstream.shape.width, height = upstream.shape.height;
    const int direct = (width + 1) / 2;
    const Shape& half = gradient.planes.shape;
    ForEachSample(block, half, [&](int c, int y, int x) {
      const int same = SameFrequency(y, half.height, height, 1);
      const int opposite = SameFrequency(y, half.height, height, -1);
      Vec sum(0.0);
      if (same >= 0 && x < direct) sum = Load(Row(upstream, c, same) + x);
      if (opposite >= 0 && x > 0 && x <= width - direct) {
        const Vec mirrored = Load(Row(upstream, c, opposite) + (width - x));
        sum = 2 * c < half.channels ? sum + mirrored : sum - mirrored;
      }
      StoreGradient(gradient, c, y, x, sum);
    });
  }
};

struct SelectForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  int first;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape,
                  [&](int c, int y, int i) { Store(Load(Row(x, first + c, y) + i), Row(out, c, y) + i); });
  }
};

struct SelectBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  int first;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, gradient.planes.shape, [&](int c, int y, int x) {
      const bool selected = c >= first && c < first + upstream.shape.channels;
      StoreGradient(gradient, c, y, x, selected ? Load(Row(upstream, c - first, y) + x) : Vec(0.0));
    });
  }
};

// A sample as often as its column counts in the full spectrum.
struct SpectrumShare {
  PlanesView x;
  int full_width;
  __device__ double operator()(int c, int y, int i) const {
    return static_cast<double>(*(Row(x, c, y) + i)) * (StandsForTwo(i, full_width) ? 2.0 : 1.0);
  }
};

double SamplesIn(const Shape& half, int full_width) {
  return static_cast<double>(full_width) * half.height * half.channels;
}

struct SpectrumMeanBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  const double* upstream;
  double samples;
  int full_width;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Vec once(*upstream / samples);
    ForEachSample(block, gradient.planes.shape, [&](int c, int y, int x) {
      StoreGradient(gradient, c, y, x, StandsForTwo(x, full_width) ? Vec(2.0) * once : once);
    });
  }
};

struct FullSpectrumKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const int width = out.shape.width, height = out.shape.height;
    ForEachSample(block, out.shape, [&](int c, int y, int i) {
      const bool stored = i < x.shape.width;
      const Real* from = stored ? Row(x, c, y) + i : Row(x, c, OppositeRow(y, height)) + (width - i);
      Store(Load(from), Row(out, c, y) + i);
    });
  }
};

}  // namespace

void Transform(Cuda& device, const FftSpec& spec, bool inverse, void* in, void* out) {
  Transformation transformation{0, spec.type, inverse, in, out};
  const Failure failure = device.caches().fft_plans->Find(spec, &transformation.plan);
  if (failure.failed()) return device.Report(failure);
  device.Add(kTransformationKind, transformation);
}

void ToSpectrum(Cuda& device, const Shape& real, void* from, std::ptrdiff_t stride, const HalfSpectrum& to) {
  Transform(device, {CUFFT_R2C, real.width, real.height, static_cast<int>(stride), to.stride(), real.channels},
            /*inverse=*/false, from, to.numbers.data);
}

void FromSpectrum(Cuda& device, const HalfSpectrum& from, const Shape& real, void* to, std::ptrdiff_t stride) {
  Transform(device, {CUFFT_C2R, real.width, real.height, from.stride(), static_cast<int>(stride), real.channels},
            /*inverse=*/true, from.numbers.data, to);
}

void RealFftForward(Cuda& device, const PlanesView& x, const PlanesView& scratch, const PlanesView& out) {
  const Real scale = SpectrumScale(x.shape);
  const HalfSpectrum spectrum{scratch, x.shape.width};
  ToSpectrum(device, x.shape, x.data, x.stride(), spectrum);
  Split(device, spectrum, {out, false}, scale, scale);
}

void RealFftBackward(Cuda& device, const PlanesView& upstream, const PlanesView& scratch,
                     const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const Real scale = SpectrumScale(shape);
  const HalfSpectrum spectrum{scratch, shape.width};
  // The inverse counts the columns that stand for two twice; the transpose counts each stored number once.
  Join(device, upstream, spectrum, scale, scale / 2);
  // In place: the gradient may hold something to add to.
  FromSpectrum(device, spectrum, shape, scratch.data, scratch.stride());
  device.Launch(AddRowsKernel{scratch, gradient}, RowGrid(shape));
}

void InverseRealFftForward(Cuda& device, const PlanesView& x, const PlanesView& scratch, const PlanesView& out) {
  const Real scale = SpectrumScale(out.shape);
  const HalfSpectrum spectrum{scratch, out.shape.width};
  Join(device, x, spectrum, scale, scale);
  FromSpectrum(device, spectrum, out.shape, out.data, out.stride());
}

void InverseRealFftBackward(Cuda& device, const PlanesView& upstream, const PlanesView& scratch,
                            const GradientView& gradient) {
  const Real scale = SpectrumScale(upstream.shape);
  const HalfSpectrum spectrum{scratch, upstream.shape.width};
  ToSpectrum(device, upstream.shape, upstream.data, upstream.stride(), spectrum);
  Split(device, spectrum, gradient, scale, 2 * scale);
}

void ExpandForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  device.Launch(ExpandForwardKernel{x, out}, RowGrid(out.shape));
}

void ExpandBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient) {
  device.Launch(ExpandBackwardKernel{upstream, gradient}, RowGrid(gradient.planes.shape));
}

void SelectForward(Cuda& device, const PlanesView& x, int first, const PlanesView& out) {
  device.Launch(SelectForwardKernel{x, first, out}, RowGrid(out.shape));
}

void SelectBackward(Cuda& device, const PlanesView& upstream, int first, const GradientView& gradient) {
  device.Launch(SelectBackwardKernel{upstream, first, gradient}, RowGrid(gradient.planes.shape));
}

void SpectrumMeanForward(Cuda& device, const PlanesView& x, int full_width, double* out) {
  CombineSamples(device, x.shape, 1, SpectrumShare{x, full_width}, AddUp{}, DividedBy{SamplesIn(x.shape, full_width)},
                 out);
}

void SpectrumMeanBackward(Cuda& device, const double* upstream, int full_width, const GradientView& gradient) {
  const Shape& half = gradient.planes.shape;
  device.Launch(SpectrumMeanBackwardKernel{upstream, SamplesIn(half, full_width), full_width, gradient}, RowGrid(half));
}

void FullSpectrumForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  device.Launch(FullSpectrumKernel{x, out}, RowGrid(out.shape));
}

LIKENESS_END_TARGET
