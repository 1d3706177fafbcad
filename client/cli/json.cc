#include "client/cli/json.h"

#include <cmath>
#include <map>

#include "client/cli/numbers.h"

namespace likeness::cli {

Json JsonNumber(double value) {
  if (std::isinf(value)) return FormatNumber(value);
  if (std::isnan(value)) return nullptr;
  return value;
}

Json ParameterJson(const v1::ParameterValue& value) {
  switch (value.value_case()) {
    case v1::ParameterValue::kBoolValue:
      return value.bool_value();
    case v1::ParameterValue::kNumberValue:
      return JsonNumber(value.number_value());
    case v1::ParameterValue::kStringValue:
      return value.string_value();
    case v1::ParameterValue::VALUE_NOT_SET:
      break;
  }
  return nullptr;
}

Json ParametersJson(const google::protobuf::Map<std::string, v1::ParameterValue>& parameters) {
  Json json = Json::object();
  const std::map<std::string, v1::ParameterValue> sorted(parameters.begin(), parameters.end());
  for (const auto& [name, value] : sorted) json[name] = ParameterJson(value);
  return json;
}

std::string DumpJson(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace likeness::cli
