// SPDX-License-Identifier: Apache-2.0
// Reads constants from the environment.
#include "tuning.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "trireme/backend/cuda.hpp"
#include "trireme/core/error.hpp"

namespace trireme {

namespace cuda {

namespace {

constexpr const char* kVariable = "TRIREME_CUDA_TUNING";

struct Constant {
  std::string_view name;
  int Tuning::*value;
  int least;
  int most;
};
constexpr std::array<Constant, 10> kConstants = {{
    {"gelu_epilogue", &Tuning::gelu_epilogue, 0, 1},
    {"gelu_gradient_epilogue", &Tuning::gelu_gradient_epilogue, 0, 1},
    {"bias_gradient_epilogue", &Tuning::bias_gradient_epilogue, 0, 1},
    {"gemm_candidates", &Tuning::gemm_candidates, 1, 1000},
    {"gemm_trial_runs", &Tuning::gemm_trial_runs, 1, 1000},
    {"nccl_message_blocks", &Tuning::nccl_message_blocks, 1, 64},
    {"nccl_collective_blocks", &Tuning::nccl_collective_blocks, 1, 64},
    {"nccl_first_mib", &Tuning::nccl_first_mib, 1, 4096},
    {"nccl_short_sum", &Tuning::nccl_short_sum, 1, 1 << 30},
    {"column_parts", &Tuning::column_parts, 1, 4096},
}};

void set(Tuning& tuning, std::string_view item) {
  const auto sign = item.find('=');
  const std::string_view name = item.substr(0, sign);
  const auto* const found = std::ranges::find(kConstants, name, &Constant::name);
  if (found == kConstants.end()) {
    std::vector<std::string_view> names;
    for (const Constant& c : kConstants) names.push_back(c.name);
    throw Error(fmt::format("{}: there is no constant '{}'; there are {}", kVariable, name,
                            fmt::join(names, ", ")));
  }
  const std::string_view text = sign == std::string_view::npos ? "" : item.substr(sign + 1);
  int value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  TRM_REQUIRE(code == std::errc() && end == text.data() + text.size() &&
                  value >= found->least && value <= found->most,
              "{}: {} must be a whole number from {} to {}, not '{}'", kVariable, name,
              found->least, found->most, text);
  tuning.*(found->value) = value;
}

}  // namespace

Tuning tuning_of(const std::string& text) {
  Tuning tuning;
  const std::string_view all = text;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find(',', begin), all.size());
    set(tuning, all.substr(begin, end - begin));
    begin = end + 1;
  }
  return tuning;
}

Tuning tuning_of_environment() {
  const char* const text = std::getenv(kVariable);
  return tuning_of(text == nullptr ? "" : text);
}

}  // namespace cuda

std::string cuda_tuning() {
  const cuda::Tuning usual;
  const cuda::Tuning tuning = cuda::tuning_of_environment();
  std::vector<std::string> changes;
  for (const cuda::Constant& c : cuda::kConstants) {
    if (tuning.*(c.value) == usual.*(c.value)) continue;
    changes.push_back(
        fmt::format("{} {} instead of {}", c.name, tuning.*(c.value), usual.*(c.value)));
  }
  return fmt::format("{}", fmt::join(changes, ", "));
}

}  // namespace trireme
