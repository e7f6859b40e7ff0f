// SPDX-License-Identifier: Apache-2.0
// The library's parser with a callback would check while it builds the value. Its time is
// quadratic in the length of arrays, so that a pass of its own is faster.
#include "trireme/core/json_check.hpp"

#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kBrief = 60;

/// Takes the events of a pass, and keeps the keys of the objects that are open.
class JsonCheck final : public nlohmann::json_sax<Json> {
 public:
  explicit JsonCheck(int most_depth) : most_depth_(most_depth) {}

  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return true;
  }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*elements*/) override { return open(); }
  bool key(string_t& name) override {
    TRM_REQUIRE(keys_.back().insert(name).second, "the key \"{}\" stands twice in an object",
                shortened(name, kBrief));
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t byte, const std::string& /*token*/,
                   const nlohmann::detail::exception& reason) override {
    // A number that no type holds is the only fault of another kind.
    TRM_REQUIRE(dynamic_cast<const Json::parse_error*>(&reason) != nullptr,
                "this is no JSON: the number at byte {} is out of range", byte);
    throw Error(fmt::format("this is no JSON: byte {} is unexpected", byte));
  }

 private:
  bool open() {
    keys_.emplace_back();
    TRM_REQUIRE(static_cast<int>(keys_.size()) <= most_depth_,
                "the JSON is nested more than {} deep", most_depth_);
    return true;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  int most_depth_;
  std::vector<std::set<std::string>> keys_;  ///< an array's set stays empty
};

}  // namespace

void check_json(std::string_view text, int most_depth) {
  JsonCheck check(most_depth);
  static_cast<void>(Json::sax_parse(text, &check));
}

}  // namespace trireme
