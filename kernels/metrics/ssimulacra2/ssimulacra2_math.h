// SSIMULACRA 2, version 2.1: J. Sneyers, Cloudinary 2022-2023. Reference code: cloudinary/ssimulacra2. Tuned on a large
// set of human opinions of compressed still images. Steps:
//
//   1. sRGB to linear RGB. Up to six scales, each the 2x2 means of the one before, the last row or column of an odd
//      side repeated; the last is made from a scale of 8 pixels a side at least.
//   2. At each scale to XYB, the opponent colours of JPEG XL: cube roots of cone responses. Shifted and scaled into
//      [0, 1] (SsimulacraXyb).
//   3. Window means by a Gaussian of sigma 1.5 with a zero border that is not made up for. The reference runs a
//      recursive filter, which is exactly these nine taps (kSsimulacraTaps).
//   4. Three maps for each of X, Y and B:
//        ssim      1 - (1 - (mu_r - mu_d)^2) (2 sigma_rd + C2) / (sigma_r^2 + sigma_d^2 + C2), C2 = 0.0009, at least 0
//        artifact  what |d - mu_d| has more than |r - mu_r|: (1 + |d - mu_d|) / (1 + |r - mu_r|) - 1, at least 0
//        lost      what it has less
//   5. Of each map the mean and the 4-norm (mean x^4)^(1/4): 108 numbers for six scales, whose weighted sum q (52 of
//      the weights are not 0) goes through a polynomial and a power to 100 - 10 p(q)^0.63, 100 where p(q) is not
//      above 0. With fewer than six scales the reference counts on without gaps: the weights shift. So do ours.
//
// The second factor of ssim is 1 - (mean (d - r)^2 - (mu_d - mu_r)^2) / denominator, which is what is computed: it
// needs one window mean fewer, equal images give exactly 0, and near them float does not lose the difference of near
// equals.
//
// Images with alpha: the reference composites over 0.1 and over 0.9 and takes the lower score. A program sees images
// over one background only, so ask twice and take the lower.
//
// No reference gradient exists: powers and roots of 0 have a gradient of 0.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/metrics/srgb.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kSsimulacraScales = 6;
inline constexpr double kSsimulacraTaps[] = {0.00941436781, 0.0360111147, 0.109335373,  0.212928592,  0.264621105,
                                             0.212928592,   0.109335373,  0.0360111147, 0.00941436781};

// By ((channel * scales + scale) * 2 + norm) * 3 + map, channels X, Y, B, norms mean and 4, maps in the order above.
struct SsimulacraWeight {
  int index;
  double value;
};
inline constexpr SsimulacraWeight kSsimulacraWeights[] = {
    {1, 0.0007376606707406586},    {4, 0.0007793481682867309},  {7, 0.0004371155730107379},
    {9, 1.1041726426657346},       {10, 0.00066284834129271},   {11, 0.00015231632783718752},
    {13, 0.0016406437456599754},   {15, 1.8422455520539298},    {16, 11.441172603757666},
    {18, 0.0007989109436015163},   {19, 0.000176816438078653},  {21, 1.8787594979546387},
    {22, 10.94906990605142},       {24, 0.0007289346991508072}, {25, 0.9677937080626833},
    {27, 0.00014003424285435884},  {28, 0.9981766977854967},    {29, 0.00031949755934435053},
    {30, 0.0004550992113792063},   {33, 0.0013648766163243398}, {39, 7.466890328078848},
    {41, 17.445833984131262},      {42, 0.0006235601634041466}, {45, 6.683678146179332},
    {46, 0.00037724407979611296},  {47, 1.027889937768264},     {48, 225.20515300849274},
    {51, 19.213238186143016},      {52, 0.0011401524586618361}, {53, 0.001237755635509985},
    {54, 176.39317598450694},      {57, 24.43300999870476},     {58, 0.28520802612117757},
    {59, 0.0004485436923833408},   {63, 34.77906344483772},     {64, 44.835625328877896},
    {73, 0.0008680556573291698},   {79, 0.0005313191874358747}, {81, 0.00016533814161379112},
    {87, 0.0004179171803251336},   {88, 0.0017290828234722833}, {90, 0.0020827005846636437},
    {93, 8.826982764996862},       {94, 23.19243343998926},     {96, 95.1080498811086},
    {97, 0.9863978034400682},      {98, 0.9834382792465353},    {99, 0.0012286405048278493},
    {100, 171.2667255897307},      {101, 0.9807858872435379},   {105, 0.0005130064588990679},
    {107, 0.00010854057858411537},
};

struct SsimulacraLinear {
  LIKENESS_HD auto operator()(const auto& x) const { return LinearFromSrgb(x); }
};

struct SsimulacraXyb {
  static constexpr int kOutputs = 3;
  template <class V>
  LIKENESS_HD Pack<V, 3> operator()(const V& r, const V& g, const V& b) const {
    constexpr double kBias = 0.0037930732552754493;
    constexpr double kBiasRoot = 0.15595420054924863;  // its cube root
    constexpr double kBlueR = 0.24342268924547819, kBlueG = 0.20476744424496821;
    const auto cone = [](const V& mix) { return Cbrt(Relu(mix + kBias)) - kBiasRoot; };
    const V l = cone(r * 0.30 + g * 0.622 + b * 0.078);
    const V m = cone(r * 0.23 + g * 0.692 + b * 0.078);
    const V s = cone(r * kBlueR + g * kBlueG + b * (1.0 - kBlueR - kBlueG));
    const V y = (l + m) * 0.5;
    return {{(l - m) * 7.0 + 0.42, y + 0.01, s - y + 0.55}};
  }
};

struct SsimulacraSquaredError {
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = d - r;
    return e * e;
  }
};
struct SsimulacraSquares {
  LIKENESS_HD auto operator()(auto r, auto d) const { return r * r + d * d; }
};

// Of a channel of both images, the window means of r and of d - r, of (d - r)^2 and of r^2 + d^2: the three maps.
struct SsimulacraMaps {
  template <class R, class D>
  LIKENESS_HD static Pack<D, 3> Of(const R& r, const D& d, const R& mean_r, const D& mean_e, const D& squared_e,
                                   const D& squares) {
    const D mean_d = mean_e + mean_r;
    const D shift = mean_e * mean_e;
    const D unlike = (squared_e - shift) / (squares - mean_d * mean_d - mean_r * mean_r + 0.0009);
    const R edge_r = Abs(r - mean_r);
    const D edge = (Abs(d - mean_d) - edge_r) / (edge_r + 1.0);
    return {{Relu(unlike + shift - unlike * shift), Relu(edge), Relu(-edge)}};
  }
};

struct SsimulacraFourthPower {
  LIKENESS_HD auto operator()(const auto& x) const {
    const auto square = x * x;
    return square * square;
  }
};

// The window means that the maps need; the maps and their fourth powers.
struct SsimulacraNorms {
  static constexpr int kOfReference = 1, kOfPair = 3, kOutputs = 6;
  template <class R>
  LIKENESS_HD Pack<R, 1> OfReference(const R& r) const {
    return {{r}};
  }
  template <class R, class D>
  LIKENESS_HD Pack<D, 3> OfPair(const R& r, const D& d) const {
    return {{Difference{}(r, d), SsimulacraSquaredError{}(r, d), SsimulacraSquares{}(r, d)}};
  }
  template <class R, class D>
  LIKENESS_HD Pack<D, 6> operator()(const R& r, const D& d, const Pack<R, 1>& mean_r, const Pack<D, 3>& means) const {
    const Pack<D, 3> maps = SsimulacraMaps::Of(r, d, mean_r.v[0], means.v[0], means.v[1], means.v[2]);
    Pack<D, 6> out;
    for (int i = 0; i < 3; ++i) {
      out.v[i] = maps.v[i];
      out.v[3 + i] = Apply(SsimulacraFourthPower{}, maps.v[i]);
    }
    return out;
  }
};

// The maps of Y, from three channels of each.
struct SsimulacraLumaMaps {
  LIKENESS_HD auto operator()(const auto& r, const auto& d, const auto& mean_r, const auto& mean_e,
                              const auto& squared_e, const auto& squares) const {
    return SsimulacraMaps::Of(r.v[1], d.v[1], mean_r.v[1], mean_e.v[1], squared_e.v[1], squares.v[1]);
  }
};

struct FourthRoot {
  LIKENESS_HD auto operator()(auto x) const { return Sqrt(Sqrt(x)); }
};

struct SsimulacraScore {
  template <class V>
  LIKENESS_HD V operator()(const V& sum) const {
    const V q = sum * 0.9562382616834844;
    const V p = q * 2.326765642916932 - q * q * 0.020884521182843837 + q * q * q * 6.248496625763138e-05;
    return 100.0 - SafePow(p, 0.6276336467831387) * 10.0;
  }
};

LIKENESS_END_TARGET
