// SPDX-License-Identifier: Apache-2.0
// Keys of `trireme generate`, and of samples during training.
#include "tables.hpp"

namespace trireme::deck {
namespace {

using Prompts = GenerationConfig::Prompts;
constexpr Choice kPrompts[] = {
    {"null", code(Prompts::none)},
    {"unconditional", code(Prompts::unconditional)},
    {"input-file", code(Prompts::input_file)},
    {"interactive", code(Prompts::interactive)},
    {"precompute", code(Prompts::precompute),
     "text_gen_type: precompute writes the logits of a data set, which is not available; "
     "`trireme generate --logprobs` gives log-probabilities"}};

const Key kGenerationKeys[] = {
    {"text_gen_type", "", [](D d) { return named(d.deck.generation.text_gen_type, kPrompts); },
     "prompts of trireme generate: unconditional: none; input-file: sample_input_file; "
     "interactive: standard input"},
    {"maximum_tokens", "", [](D d) -> Field { return &d.deck.generation.maximum_tokens; },
     "most tokens of an answer", kFromOne},
    {"temperature", "", [](D d) -> Field { return &d.deck.generation.temperature; },
     "divides logits before a token is drawn; 0: the most probable token, or 1 beside top_k, "
     "top_p or min_p",
     kNotNegative},
    {"top_k", "", [](D d) -> Field { return &d.deck.generation.top_k; },
     "draws from this many most probable tokens; 0: all", kNotNegative},
    {"top_p", "", [](D d) -> Field { return &d.deck.generation.top_p; },
     "draws from the fewest tokens that have this probability together; 0: all", kFraction},
    {"min_p", "", [](D d) -> Field { return &d.deck.generation.min_p; },
     "draws no token below this share of the greatest probability", kFraction, Need::usual,
     Origin::trireme},
    {"repetition_penalty", "",
     [](D d) -> Field { return &d.deck.generation.repetition_penalty; },
     "divides positive logits of tokens that occurred, and multiplies negative ones", kPositive,
     Need::usual, Origin::trireme},
    {"num_samples", "", [](D d) -> Field { return &d.deck.generation.num_samples; },
     "answers to each prompt", kMillion},
    {"prompt_end", "", [](D d) -> Field { return &d.deck.generation.prompt_end; },
     "text between the prompts of a file that is no JSON lines"},
    {"sample_input_file",
     "",
     [](D d) -> Field { return &d.deck.generation.sample_input_file; },
     "file of prompts",
     {},
     Need::open},
    {"sample_output_file",
     "",
     [](D d) -> Field { return &d.deck.generation.sample_output_file; },
     "file of answers, JSON lines; null: standard output",
     {},
     Need::open},
    {"recompute", "", [](D d) -> Field { return &d.deck.generation.recompute; },
     "generates without a cache of keys and values"},
    {"sample_interval", "", [](D d) -> Field { return &d.deck.generation.sample_interval; },
     "iterations between answers to sample_prompts during training; 0: never", kNotNegative,
     Need::usual, Origin::trireme},
    {"sample_prompts",
     "",
     [](D d) -> Field { return &d.deck.generation.sample_prompts; },
     "prompts whose answers the log shows at sample_interval",
     {},
     Need::open,
     Origin::trireme},
};

}  // namespace

std::span<const Key> generation_keys() { return kGenerationKeys; }

}  // namespace trireme::deck
