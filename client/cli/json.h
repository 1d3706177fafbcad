// How the command writes JSON.
#pragma once

#include <string>

#include "google/protobuf/map.h"
#include "likeness/v1/likeness.pb.h"
#include "nlohmann/json.hpp"

namespace likeness::cli {

// Keys keep the order in which they were set.
using Json = nlohmann::ordered_json;

// A JSON number, or the strings "inf" and "-inf", for which JSON has no number. NaN, which no score is, becomes null.
Json JsonNumber(double value);

// true, a number, or a string.
Json ParameterJson(const v1::ParameterValue& value);

// An object sorted by name.
Json ParametersJson(const google::protobuf::Map<std::string, v1::ParameterValue>& parameters);

// Indented, with a newline at the end. Bytes of a file name that are not UTF-8 become U+FFFD.
std::string DumpJson(const Json& json);

}  // namespace likeness::cli
