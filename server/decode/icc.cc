// Colour profiles, through Little CMS.
#include <algorithm>
#include <cmath>
#include <cstdint>
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
  const Transform probe_transform =
      MakeTransform(lcms, profile, srgb, gray ? TYPE_GRAY_FLT : TYPE_RGB_FLT, cmsFLAGS_NOOPTIMIZE);
  if (probe_transform == nullptr) {
    return UnsupportedImage(absl::StrCat(name, ": the ICC profile cannot be converted from; convert the file to sRGB"));
  }
  const std::vector<float> probe = MakeProbe(gray);
  std::vector<float> converted(probe.size());
  cmsDoTransform(probe_transform.get(), probe.data(), converted.data(),
                 static_cast<cmsUInt32Number>(probe.size() / view.color_channels()));
  float distance = 0.0f;
  for (std::size_t i = 0; i < probe.size(); ++i) distance = std::max(distance, std::abs(probe[i] - converted[i]));
  if (distance <= kSrgbTolerance) return absl::OkStatus();

  const bool wide = view.type == PixelType::kUint16;
  cmsUInt32Number format = 0;
  switch (view.channels) {
    case 1:
      format = wide ? TYPE_GRAY_16 : TYPE_GRAY_8;
      break;
    case 2:
      format = wide ? TYPE_GRAYA_16 : TYPE_GRAYA_8;
      break;
    case 3:
      format = wide ? TYPE_RGB_16 : TYPE_RGB_8;
      break;
    default:
      format = wide ? TYPE_RGBA_16 : TYPE_RGBA_8;
      break;
  }
  const Transform transform = MakeTransform(lcms, profile, srgb, format, view.has_alpha() ? cmsFLAGS_COPY_ALPHA : 0);
  if (transform == nullptr) {
    return UnsupportedImage(absl::StrCat(name, ": the ICC profile cannot be converted from; convert the file to sRGB"));
  }
  auto* row = static_cast<unsigned char*>(image.data());
  for (int y = 0; y < view.height; ++y, row += view.row_bytes) {
    cmsDoTransform(transform.get(), row, row, static_cast<cmsUInt32Number>(view.width));
  }
  return absl::OkStatus();
}

}  // namespace likeness::server
