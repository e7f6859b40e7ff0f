// SPDX-License-Identifier: Apache-2.0
// `trireme eval`: the loss of a model on texts, and how the model does in tasks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

struct EvalOptions {
  std::vector<std::string> data{};  ///< token files and texts
  std::string json_keys{};          ///< where JSON lines hold their text
  std::string separator{};          ///< between documents of plain text
  std::int64_t length = 0;          ///< tokens that the model reads at once; 0: the deck's
  std::int64_t stride = 0;
  bool skip_ends = false;
  bool averages = false;      ///< evaluate the moving average of the weights
  std::string by_document{};  ///< file for a line for each document; empty: none

  std::vector<std::string> tasks{};  ///< YAML files
  std::string task_data{};           ///< folder of the tasks' data; empty: that of each task
  std::optional<int> shots{};
  std::uint64_t seed = 1234;
  std::string samples{};  ///< file for a line for each question; empty: none

  std::int64_t limit = 0;
  std::string json{};  ///< file for all results; empty: none
};

/// Rank 0 reads data and writes results. Returns the exit code. Collective.
int eval(const DeckSource& source, const EvalOptions& options, const MpiSession& mpi);

}  // namespace trireme
