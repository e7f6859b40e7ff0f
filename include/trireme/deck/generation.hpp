// SPDX-License-Identifier: Apache-2.0
// How `trireme generate` continues prompts, in the words of GPT-NeoX and Hugging Face.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme {

struct GenerationConfig {
  /// Where prompts come from, unless the command line says so.
  enum class Prompts : std::uint8_t {
    none,
    unconditional,
    input_file,
    interactive,
    precompute
  };
  Prompts text_gen_type = Prompts::none;
  std::int64_t maximum_tokens = 64;  ///< in an answer
  double temperature = 0;            ///< 0: greedy, or 1 if one of the next three is set
  std::int64_t top_k = 0;            ///< the most probable tokens alone; 0: all
  double top_p = 0;                  ///< the fewest tokens with this probability; 0: all
  double min_p = 0;                  ///< no tokens below this share of the greatest probability
  double repetition_penalty = 1;     ///< divides positive logits of earlier tokens
  std::int64_t num_samples = 1;      ///< answers to a prompt
  std::string prompt_end = "\n";     ///< separates the prompts of a text file
  std::string sample_input_file;
  std::string sample_output_file;
  bool recompute = false;  ///< no cache of keys and values
  std::int64_t sample_interval = 0;
  std::vector<std::string> sample_prompts;

  friend bool operator==(const GenerationConfig&, const GenerationConfig&) = default;
};

}  // namespace trireme
