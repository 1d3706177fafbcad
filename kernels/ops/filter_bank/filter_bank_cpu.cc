#include "kernels/ops/filter_bank/filter_bank_cpu.h"

#include "kernels/ops/fft/pocket.h"

LIKENESS_BEGIN_TARGET
namespace {

// Square of kLanes x kLanes numbers.
#if LIKENESS_TARGET_SCALAR
LIKENESS_HD void Transpose(Vec*) {}
#else
template <class V>
LIKENESS_HD void Transpose(V* rows) {
  static_assert(kLanes == 4 || kLanes == 8 || kLanes == 16);
  const Tag d;
  const hn::Repartition<double, Tag> pairs;
  const auto low = [&](auto a, auto b) {
    return V(hn::BitCast(d, hn::InterleaveLower(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b))));
  };
  const auto high = [&](auto a, auto b) {
    return V(hn::BitCast(d, hn::InterleaveUpper(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b))));
  };
  // Within blocks of four.
  for (int i = 0; i < kLanes; i += 4) {
    V* v = rows + i;
    const auto a = hn::InterleaveLower(d, v[0].v, v[1].v), b = hn::InterleaveLower(d, v[2].v, v[3].v);
    const auto e = hn::InterleaveUpper(d, v[0].v, v[1].v), f = hn::InterleaveUpper(d, v[2].v, v[3].v);
    v[0] = low(a, b);
    v[1] = high(a, b);
    v[2] = low(e, f);
    v[3] = high(e, f);
  }
  // Then the blocks.
  if constexpr (kLanes == 8) {
    for (int j = 0; j < 4; ++j) {
      const auto a = rows[j].v, b = rows[4 + j].v;
      rows[j] = V(hn::ConcatLowerLower(d, b, a));
      rows[4 + j] = V(hn::ConcatUpperUpper(d, b, a));
    }
  } else if constexpr (kLanes == 16) {
    for (int j = 0; j < 4; ++j) {
      const auto a = rows[j].v, b = rows[4 + j].v, e = rows[8 + j].v, f = rows[12 + j].v;
      const auto low_a = hn::ConcatLowerLower(d, e, a), low_b = hn::ConcatLowerLower(d, f, b);
      const auto high_a = hn::ConcatUpperUpper(d, e, a), high_b = hn::ConcatUpperUpper(d, f, b);
      rows[j] = V(hn::OddEvenBlocks(hn::SwapAdjacentBlocks(low_b), low_a));
      rows[4 + j] = V(hn::OddEvenBlocks(low_b, hn::SwapAdjacentBlocks(low_a)));
      rows[8 + j] = V(hn::OddEvenBlocks(hn::SwapAdjacentBlocks(high_b), high_a));
      rows[12 + j] = V(hn::OddEvenBlocks(high_b, hn::SwapAdjacentBlocks(high_a)));
    }
  }
}
#endif

int GroupsOfLanes(int side) { return (side + kLanes - 1) / kLanes; }

// Complex numbers of an image in scratch, so that kLanes columns are transformed in place: those columns' numbers lie
// together, row by row, each row as kLanes real and kLanes imaginary parts.
class Columns {
 public:
  explicit Columns(const PlanesView& scratch) : data_(Row(scratch, 0, 0)), height_(scratch.shape.height) {}
  Real* At(int group, int y) const { return data_ + (std::int64_t{group} * height_ + y) * 2 * kLanes; }

 private:
  Real* data_;
  int height_;
};

void TransformColumns(const Columns& columns, const BankSpec& spec, bool forward) {
  const PocketLanes plan(spec.height);
  ParallelFor(GroupsOfLanes(spec.width), std::int64_t{8} * kLanes * spec.height, [&](int begin, int end) {
    for (int group = begin; group < end; ++group) plan.Run(forward, Real(1), columns.At(group, 0));
  });
}

// Transforms kLanes rows at a time: get(x, y, part, square) and put(...) for each square of numbers, part 0 real and 1
// imaginary, whose rows are those of the image.
template <class Get, class Put>
void TransformRows(const BankSpec& spec, bool forward, const Get& get, const Put& put) {
  const PocketLanes plan(spec.width);
  const int groups = GroupsOfLanes(spec.width);
  const Real scale = static_cast<Real>(1.0 / std::sqrt(static_cast<double>(spec.width) * spec.height));
  ParallelFor(GroupsOfLanes(spec.height), std::int64_t{8} * kLanes * spec.width, [&](int begin, int end) {
    const auto unaligned = reinterpret_cast<std::uintptr_t>(
        RowScratch(std::int64_t{2} * kLanes * kLanes * groups + PocketLanes::kAlignment));
    Real* numbers = reinterpret_cast<Real*>((unaligned + PocketLanes::kAlignment - 1) / PocketLanes::kAlignment *
                                            PocketLanes::kAlignment);
    const auto each_square = [&](auto body) {
      for (int x = 0; x < groups * kLanes; x += kLanes) {
        for (int part = 0; part < 2; ++part) body(x, part, numbers + (2 * x + part) * kLanes);
      }
    };
    for (int y = begin * kLanes; y < end * kLanes; y += kLanes) {
      each_square([&](int x, int part, Real* to) {
        Vec square[kLanes];
        get(x, y, part, square);
        Transpose(square);
        for (int j = 0; j < kLanes; ++j) Store(square[j], to + 2 * j * kLanes);
      });
      plan.Run(forward, scale, numbers);
      each_square([&](int x, int part, const Real* from) {
        Vec square[kLanes];
        for (int j = 0; j < kLanes; ++j) square[j] = Load(from + 2 * j * kLanes);
        Transpose(square);
        put(x, y, part, square);
      });
    }
  });
}

}  // namespace

void BandsForward(Cpu&, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out) {
  const auto bank = FindBank<Real>(spec);
  const int count = out.shape.channels / 2, last = spec.height - 1;
  const Columns columns(scratch);
  for (int c = 0; c < count; ++c) {
    ForEachRow({spec.width, spec.height, 1}, [&](int, int y) {
      const Real *filter = bank->Row(first + c, y), *real = Row(x, 0, y), *imaginary = Row(x, 1, y);
      for (int i = 0; i < spec.width; i += kLanes) {
        const Vec f = Load(filter + i);
        Real* to = columns.At(i / kLanes, y);
        Store(f * Load(real + i), to);
        Store(f * Load(imaginary + i), to + kLanes);
      }
    });
    TransformColumns(columns, spec, /*forward=*/false);
    TransformRows(
        spec, /*forward=*/false,
        [&](int i, int y, int part, Vec* square) {
          for (int j = 0; j < kLanes; ++j) {
            square[j] = Load(columns.At(i / kLanes, std::min(y + j, last)) + part * kLanes);
          }
        },
        [&](int i, int y, int part, const Vec* square) {
          for (int j = 0; j < kLanes && y + j <= last; ++j) Store(square[j], Row(out, part * count + c, y + j) + i);
        });
  }
}

// The inverse transform is unitary: its transpose is the forward one.
void BandsBackward(Cpu&, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient) {
  const auto bank = FindBank<Real>(spec);
  const int count = upstream.shape.channels / 2, last = spec.height - 1;
  const Columns columns(scratch);
  for (int c = 0; c < count; ++c) {
    TransformRows(
        spec, /*forward=*/true,
        [&](int i, int y, int part, Vec* square) {
          for (int j = 0; j < kLanes; ++j) {
            square[j] = Load(Row(upstream, part * count + c, std::min(y + j, last)) + i);
          }
        },
        [&](int i, int y, int part, const Vec* square) {
          for (int j = 0; j < kLanes && y + j <= last; ++j) {
            Store(square[j], columns.At(i / kLanes, y + j) + part * kLanes);
          }
        });
    TransformColumns(columns, spec, /*forward=*/true);
    const bool add = gradient.accumulate || c > 0;
    ForEachRow({spec.width, spec.height, 1}, [&](int, int y) {
      const Real* filter = bank->Row(first + c, y);
      Real* to[2] = {Row(gradient.planes, 0, y), Row(gradient.planes, 1, y)};
      for (int i = 0; i < spec.width; i += kLanes) {
        const Vec f = Load(filter + i);
        const Real* from = columns.At(i / kLanes, y);
        for (int part = 0; part < 2; ++part) {
          const Vec g = f * Load(from + part * kLanes);
          Store(add ? Load(to[part] + i) + g : g, to[part] + i);
        }
      }
    });
  }
}

void BankPlanesForward(Cpu&, const BankSpec& spec, int first, const PlanesView& out) {
  const auto bank = FindBank<Real>(spec);
  ForEachRow(out.shape, [&](int c, int y) {
    const Real* from = bank->Row(first + c, y);
    std::copy(from, from + out.shape.width, Row(out, c, y));
  });
}

void BankConstantForward(Cpu&, const BankSpec& spec, int index, double* out) {
  *out = FindBank<Real>(spec)->constants[index];
}

LIKENESS_END_TARGET
