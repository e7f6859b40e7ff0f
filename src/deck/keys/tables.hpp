// SPDX-License-Identifier: Apache-2.0
// Types with which the tables of keys are written. Each section has its own file.
#pragma once

#include "trireme/deck/keys.hpp"

namespace trireme::deck {

using D = Draft&;

template <class E>
constexpr std::uint8_t code(E e) {
  return static_cast<std::uint8_t>(e);
}

template <class E>
Field named(E& value, std::span<const Choice> choices) {
  static_assert(sizeof(E) == 1);
  return Enumerated{reinterpret_cast<std::uint8_t*>(&value), choices};
}

inline constexpr Range kPositive{.low = 0, .above_low = true};
inline constexpr Range kNotNegative{.low = 0};
inline constexpr Range kFromOne{.low = 1};
inline constexpr Range kSize{.low = 1, .high = 1e9};
inline constexpr Range kFraction{.low = 0, .high = 1};
inline constexpr Range kBelowOne{.low = 0, .high = 1, .below_high = true};
inline constexpr Range kMillion{.low = 1, .high = 1e6};
inline constexpr Range kSamples{.low = 1, .high = 1e15};

[[nodiscard]] std::span<const Key> model_keys();
[[nodiscard]] std::span<const Key> mesh_keys();
[[nodiscard]] std::span<const Key> batch_keys();
[[nodiscard]] std::span<const Key> optimizer_keys();
[[nodiscard]] std::span<const Key> tuning_keys();
[[nodiscard]] std::span<const Key> growth_keys();
[[nodiscard]] std::span<const Key> zero_keys();
[[nodiscard]] std::span<const Key> offload_keys();
[[nodiscard]] std::span<const Key> precision_keys();
[[nodiscard]] std::span<const Key> recompute_keys();
[[nodiscard]] std::span<const Key> run_keys();
[[nodiscard]] std::span<const Key> checkpoint_keys();
[[nodiscard]] std::span<const Key> data_keys();
[[nodiscard]] std::span<const Key> scheduler_keys();
[[nodiscard]] std::span<const Key> generation_keys();

[[nodiscard]] std::span<const ForeignKeys> neox_keys();
[[nodiscard]] std::span<const ForeignKeys> model_foreign();
[[nodiscard]] std::span<const ForeignKeys> deepspeed_foreign();
[[nodiscard]] std::span<const ForeignKeys> zero_foreign();

}  // namespace trireme::deck
