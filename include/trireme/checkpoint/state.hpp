// SPDX-License-Identifier: Apache-2.0
// Where a run stands, beside its arrays.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace trireme {

/// What a run's first start loaded; its resumes keep it.
struct RunBeginning {
  std::string load{};     ///< key load, or empty
  bool finetune = false;  ///< key finetune
  friend bool operator==(const RunBeginning&, const RunBeginning&) = default;
};

struct RunState {
  static constexpr std::int64_t kFormat = 3;  ///< the format version that is written

  std::int64_t iteration = 0;
  std::int64_t samples_consumed = 0;
  std::int64_t optimizer_steps = 0;
  std::uint64_t seed = 0;  ///< every random number follows from the seed and both counts
  double loss_scale = 1;
  // See optim's LossScaleState. A checkpoint without these two values gets the defaults.
  std::int64_t clean_steps = 0;
  std::int64_t hysteresis = -1;
  std::string deck;    ///< resolved, YAML
  std::string data{};  ///< what the data files hold; empty in checkpoints of earlier versions
  std::optional<RunBeginning> began{};  ///< not in checkpoints of earlier versions
  /// The run's tokenizer, for make_tokenizer(); both empty where it is not known.
  std::string tokenizer_kind{};
  std::string tokenizer_definition{};
  std::string version;  ///< the program's version when it wrote the checkpoint
  std::string mesh;     ///< "dp 2 × tp 1 × pp 1": for people
  std::int64_t format_version = kFormat;  ///< the checkpoint's, where read from one
  friend bool operator==(const RunState&, const RunState&) = default;
};

}  // namespace trireme
