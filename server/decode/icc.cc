// Colour profiles, through Little CMS.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lcms2.h"
#include "server/decode/formats.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

// A profile within this of sRGB everywhere is sRGB: profiles that call themselves so differ by their curves' tables and
// by rounding. One 8-bit level, on the [0, 1] scale.
constexpr float kSrgbTolerance = 1.0f / 255.0f;

// Points a channel at which a profile is compared with sRGB.
constexpr int kGridPoints = 17;
constexpr int kRampPoints = 256;

struct DeleteContext {
  void operator()(void* context) const { cmsDeleteContext(static_cast<cmsContext>(context)); }
};
struct CloseProfile {
  void operator()(void* profile) const { cmsCloseProfile(profile); }
};
struct DeleteTransform {
  void operator()(void* transform) const { cmsDeleteTransform(transform); }
};
using Context = std::unique_ptr<void, DeleteContext>;
using Profile = std::unique_ptr<void, CloseProfile>;
using Transform = std::unique_ptr<void, DeleteTransform>;

Context MakeContext() {
  Context context(cmsCreateContext(nullptr, nullptr));
  // Failures come back as null pointers; the default handler's silence is what a server wants.
  return context;
}

Profile MakeSrgb(cmsContext context, bool gray) {
  if (!gray) return Profile(cmsCreate_sRGBProfileTHR(context));
  // IEC 61966-2-1, as ICC's parametric curve of type 4.
  const double curve_parameters[5] = {2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.04045};
  cmsToneCurve* curve = cmsBuildParametricToneCurve(context, 4, curve_parameters);
  if (curve == nullptr) return nullptr;
  Profile profile(cmsCreateGrayProfileTHR(context, cmsD50_xyY(), curve));
  cmsFreeToneCurve(curve);
  return profile;
}

Transform MakeTransform(cmsContext context, const Profile& from, const Profile& to, cmsUInt32Number format,
                        cmsUInt32Number flags) {
  return Transform(cmsCreateTransformTHR(context, from.get(), format, to.get(), format, INTENT_RELATIVE_COLORIMETRIC,
                                         flags | cmsFLAGS_NOCACHE));
}

// Every combination of kGridPoints levels of R, G and B, or a gray ramp.
std::vector<float> MakeProbe(bool gray) {
  std::vector<float> probe;
  if (gray) {
    for (int i = 0; i < kRampPoints; ++i) probe.push_back(i / float{kRampPoints - 1});
    return probe;
  }
  const auto level = [](int i) { return i / float{kGridPoints - 1}; };
  for (int r = 0; r < kGridPoints; ++r) {
    for (int g = 0; g < kGridPoints; ++g) {
      for (int b = 0; b < kGridPoints; ++b) probe.insert(probe.end(), {level(r), level(g), level(b)});
    }
  }
  return probe;
}

template <typename Sample>
void MapGray(const std::vector<float>& levels, Image& image) {
  const ImageView& view = image.view();
  constexpr float kTop = std::numeric_limits<Sample>::max();
  std::vector<Sample> table(levels.size());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    table[i] = static_cast<Sample>(std::lround(std::clamp(levels[i], 0.0f, 1.0f) * kTop));
  }
  auto* samples = static_cast<Sample*>(image.data());
  for (std::int64_t i = 0; i < view.pixel_count(); ++i) samples[i * view.channels] = table[samples[i * view.channels]];
}

// 16-bit RGB goes through float row by row: Little CMS's 16-bit shortcut is a coarse table, which 16 bits are not sent
// for.
void ConvertWide(cmsHTRANSFORM float_transform, Image& image) {
  const ImageView& view = image.view();
  constexpr float kTop = 65535.0f;
  std::vector<float> colors(static_cast<std::size_t>(view.width) * 3);
  auto* row = static_cast<std::uint16_t*>(image.data());
  for (int y = 0; y < view.height; ++y, row += static_cast<std::ptrdiff_t>(view.width) * view.channels) {
    for (int x = 0; x < view.width; ++x) {
      for (int c = 0; c < 3; ++c) colors[x * 3 + c] = row[x * view.channels + c] / kTop;
    }
    cmsDoTransform(float_transform, colors.data(), colors.data(), static_cast<cmsUInt32Number>(view.width));
    for (int x = 0; x < view.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        row[x * view.channels + c] =
            static_cast<std::uint16_t>(std::lround(std::clamp(colors[x * 3 + c], 0.0f, 1.0f) * kTop));
      }
    }
  }
}

}  // namespace

absl::Status ConvertToSrgb(absl::string_view icc_profile, Image& image, const std::string& name) {
  const ImageView& view = image.view();
  const bool gray = view.color_channels() == 1;
  const Context context = MakeContext();
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a colour management context");
  auto* const lcms = static_cast<cmsContext>(context.get());
  const Profile profile(
      cmsOpenProfileFromMemTHR(lcms, icc_profile.data(), static_cast<cmsUInt32Number>(icc_profile.size())));
  if (profile == nullptr) {
    return BadImage(absl::StrCat(name, ": the ICC profile of ", icc_profile.size(),
                                 " bytes is damaged; strip it or embed a valid one"));
  }
  if (cmsGetColorSpace(profile.get()) != (gray ? cmsSigGrayData : cmsSigRgbData)) {
    return UnsupportedImage(absl::StrCat(name, " is ", gray ? "gray" : "RGB",
                                         " but its ICC profile is for another colour model; convert the file to sRGB"));
  }
  const Profile srgb = MakeSrgb(lcms, gray);
  const Transform float_transform =
      MakeTransform(lcms, profile, srgb, gray ? TYPE_GRAY_FLT : TYPE_RGB_FLT, cmsFLAGS_NOOPTIMIZE);
  const absl::Status no_transform =
      UnsupportedImage(absl::StrCat(name, ": the ICC profile cannot be converted from; convert the file to sRGB"));
  if (float_transform == nullptr) return no_transform;
  const std::vector<float> probe = MakeProbe(gray);
  std::vector<float> converted(probe.size());
  cmsDoTransform(float_transform.get(), probe.data(), converted.data(),
                 static_cast<cmsUInt32Number>(probe.size() / view.color_channels()));
  float distance = 0.0f;
  for (std::size_t i = 0; i < probe.size(); ++i) distance = std::max(distance, std::abs(probe[i] - converted[i]));
  if (distance <= kSrgbTolerance) return absl::OkStatus();

  const bool wide = view.type == PixelType::kUint16;
  if (gray) {
    // Every level once, in float: Little CMS's own shortcut for gray is off by ten levels in the darks.
    std::vector<float> levels(wide ? 65536 : 256);
    const float top = static_cast<float>(levels.size() - 1);
    for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<float>(i) / top;
    cmsDoTransform(float_transform.get(), levels.data(), levels.data(), static_cast<cmsUInt32Number>(levels.size()));
    wide ? MapGray<std::uint16_t>(levels, image) : MapGray<std::uint8_t>(levels, image);
    return absl::OkStatus();
  }
  if (wide) {
    ConvertWide(float_transform.get(), image);
    return absl::OkStatus();
  }
  const Transform transform = MakeTransform(lcms, profile, srgb, view.has_alpha() ? TYPE_RGBA_8 : TYPE_RGB_8,
                                            cmsFLAGS_HIGHRESPRECALC | (view.has_alpha() ? cmsFLAGS_COPY_ALPHA : 0));
  if (transform == nullptr) return no_transform;
  auto* row = static_cast<unsigned char*>(image.data());
  for (int y = 0; y < view.height; ++y, row += view.row_bytes) {
    cmsDoTransform(transform.get(), row, row, static_cast<cmsUInt32Number>(view.width));
  }
  return absl::OkStatus();
}

}  // namespace likeness::server
