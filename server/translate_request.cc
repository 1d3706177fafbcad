#include <bit>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/reason.h"
#include "server/translate.h"

namespace likeness::server {
namespace {

static_assert(std::endian::native == std::endian::little, "raw samples are little endian on the wire");

absl::Status BadParameter(absl::string_view message) {
  return WithReason(absl::InvalidArgumentError(message), kBadParameter);
}

// "DATA_TYPE_UINT8", or the number of a value that this build does not know.
template <class Enum>
std::string NameOf(Enum value) {
  const auto* known = google::protobuf::GetEnumDescriptor<Enum>()->FindValueByNumber(value);
  return known != nullptr ? known->name() : absl::StrCat(static_cast<int>(value));
}

absl::StatusOr<PixelType> ToPixelType(v1::DataType type, const std::string& name) {
  switch (type) {
    case v1::DATA_TYPE_UINT8:
      return PixelType::kUint8;
    case v1::DATA_TYPE_UINT16:
      return PixelType::kUint16;
    case v1::DATA_TYPE_FLOAT16:
      return PixelType::kFloat16;
    case v1::DATA_TYPE_FLOAT32:
      return PixelType::kFloat32;
    default:
      return BadImage(
          absl::StrCat(name, ".raw.data_type is ", NameOf(type),
                       "; it must be DATA_TYPE_UINT8, DATA_TYPE_UINT16, DATA_TYPE_FLOAT16 or DATA_TYPE_FLOAT32"));
  }
}

absl::StatusOr<Layout> ToLayout(v1::Layout layout, const std::string& name) {
  switch (layout) {
    case v1::LAYOUT_UNSPECIFIED:
    case v1::LAYOUT_HWC:
      return Layout::kHwc;
    case v1::LAYOUT_CHW:
      return Layout::kChw;
    default:
      return BadImage(absl::StrCat(name, ".raw.layout is ", NameOf(layout), "; it must be LAYOUT_HWC or LAYOUT_CHW"));
  }
}

absl::StatusOr<ImageSource> ToSource(const v1::Image& image, const std::string& name) {
  switch (image.source_case()) {
    case v1::Image::kRaw: {
      const v1::RawImage& raw = image.raw();
      RawSamples samples;
      samples.data = raw.data();
      samples.width = raw.width();
      samples.height = raw.height();
      samples.channels = raw.channels();
      ASSIGN_OR_RETURN(samples.type, ToPixelType(raw.data_type(), name));
      ASSIGN_OR_RETURN(samples.layout, ToLayout(raw.layout(), name));
      samples.value_of_one = raw.has_value_of_one() ? raw.value_of_one() : DefaultValueOfOne(samples.type);
      return ImageSource(samples);
    }
    case v1::Image::kEncoded:
      return ImageSource(EncodedFile{image.encoded()});
    case v1::Image::kReferenceId:
      return BadImage(absl::StrCat(name,
                                   " is a reference_id; only a pair's reference may be a kept image, send this one "
                                   "as raw or encoded"));
    case v1::Image::SOURCE_NOT_SET:
      break;
  }
  return BadImage(
      absl::StrCat(name, " has no image; set raw or encoded", name == "reference" ? ", or reference_id" : ""));
}

absl::StatusOr<Averaging> ToAveraging(v1::Averaging averaging) {
  switch (averaging) {
    case v1::AVERAGING_UNSPECIFIED:
    case v1::AVERAGING_OVER_PIXELS:
      return Averaging::kOverPixels;
    case v1::AVERAGING_OVER_WEIGHTS:
      return Averaging::kOverWeights;
    default:
      return BadParameter(absl::StrCat("weights.averaging is ", NameOf(averaging),
                                       "; it must be AVERAGING_OVER_PIXELS or AVERAGING_OVER_WEIGHTS"));
  }
}

absl::Status FromProto(const v1::PixelWeights& weights, RegionWeights& out) {
  ASSIGN_OR_RETURN(out.averaging, ToAveraging(weights.averaging()));
  if (weights.has_mask()) {
    ASSIGN_OR_RETURN(out.mask, ToSource(weights.mask(), "weights.mask"));
  }
  if (weights.regions_size() > kMaxRegions) {
    return BadParameter(
        absl::StrCat("weights has ", weights.regions_size(), " regions; it may have up to ", kMaxRegions));
  }
  for (int i = 0; i < weights.regions_size(); ++i) {
    const v1::Region& region = weights.regions(i);
    const std::string name = absl::StrCat("weights.regions[", i, "]");
    if (!(region.multiplier() >= 0.0 && region.multiplier() <= kMaxMultiplier)) {
      return BadParameter(
          absl::StrCat(name, ".multiplier is ", region.multiplier(), "; it must be 0 to ", kMaxMultiplier));
    }
    RegionWeights::Region& to = out.regions.emplace_back();
    to.multiplier = region.multiplier();
    ASSIGN_OR_RETURN(to.mask, ToSource(region.mask(), absl::StrCat(name, ".mask")));
  }
  return absl::OkStatus();
}

using WireParameters = google::protobuf::Map<std::string, v1::ParameterValue>;

absl::StatusOr<Parameters> FromProto(const WireParameters& parameters, const std::string& metric) {
  Parameters out;
  for (const auto& [key, value] : parameters) {
    switch (value.value_case()) {
      case v1::ParameterValue::kBoolValue:
        out[key] = value.bool_value();
        break;
      case v1::ParameterValue::kNumberValue:
        out[key] = value.number_value();
        break;
      case v1::ParameterValue::kStringValue:
        out[key] = value.string_value();
        break;
      case v1::ParameterValue::VALUE_NOT_SET:
        return BadParameter(absl::StrCat("parameter ", key, " of ", metric, " has no value; set one or leave it out"));
    }
  }
  return out;
}

absl::StatusOr<Precision> FromProto(v1::Precision precision, const std::string& name) {
  switch (precision) {
    case v1::PRECISION_UNSPECIFIED:
    case v1::PRECISION_EXACT:
      return Precision::kExact;
    case v1::PRECISION_FAST:
      return Precision::kFast;
    default:
      return BadParameter(absl::StrCat("precision of ", name, " is ", NameOf(precision),
                                       "; it must be PRECISION_EXACT or PRECISION_FAST"));
  }
}

// `name` is "metrics[2]".
absl::Status CheckComposition(const v1::MetricRequest& request, const std::string& name) {
  if (request.terms().empty()) {
    if (!request.metric().empty()) return absl::OkStatus();
    return BadParameter(absl::StrCat(name, " has neither metric nor terms; set one of them"));
  }
  if (!request.metric().empty() || !request.parameters().empty()) {
    return BadParameter(absl::StrCat(name, " has terms and also ", request.metric().empty() ? "parameters" : "metric ",
                                     request.metric(), "; a composition has terms only, with their own parameters"));
  }
  if (request.terms_size() > kMaxTerms) {
    return BadParameter(
        absl::StrCat(name, " has ", request.terms_size(), " terms; a composition may have up to ", kMaxTerms));
  }
  for (int i = 0; i < request.terms_size(); ++i) {
    const v1::Term& term = request.terms(i);
    if (!(std::fabs(term.weight()) <= kMaxTermWeight)) {
      return BadParameter(absl::StrCat(name, ".terms[", i, "].weight is ", term.weight(), "; it must be ",
                                       -kMaxTermWeight, " to ", kMaxTermWeight));
    }
    if (term.metric().empty()) {
      return BadParameter(absl::StrCat(name, ".terms[", i, "] names no metric; ListMetrics tells which there are"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<MetricAsk> FromProto(const v1::MetricRequest& request, const std::string& name) {
  RETURN_IF_ERROR(CheckComposition(request, name));
  MetricAsk ask;
  ask.request.id = request.metric();
  ask.request.want_map = request.want_map();
  ask.request.want_gradient = request.want_gradient();
  ASSIGN_OR_RETURN(ask.request.precision,
                   FromProto(request.precision(), request.metric().empty() ? name : request.metric()));
  ASSIGN_OR_RETURN(ask.request.parameters, FromProto(request.parameters(), request.metric()));
  for (const v1::Term& term : request.terms()) {
    TermAsk& to = ask.terms.emplace_back(TermAsk{ask.request, term.weight()});
    to.request.id = term.metric();
    ASSIGN_OR_RETURN(to.request.parameters, FromProto(term.parameters(), term.metric()));
  }
  switch (request.output_type()) {
    case v1::DATA_TYPE_UNSPECIFIED:
    case v1::DATA_TYPE_FLOAT32:
      break;
    case v1::DATA_TYPE_FLOAT16:
      ask.half_output = true;
      break;
    default:
      return BadParameter(absl::StrCat("output_type of ", request.metric().empty() ? name : request.metric(), " is ",
                                       NameOf(request.output_type()),
                                       "; it must be DATA_TYPE_FLOAT32 or DATA_TYPE_FLOAT16"));
  }
  return ask;
}

// What to measure, of either request.
template <class Request>
absl::Status FromMeasure(const Request& request, PairWork& work) {
  RETURN_IF_ERROR(FromProto(request.weights(), work.region_weights));
  if (request.has_alpha_background()) work.alpha_background = request.alpha_background();
  work.metrics.reserve(request.metrics_size());
  for (int i = 0; i < request.metrics_size(); ++i) {
    ASSIGN_OR_RETURN(MetricAsk ask, FromProto(request.metrics(i), absl::StrCat("metrics[", i, "]")));
    work.metrics.push_back(std::move(ask));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FromProto(const v1::ScoreRequest& request, PairWork& work) {
  if (request.reference().has_reference_id()) {
    ASSIGN_OR_RETURN(work.reference_id, ToReferenceId(request.reference()));
  } else {
    ASSIGN_OR_RETURN(work.reference.source, ToSource(request.reference(), "reference"));
  }
  ASSIGN_OR_RETURN(work.distorted.source, ToSource(request.distorted(), "distorted"));
  work.message_bytes = static_cast<std::int64_t>(request.ByteSizeLong());
  return FromMeasure(request, work);
}

absl::Status FromProto(const v1::ScoreManyRequest& request, int index, PairWork& work) {
  const v1::Image& image = request.distorted(index);
  ASSIGN_OR_RETURN(work.distorted.source, ToSource(image, "distorted"));
  work.message_bytes = static_cast<std::int64_t>(image.ByteSizeLong());
  return FromMeasure(request, work);
}

absl::StatusOr<std::string> ToReferenceId(const v1::Image& image) {
  if (!image.reference_id().empty()) return image.reference_id();
  return BadImage("reference.reference_id is empty; name an image of PutReference");
}

absl::Status FromProto(const v1::Image& image, KeepWork& work) {
  ASSIGN_OR_RETURN(work.image.source, ToSource(image, work.image.name));
  work.message_bytes = static_cast<std::int64_t>(image.ByteSizeLong());
  return absl::OkStatus();
}

}  // namespace likeness::server
