#include "client/cli/loss.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/numbers.h"

namespace likeness::cli {
namespace {

// What is left to read of a sum.
class Reader {
 public:
  explicit Reader(absl::string_view text) : text_(absl::StripAsciiWhitespace(text)) {}

  bool at_end() const { return text_.empty(); }
  bool Take(char expected) {
    if (text_.empty() || text_.front() != expected) return false;
    Skip(1);
    return true;
  }
  // Digits with a point and an exponent, whose sign belongs to them; empty where no number begins.
  absl::string_view TakeNumber() {
    std::size_t end = CountDigits(0);
    if (end > 0 && end + 1 < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const std::size_t digits = end + (text_[end + 1] == '+' || text_[end + 1] == '-' ? 2 : 1);
      const std::size_t exponent_end = CountDigits(digits);
      if (exponent_end > digits) end = exponent_end;
    }
    return TakeFirst(end);
  }
  // Up to the next sign or blank.
  absl::string_view TakeName() { return TakeFirst(std::min(text_.find_first_of("+-* \t"), text_.size())); }

 private:
  std::size_t CountDigits(std::size_t begin) const {
    std::size_t end = begin;
    while (end < text_.size() && (absl::ascii_isdigit(text_[end]) || text_[end] == '.')) ++end;
    return end;
  }
  absl::string_view TakeFirst(std::size_t count) {
    const absl::string_view taken = text_.substr(0, count);
    Skip(count);
    return taken;
  }
  void Skip(std::size_t count) { text_ = absl::StripLeadingAsciiWhitespace(text_.substr(count)); }

  absl::string_view text_;
};

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--loss is \"", text, "\"; ", why, ": must be NAME=SUM, as in face=1*dssim+0.5*mae-0.1*ssim"));
}

}  // namespace

absl::StatusOr<Asked> ParseLoss(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> sides = absl::StrSplit(text, absl::MaxSplits('=', 1));
  Asked loss;
  loss.name = std::string(absl::StripAsciiWhitespace(sides.first));
  if (loss.name.empty() ||
      !std::all_of(loss.name.begin(), loss.name.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; })) {
    return Bad(text, "the name has letters, digits and _ only");
  }
  Reader reader(sides.second);
  if (reader.at_end()) return Bad(text, "nothing is summed");
  while (!reader.at_end()) {
    const bool minus = reader.Take('-');
    if (!minus && !reader.Take('+') && loss.request.terms_size() > 0) return Bad(text, "terms are joined by + or -");
    double weight = 1.0;
    if (const absl::string_view number = reader.TakeNumber(); !number.empty()) {
      const absl::StatusOr<double> parsed = ParseNumber(number, "a weight");
      if (!parsed.ok()) return Bad(text, parsed.status().message());
      weight = *parsed;
      if (!reader.Take('*')) return Bad(text, absl::StrCat("the weight ", number, " lacks its * and metric"));
    }
    const absl::string_view metric = reader.TakeName();
    if (metric.empty()) return Bad(text, "a term names no metric");
    v1::Term& term = *loss.request.add_terms();
    term.set_metric(std::string(metric));
    term.set_weight(minus ? -weight : weight);
  }
  return loss;
}

}  // namespace likeness::cli
