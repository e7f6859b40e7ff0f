// SPDX-License-Identifier: Apache-2.0
// Declares the options of commands that use a trained model.
#include "command_line.hpp"
#include "help/command_tree.hpp"

namespace trireme {

void CommandLine::add_generate() {
  GenerateCommand& c = generate_command;
  generate = app.add_subcommand(
      "generate", "Continues prompts with a trained model, by its deck or folder");
  generate
      ->add_option(
          kDeckArgument, deck.files,
          "A run's, a checkpoint's or a Hugging Face model's folder, or the decks of a "
          "run; a last - reads prompts from standard input")
      ->type_name(kFileValue);
  generate->add_option("--set", deck.overrides, "key=value over the deck; dots for nested keys")
      ->type_name(kSettingValue)
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  auto* prompt =
      generate->add_option("--prompt", c.prompts, "A text to continue; may be repeated")
          ->type_name("TEXT")
          ->take_all()
          ->expected(1)
          ->allow_extra_args(false);
  generate
      ->add_option("--prompt-file", c.prompt_file,
                   "Prompts: JSON lines with prompt, text, context or messages, or a text with "
                   "prompt_end between them, by default a line each; - for standard input")
      ->type_name(kFileValue)
      ->excludes(prompt);
  generate
      ->add_option("--output", c.output,
                   "File for the answers, JSON lines; by default standard output")
      ->type_name(kFileValue);
  add_sampling();
  auto* chat = generate
                   ->add_option("--chat", c.chat,
                                "Prompts are a user's words in this chat template, by default "
                                "the one whose marks the tokenizer has")
                   ->type_name("TEMPLATE")
                   ->expected(0, 1);
  generate->add_option("--system", c.system, "With --chat: the system's words")
      ->type_name("TEXT")
      ->needs(chat);
  generate
      ->add_option("--batch", c.batch, "Sequences under way at once in a replica of the model")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  generate->add_flag("--logprobs", c.log_probabilities,
                     "Adds each token and its log-probability to the answers");
  generate->add_flag("--ema", c.averages,
                     "Takes the moving average of a checkpoint's weights (key ema)");
  generate->add_flag("--recompute", c.recompute,
                     "Keeps no cache of keys and values: slower, and takes less memory");
  add_loudness(*generate);
}

void CommandLine::add_sampling() {
  GenerateCommand& c = generate_command;
  const CLI::Range fraction(0.0, 1.0);
  generate->add_option("--max-tokens", c.maximum_tokens, "Most tokens of an answer")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 31U));
  generate
      ->add_option("--temperature", c.temperature,
                   "Divides logits before a token is drawn; 0: the most probable token")
      ->check(not_negative());
  generate->add_option("--top-k", c.top_k, "Draws from this many most probable tokens")
      ->check(not_negative());
  generate
      ->add_option("--top-p", c.top_p,
                   "Draws from the fewest tokens with this probability together")
      ->check(fraction);
  generate
      ->add_option("--min-p", c.min_p,
                   "Draws no token below this share of the greatest probability")
      ->check(fraction);
  generate
      ->add_option("--repetition-penalty", c.repetition_penalty,
                   "Divides positive logits of tokens that occurred")
      ->check(positive());
  generate->add_option("--num-samples", c.num_samples, "Answers to each prompt")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}));
  generate->add_option("--seed", c.seed, "Seed of draws; by default the deck's")
      ->check(not_negative());
  generate->add_option("--stop", c.stops, "A text that ends an answer; may be repeated")
      ->type_name("TEXT")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
}

}  // namespace trireme
