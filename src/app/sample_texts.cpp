// SPDX-License-Identifier: Apache-2.0
// Generates with the values in training, where they are.
#include "sample_texts.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/inference/generate.hpp"

#include "deck_tokenizer.hpp"
#include "prompts.hpp"

namespace trireme {

namespace {

/// With U+FFFD for bytes that aren't UTF-8, such as the beginning of a character.
std::string as_utf8(const std::string& text) {
  using nlohmann::json;
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace))
      .get<std::string>();
}

}  // namespace

SampleTexts::SampleTexts(const Deck& deck, const Exec& ex, const Mesh& mesh, Trainer& trainer)
    : deck_(deck), ex_(ex), mesh_(mesh), trainer_(trainer) {
  if (deck.generation.sample_interval == 0) return;
  collectively(*mesh.world, [&] {
    if (mesh.world->rank() != 0) return;
    tokenizer_ = find_tokenizer(deck);
    TRM_REQUIRE(tokenizer_ != nullptr,
                "sample_prompts need a tokenizer, which neither deck nor data name: set "
                "vocab_file, or sample_interval to 0");
    for (const std::string& text : deck.generation.sample_prompts) {
      prompts_.push_back(encode_prompt(text, *tokenizer_));
      const auto length = static_cast<std::int64_t>(prompts_.back().size());
      const bool known = std::ranges::all_of(
          prompts_.back(), [&](std::int32_t id) { return id < deck.model.vocab_size; });
      TRM_REQUIRE(known,
                  "the sample prompt \"{}\" has a token beyond the model's {}: the deck's "
                  "tokenizer isn't that of the data",
                  shortened(text, 40), deck.model.vocab_size);
      TRM_REQUIRE(length < deck.model.seq_length,
                  "the sample prompt \"{}\" has {} tokens, but seq_length is {}",
                  shortened(text, 40), length, deck.model.seq_length);
    }
    end_of_document_ = tokenizer_->end_of_document();
  });
  end_of_document_ =
      static_cast<std::int32_t>(mesh.world->reduce_count(end_of_document_, Reduction::max));
}

void SampleTexts::write_if_due(std::int64_t iteration, PhaseClock& clock, TrainLog& log) {
  const std::int64_t interval = deck_.generation.sample_interval;
  if (interval == 0 || iteration % interval != 0) return;
  clock.pause();
  const GenerationConfig& g = deck_.generation;
  GenerateOptions options = options_of(g, deck_.seed);
  if (end_of_document_ >= 0) options.stop_tokens.push_back(end_of_document_);
  std::vector<Answer> answers;
  trainer_.with_evaluated_values([&] {
    Inference inference(ex_, deck_, mesh_, *trainer_.parts().front());
    answers = Generator(inference).generate(prompts_, options);
  });
  SampleRecord record{.iteration = iteration};
  for (std::size_t i = 0; i < prompts_.size(); ++i) {  // rank 0 alone has prompts
    for (std::int64_t s = 0; s < g.num_samples; ++s) {
      const auto number =
          i * static_cast<std::size_t>(g.num_samples) + static_cast<std::size_t>(s);
      record.prompts.push_back(as_utf8(g.sample_prompts[i]));
      record.answers.push_back(
          as_utf8(answer_text(*tokenizer_, prompts_[i], answers[number].tokens)));
    }
  }
  if (mesh_.world->rank() == 0) log.add(record);
  clock.resume();
}

}  // namespace trireme
