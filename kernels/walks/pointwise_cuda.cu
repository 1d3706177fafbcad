// One reading of the pair serves all its pointwise walks of the error: sums, maps, and the gradients that need no
// score. Gradients that do are written by a second reading, and a maximum's share is counted by one before that: pixels
// are cheaper to read again than a gradient is to write twice. Terms that want the samples themselves, or many
// instructions, have a reading of their own, which leaves the first its registers.
//
// Floor: the bytes of both images, of the maps and gradients, and of both images once more for a late gradient, twice
// for a maximum's. At 8 bit a score reads 2 bytes a sample. nvcc 13.0 for sm_90: 64 registers for the first reading,
// 32 and 40 for the others, four words each of the first two spilled (108 and 64 where the images differ in type or
// layout); 98 for the other terms' (112), none spilled; 26 KiB of shared memory.
#include "kernels/metrics/pointwise/pointwise_math.h"
#include "kernels/metrics/relative/relative_math.h"
#include "kernels/metrics/robust/robust_math.h"
#include "kernels/metrics/signed_error/signed_error_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/pointwise_cuda.h"
#include "kernels/walks/pointwise_score.h"

LIKENESS_BEGIN_TARGET
namespace {

// More walks take another reading. There are as many losses of the error alone.
constexpr int kMaxTerms = 12;
constexpr int kMaxBlocks = 1024;
// Groups of four samples that a thread has in hand. Two take many more registers.
constexpr int kVectors = 1;
constexpr int kRoundSamples = 4 * kVectors * kRowThreads;
static_assert(kMaxTerms * (kMaxBlocks + 2) <= Cuda::kScratchCount);

// What the second reading needs of the first.
struct Late {
  double scale;      // of the gradient
  double threshold;  // kMaximum: samples whose |e| is at least this share it
};

enum class Pass { kScore, kCountTies, kGradient };

// A walk's part in one reading.
struct Term {
  PointwiseWalk walk;
  PointwiseLoss loss;  // TermOf(walk)
  double unit;         // sums are of integers: steps of which this many make 1; else 0
  double slack;        // of the maximum
  float map_scale;
  float gradient_scale;
  Late* late;  // where the gradient comes late, else null
  TensorPlace map;
  TensorPlace gradient;
  double* score;
};

template <class F>
__device__ __forceinline__ float ValueAt(const F& f, float r, float d) {
  return Bare(f(Vec(r), Vec(d)));
}
template <class F>
__device__ __forceinline__ float SlopeAt(const F& f, float r, float d) {
  return Bare(f(Vec(r), Dual<Vec, 1>::Variable(Vec(d), 0)).d[0]);
}

// Of a maximum: 1 for the samples that reach it.
struct Reaches {
  float threshold;
};
__device__ __forceinline__ float ValueAt(const Reaches& f, float, float e) {
  return std::fabs(e) >= f.threshold ? 1.0f : 0.0f;
}
__device__ __forceinline__ float SlopeAt(const Reaches& f, float, float e) {
  return e == 0.0f || std::fabs(e) < f.threshold ? 0.0f : std::copysign(1.0f, e);
}

// of_error: the terms are of the error alone (IsOfError); else they are the others.
template <Pass pass, bool even, bool of_error>
struct PointwiseKernel {
  static constexpr int kThreads = kRowThreads;
  // The first reading of an even pair, which is the common one, spills four words for a fourth block.
  static constexpr int kBlocksWanted = !of_error ? 2 : pass == Pass::kScore && even ? 4 : 0;
  PairSamples pair;
  const Term* terms;
  int term_count;
  int rounds;  // of a block
  double* partials;

  // The values in hand: those of sample i of a vector, at first + vector * 4 * kThreads. of_error: r is 0, d the error.
  struct Values {
    float r[4 * kVectors];
    float d[4 * kVectors];
    std::int64_t first;
    int valid[kVectors];  // samples of a vector that exist
  };

  __device__ void operator()(const Block& block) const {
    // The sums wait here while the terms take turns, each thread's in a place of its own.
    __shared__ double sums[kMaxTerms][kThreads];
    for (int k = 0; k < term_count; ++k) sums[k][threadIdx.x] = 0.0;
    for (int round = 0; round < rounds; ++round) {
      Values in;
      in.first = (std::int64_t{block.x} * rounds + round) * kRoundSamples + 4 * static_cast<int>(threadIdx.x);
      if (in.first >= pair.count()) break;
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const std::int64_t left = pair.count() - in.first - v * 4 * kThreads;
        in.valid[v] = static_cast<int>(left < 0 ? 0 : left > 4 ? 4 : left);
      }
      if constexpr (even) {
        pair.EvenValues<kVectors>(in.first, 4 * kThreads, in.r, in.d);
      } else {
        pair.UnevenValues<kVectors>(in.first, 4 * kThreads, in.r, in.d);
      }
      if constexpr (of_error) {
#pragma unroll
        for (int k = 0; k < 4 * kVectors; ++k) {
          in.d[k] -= in.r[k];
          in.r[k] = 0.0f;
        }
      }
      for (int k = 0; k < term_count; ++k) {
        const Term term = terms[k];
        double& sum = sums[k][threadIdx.x];
        if constexpr (!of_error) {
          sum = ScoreOfValues(term, in, sum);
        } else if constexpr (pass == Pass::kScore) {
          sum = Score(term, in, sum);
        } else {
          sum = Finish(term, in, sum);
        }
      }
    }
    if constexpr (pass != Pass::kGradient) {
      for (int k = 0; k < term_count; ++k) {
        const bool maximum = pass == Pass::kScore && terms[k].loss == PointwiseLoss::kMaximum;
        const double mine = sums[k][threadIdx.x];
        const double sum = maximum ? CombineBlock(mine, TakeMax{}) : CombineBlock(mine, AddUp{});
        if (threadIdx.x == 0) partials[std::int64_t{k} * block.grid.x + block.x] = sum;
      }
    }
  }

  __device__ double Score(const Term& term, const Values& in, double sum) const {
    const double p = term.walk.parameter;
    switch (term.loss) {
      case PointwiseLoss::kMeanSquare:
        return Write(term, SquaredError{}, in, sum + Sum(term, SquaredError{}, in));
      case PointwiseLoss::kMeanSigned:
        return Write(term, Difference{}, in, sum + Sum(term, Difference{}, in));
      case PointwiseLoss::kMaximum: {
        const double largest = Sum<true>(term, AbsoluteError{}, in);
        return Write(term, AbsoluteError{}, in, largest > sum ? largest : sum);
      }
      case PointwiseLoss::kHuber:
        return Write(term, HuberError{p}, in, sum + Sum(term, HuberError{p}, in));
      case PointwiseLoss::kLogCosh:
        return Write(term, LogCoshError{}, in, sum + Sum(term, LogCoshError{}, in));
      case PointwiseLoss::kCharbonnier:
        // The mean is of the shifted loss and the parameter is added at the end, so that equal images score it exactly.
        return Write(term, CharbonnierError{p}, in, sum + Sum(term, ShiftedCharbonnierError{p}, in));
      case PointwiseLoss::kShiftedCharbonnier:
        return Write(term, ShiftedCharbonnierError{p}, in, sum + Sum(term, ShiftedCharbonnierError{p}, in));
      default:  // TermOf has reduced every other loss to one of these
        return Write(term, AbsoluteError{}, in, sum + Sum(term, AbsoluteError{}, in));
    }
  }

  __device__ double ScoreOfValues(const Term& term, const Values& in, double sum) const {
    const double p = term.walk.parameter, factor = term.walk.factor;
    const auto add = [&](const auto& f) { return Write(term, f, in, sum + Sum(term, f, in)); };
    switch (term.loss) {
      case PointwiseLoss::kPinball:
        return add(PinballError{p});
      case PointwiseLoss::kBarron:
        return add(BarronError{{p}, factor});
      case PointwiseLoss::kSymmetricPercentage:
        return add(SymmetricPercentageError{factor});
      case PointwiseLoss::kSignedPercentage:
        return add(SignedPercentage{p, factor});
      default:
        return add(PercentageError{p});
    }
  }

  __device__ double Finish(const Term& term, const Values& in, double sum) const {
    if (term.loss != PointwiseLoss::kMaximum) return Write(term, SquaredError{}, in, sum);
    const Reaches reaches{static_cast<float>(term.late->threshold)};
    return Write(term, reaches, in, pass == Pass::kCountTies ? sum + Sum(term, reaches, in) : sum);
  }

  // Float sums of four samples: those of bytes are exact.
  template <bool maximum = false, class F>
  __device__ __forceinline__ double Sum(const Term& term, const F& f, const Values& in) const {
    const bool in_steps = pass == Pass::kScore && term.unit != 0.0;
    const float unit = static_cast<float>(term.unit);
    float sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 4 * kVectors; ++k) {
      const float d = in_steps ? std::nearbyint(in.d[k] * unit) : in.d[k];
      const float value = k % 4 < in.valid[k / 4] ? ValueAt(f, in.r[k], d) : 0.0f;
      sum = maximum ? (value > sum ? value : sum) : sum + value;
    }
    return static_cast<double>(sum);
  }

  // Returns `sum` for its caller's sake.
  template <class F>
  __device__ __forceinline__ double Write(const Term& term, const F& f, const Values& in, double sum) const {
    const bool writes_gradient = term.gradient.data != nullptr && pass == (term.late ? Pass::kGradient : Pass::kScore);
    if (pass == Pass::kScore && term.map.data != nullptr) {
      Store(in, term.map, [&](float r, float d) { return ValueAt(f, r, d) * term.map_scale; });
    }
    if (writes_gradient) {
      const float scale = term.late ? static_cast<float>(term.late->scale) : term.gradient_scale;
      Store(in, term.gradient, [&](float r, float d) { return SlopeAt(f, r, d) * scale; });
    }
    return sum;
  }

  template <class F>
  __device__ __forceinline__ void Store(const Values& in, const TensorPlace& to, const F& f) const {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      Four<float> four;
#pragma unroll
      for (int k = 0; k < 4; ++k) four.v[k] = f(in.r[4 * v + k], in.d[4 * v + k]);
      const std::int64_t at = in.first + v * 4 * kThreads;
      in.valid[v] < 4 ? StoreFirst(to, at, four, in.valid[v]) : StoreFour(to, at, four);
    }
  }
};

// Block x combines what the blocks of a reading left for term x.
template <Pass pass>
struct PointwiseScoreKernel {
  static constexpr int kThreads = kRowThreads;
  const Term* terms;
  const double* partials;
  int count;  // of partials a term
  double sample_count;

  __device__ void operator()(const Block& block) const {
    const Term term = terms[block.x];
    const bool maximum = pass == Pass::kScore && term.loss == PointwiseLoss::kMaximum;
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += kThreads) {
      const double part = partials[std::int64_t{block.x} * count + i];
      sum = maximum ? TakeMax{}(sum, part) : sum + part;
    }
    sum = maximum ? CombineBlock(sum, TakeMax{}) : CombineBlock(sum, AddUp{});
    if (threadIdx.x != 0) return;
    if constexpr (pass == Pass::kCountTies) {
      if (term.loss == PointwiseLoss::kMaximum) term.late->scale = 1.0 / (sum > 1.0 ? sum : 1.0);
      return;
    }
    if (term.unit != 0.0) sum /= term.loss == PointwiseLoss::kMeanSquare ? term.unit * term.unit : term.unit;
    const walks::PointwiseScore result = walks::ScoreOf(term.walk, sum, sample_count);
    *term.score = result.score;
    if (term.late != nullptr) *term.late = {result.late_scale, sum - term.slack};
  }
};

// At most kMaxTerms walks, all of them of_error or none.
template <bool of_error>
void NoteGroup(Cuda& device, const PairSamples& pair, bool same_bytes, double value_of_one,
               std::span<const PointwiseTask> tasks) {
  auto* late = reinterpret_cast<Late*>(device.scratch() + kMaxTerms * kMaxBlocks);
  const double sample_count = static_cast<double>(pair.count());
  std::vector<Term> terms, late_terms;
  bool has_maximum = false;
  for (const auto& [walk, to] : tasks) {
    Term& term = terms.emplace_back();
    term.walk = walk;
    term.loss = walks::TermOf(walk);
    const bool integer = same_bytes && walks::HasIntegerTerm(term.loss);
    term.unit = integer ? value_of_one : 0.0;
    term.map_scale = static_cast<float>(walks::TermScale(walk));
    term.gradient_scale = static_cast<float>(walks::GradientScale(walk, sample_count));
    term.slack = walks::MaximumSlack(integer, value_of_one);
    term.late = nullptr;
    term.map = to.map;
    term.gradient = to.gradient;
    term.score = to.score;
    if (!to.gradient || !walks::HasLateGradient(walk)) continue;
    term.late = late + late_terms.size();
    late_terms.push_back(term);
    has_maximum |= walk.loss == PointwiseLoss::kMaximum;
  }
  const std::int64_t all_rounds = (pair.count() + kRoundSamples - 1) / kRoundSamples;
  const int rounds = static_cast<int>((all_rounds + kMaxBlocks - 1) / kMaxBlocks);
  const int blocks = static_cast<int>((all_rounds + rounds - 1) / rounds);
  double* partials = device.scratch();
  const auto table = [&](const std::vector<Term>& list) {
    return device.Table(list.data(), static_cast<std::int64_t>(list.size()));
  };
  const auto read = [&]<Pass pass>(std::integral_constant<Pass, pass>, const Term* list, int count) {
    if (pair.even()) {
      device.Launch(PointwiseKernel<pass, true, of_error>{pair, list, count, rounds, partials}, {blocks});
    } else {
      device.Launch(PointwiseKernel<pass, false, of_error>{pair, list, count, rounds, partials}, {blocks});
    }
    if constexpr (pass != Pass::kGradient) {
      device.Launch(PointwiseScoreKernel<pass>{list, partials, blocks, sample_count}, {count});
    }
  };
  read(std::integral_constant<Pass, Pass::kScore>(), table(terms), static_cast<int>(terms.size()));
  if constexpr (of_error) {
    if (late_terms.empty()) return;
    const Term* list = table(late_terms);
    const int count = static_cast<int>(late_terms.size());
    if (has_maximum) read(std::integral_constant<Pass, Pass::kCountTies>(), list, count);
    read(std::integral_constant<Pass, Pass::kGradient>(), list, count);
  }
}

template <bool of_error>
void NoteGroups(Cuda& device, const PairSamples& pair, bool same_bytes, double value_of_one,
                std::span<const PointwiseTask> tasks) {
  std::vector<PointwiseTask> group;
  for (const PointwiseTask& task : tasks) {
    if (walks::IsOfError(task.walk.loss) != of_error) continue;
    group.push_back(task);
    if (group.size() < kMaxTerms) continue;
    NoteGroup<of_error>(device, pair, same_bytes, value_of_one, group);
    group.clear();
  }
  if (!group.empty()) NoteGroup<of_error>(device, pair, same_bytes, value_of_one, group);
}

}  // namespace

std::int64_t PointwiseReadBytes(const PointwiseWalk& walk, std::int64_t pair_bytes, bool want_gradient) {
  const bool late = want_gradient && walks::HasLateGradient(walk);
  const bool counts_ties = late && walk.loss == PointwiseLoss::kMaximum;
  return (1 + late + counts_ties) * pair_bytes;
}

void NotePointwise(Cuda& device, const PairSamples& pair, bool same_bytes, double value_of_one,
                   std::span<const PointwiseTask> tasks) {
  NoteGroups<true>(device, pair, same_bytes, value_of_one, tasks);
  NoteGroups<false>(device, pair, same_bytes, value_of_one, tasks);
}

LIKENESS_END_TARGET
