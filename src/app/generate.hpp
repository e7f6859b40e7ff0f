// SPDX-License-Identifier: Apache-2.0
// `trireme generate`: continues prompts with a trained model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trireme/comm/mpi.hpp"
#include "trireme/deck/load.hpp"

namespace trireme {

/// What the command line says; the deck says what it leaves out.
struct GenerateCommand {
  std::vector<std::string> prompts{};
  std::string prompt_file{};  ///< "-": standard input
  std::string output{};
  std::optional<std::int64_t> maximum_tokens{};
  std::optional<double> temperature{};
  std::optional<std::int64_t> top_k{};
  std::optional<double> top_p{};
  std::optional<double> min_p{};
  std::optional<double> repetition_penalty{};
  std::optional<std::int64_t> num_samples{};
  std::optional<std::uint64_t> seed{};
  std::vector<std::string> stops{};
  bool averages = false;  ///< take the moving average of the weights
  std::int64_t batch = 16;
  bool chats = false;
  std::string chat{};  ///< name of a template; empty: the one that the tokenizer's marks fit
  std::string system{};
  bool log_probabilities = false;
  bool recompute = false;
};

/// Returns the program's exit code. Collective.
int generate(const DeckSource& source, const GenerateCommand& command, const MpiSession& mpi);

}  // namespace trireme
