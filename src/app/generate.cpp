// SPDX-License-Identifier: Apache-2.0
// Prompts in, answers out: groups of prompts go through the model, and rank 0 writes.
#include "generate.hpp"

#include <algorithm>
#include <iostream>
#include <unistd.h>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/machine.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/host/terminal.hpp"
#include "trireme/inference/generate.hpp"

#include "answers.hpp"
#include "open_model.hpp"
#include "prompts.hpp"

namespace trireme {

namespace {

using Prompts = GenerationConfig::Prompts;

/// Slots are filled about so often before a group of answers is written.
constexpr std::size_t kRounds = 8;

/// Whether a person types on rank 0. Collective.
bool is_typed(Communicator& world) {
  const bool mine = world.rank() == 0 && isatty(STDIN_FILENO) != 0;
  return world.reduce_count(mine ? 1 : 0, Reduction::max) != 0;
}

/// The deck's settings, and over them those of the command line. `typed`: prompts may be typed.
GenerationConfig settings_of(const GenerationConfig& deck, const GenerateCommand& command,
                             bool typed) {
  GenerationConfig s = deck;
  const auto take = [](auto& to, const auto& from) {
    if (from) to = *from;
  };
  take(s.maximum_tokens, command.maximum_tokens);
  take(s.temperature, command.temperature);
  take(s.top_k, command.top_k);
  take(s.top_p, command.top_p);
  take(s.min_p, command.min_p);
  take(s.repetition_penalty, command.repetition_penalty);
  take(s.num_samples, command.num_samples);
  s.recompute = s.recompute || command.recompute;
  if (!command.prompt_file.empty()) s.sample_input_file = command.prompt_file;
  if (!command.output.empty()) s.sample_output_file = command.output;
  if (!command.prompts.empty()) {
    s.text_gen_type = Prompts::none;
  } else if (!command.prompt_file.empty()) {
    s.text_gen_type = Prompts::input_file;
  } else if (s.text_gen_type == Prompts::none) {
    s.text_gen_type = typed ? Prompts::interactive : Prompts::input_file;
    if (!typed) s.sample_input_file = "-";
  }
  return s;
}

GenerateOptions options_of(const GenerationConfig& s, const GenerateCommand& command,
                           const Deck& deck) {
  GenerateOptions options = options_of(s, command.seed.value_or(deck.seed));
  options.sampling.log_probabilities = command.log_probabilities;
  options.slots = command.batch;
  return options;
}

/// All ranks hold one. Rank 0 alone reads prompts and writes answers.
class GenerateRun {
 public:
  GenerateRun(const OpenedModel& model, const GenerateCommand& command, const MpiSession& mpi)
      : model_(model),
        command_(command),
        tokenizer_(require_tokenizer(model)),
        settings_(settings_of(model.deck.generation, command, is_typed(mpi.world()))),
        options_(options_of(settings_, command, model.deck)),
        world_(mpi.world()),
        engine_(model.deck, mpi),
        mesh_(engine_.mesh(mesh_shape(model.deck, world_.size()), world_)),
        inference_(engine_.exec(), model.deck, mesh_),
        generator_(inference_) {
    if (command.chats) {
      form_ = collectively(world_, [&] {
        return command.chat.empty() ? &fitting_template(tokenizer_)
                                    : &chat_template(command.chat);
      });
    }
    add_stops();
    collectively(world_, [&] {
      if (world_.rank() == 0) writer_.emplace(settings_.sample_output_file, live_place().out);
    });
    const bool pure = settings_.sample_output_file.empty() && !live_place().out;
    if (pure) log::set_loudness(log::Loudness::quiet);
  }

  int run() {
    inference_.load(*model_.weights);
    log::info("Trireme {} generates with {}", version_text(), model_.folder);
    print_mesh(model_.deck, mesh_.shape);
    if (settings_.text_gen_type == Prompts::interactive) {
      converse();
    } else {
      answer_all();
    }
    print_speed();
    return 0;
  }

 private:
  /// Tokens and texts that end an answer: the end of a document, those of the command line, and
  /// the template's.
  void add_stops() {
    const auto add_id = [&](std::int64_t id) {
      if (id >= 0 && id < model_.deck.model.vocab_size) {
        options_.stop_tokens.push_back(static_cast<std::int32_t>(id));
      }
    };
    add_id(model_.deck.end_of_document);
    add_id(tokenizer_.end_of_document());
    std::vector<std::string> texts = command_.stops;
    if (form_ != nullptr) {
      const auto ends = chat_prompt(*form_, {{"user", "x"}}, tokenizer_).ends;
      texts.insert(texts.end(), ends.begin(), ends.end());
    }
    for (const std::string& text : texts) {
      if (const auto id = tokenizer_.id_of(text)) add_id(*id);
      stops_.push_back(text);
      longest_stop_ = std::max(longest_stop_, text.size());
    }
  }

  [[nodiscard]] TokenIds ids_of(const Prompt& prompt) const {
    TRM_REQUIRE(form_ != nullptr || prompt.messages.empty(),
                "the prompts are conversations: add --chat, which writes them in the model's "
                "template");
    if (form_ == nullptr) return encode_prompt(prompt.text, tokenizer_);
    std::vector<Message> messages = prompt.messages;
    if (messages.empty()) messages.push_back({"user", prompt.text});
    if (!command_.system.empty() && messages.front().role != "system") {
      messages.insert(messages.begin(), {"system", command_.system});
    }
    return chat_prompt(*form_, messages, tokenizer_).ids;
  }

  [[nodiscard]] std::vector<Prompt> read_all() const {
    std::vector<Prompt> prompts;
    if (settings_.text_gen_type == Prompts::unconditional) {
      prompts.emplace_back();
    } else if (settings_.text_gen_type == Prompts::input_file) {
      TRM_REQUIRE(!settings_.sample_input_file.empty(),
                  "text_gen_type: input-file needs sample_input_file, the file of prompts");
      prompts = read_prompts(settings_.sample_input_file, settings_.prompt_end);
    } else {
      for (const std::string& text : command_.prompts) prompts.push_back({.text = text});
    }
    return prompts;
  }

  void answer_all() {
    std::vector<Prompt> prompts = collectively(
        world_, [&] { return world_.rank() == 0 ? read_all() : std::vector<Prompt>{}; });
    const auto count = static_cast<std::size_t>(
        world_.reduce_count(static_cast<std::int64_t>(prompts.size()), Reduction::max));
    const auto group = std::max<std::size_t>(
        1, kRounds * static_cast<std::size_t>(options_.slots * mesh_.shape.dp) /
               static_cast<std::size_t>(options_.samples));
    for (std::size_t first = 0; first < count; first += group) {
      options_.first_prompt = first;
      const auto of = [&](std::size_t i) {
        return prompts.begin() + static_cast<std::ptrdiff_t>(std::min(i, prompts.size()));
      };
      (void)answer({of(first), of(first + group)}, true);
    }
  }

  /// Prompts are typed until the input ends. A conversation goes on.
  void converse() {
    Prompt prompt;
    for (;; ++options_.first_prompt) {
      std::string line;
      bool more = true;
      if (world_.rank() == 0) {
        if (live_place().out) std::cout << "> " << std::flush;
        more = static_cast<bool>(std::getline(std::cin, line));
      }
      if (world_.reduce_count(more ? 1 : 0, Reduction::min) == 0) return;
      if (form_ != nullptr) {
        prompt.messages.push_back({"user", world_.broadcast_text(line, 0)});
      } else {
        prompt.text = line;
      }
      const std::string text = answer({prompt}, false);
      if (form_ != nullptr) prompt.messages.push_back({"assistant", text});
    }
  }

  /// Answers rank 0's prompts, and writes the answers. Returns the last text on rank 0.
  std::string answer(const std::vector<Prompt>& prompts, bool shows_prompt) {
    const std::vector<TokenIds> ids = collectively(world_, [&] {
      std::vector<TokenIds> all;
      if (world_.rank() != 0) return all;
      for (const Prompt& prompt : prompts) all.push_back(ids_of(prompt));
      return all;
    });
    state_memory(ids);
    const bool one = world_.rank() == 0 && ids.size() == 1 && options_.samples == 1;
    const bool streams = one && writer_->streams();
    if (streams) writer_->begin(shows_prompt ? prompts.front().text : "");
    const double began = now();
    const auto answers = generator_.generate(
        ids, options_, [&](std::size_t, const TokenIds& prompt, const Answer& answer) {
          const bool ends = stops(prompt, answer);
          if (streams && !ends) stream(prompt, answer);
          return ends;
        });
    seconds_ += now() - began;
    std::string text;
    if (world_.rank() != 0) return text;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const std::size_t p = i / static_cast<std::size_t>(options_.samples);
      text = answer_text(tokenizer_, ids[p], answers[i].tokens);
      text.resize(std::min(text.size(), find_stop(text, stops_)));
      writer_->write({.context = prompts[p].text,
                      .text = text,
                      .answer = answers[i],
                      .message = message_of(ids[p], answers[i])});
      tokens_ += answers[i].tokens.size();
    }
    answers_ += answers.size();
    return text;
  }

  /// Whether a stop text has come up. Its last token is the newest, so that a few are decoded.
  [[nodiscard]] bool stops(const TokenIds& prompt, const Answer& answer) const {
    if (stops_.empty()) return false;
    const std::size_t count = std::min(answer.tokens.size(), longest_stop_ + 8);
    const TokenIds last(answer.tokens.end() - static_cast<std::ptrdiff_t>(count),
                        answer.tokens.end());
    const bool whole = count == answer.tokens.size();
    const std::string text =
        whole ? answer_text(tokenizer_, prompt, last) : tokenizer_.decode_known(last);
    return find_stop(text, stops_) != std::string::npos;
  }

  /// Holds back bytes that may turn out to begin a stop text.
  void stream(const TokenIds& prompt, const Answer& answer) {
    std::string text = answer_text(tokenizer_, prompt, answer.tokens);
    if (longest_stop_ > 0) text.resize(text.size() - std::min(text.size(), longest_stop_ - 1));
    writer_->stream(text);
  }

  [[nodiscard]] std::string message_of(const TokenIds& prompt, const Answer& answer) const {
    const auto length = static_cast<std::int64_t>(prompt.size() + answer.tokens.size());
    if (answer.finished || length < inference_.context()) return "";
    return fmt::format("the context of {} tokens is full", inference_.context());
  }

  /// All replicas together: prompts, and the steps that follow them.
  void print_speed() {
    if (tokens_ == 0) return;
    const Generator::Times& t = generator_.times();
    const auto rate = [&](std::int64_t tokens, double seconds) {
      return static_cast<double>(tokens * mesh_.shape.dp) / std::max(seconds, 1e-9);
    };
    log::info("{} answers of {} tokens in {:.2f} s", answers_, tokens_, seconds_);
    log::info("speed    prompts {:.1f} tokens a second, answers {:.1f} tokens a second",
              rate(t.prompt_tokens, t.prompt_seconds), rate(t.step_tokens, t.step_seconds));
  }

  /// States the memory of weights and cache once, and refuses a cache that can't fit.
  void state_memory(const std::vector<TokenIds>& ids) {
    std::int64_t longest = 0;
    for (const TokenIds& prompt : ids) {
      longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
    }
    longest = world_.reduce_count(longest, Reduction::max);
    const auto answers = static_cast<std::int64_t>(ids.size()) * options_.samples;
    const std::int64_t all = world_.reduce_count(answers, Reduction::max);
    const std::int64_t slots =
        std::min(options_.slots, (all + mesh_.shape.dp - 1) / mesh_.shape.dp);
    const std::int64_t length =
        std::min(longest + options_.maximum_tokens, inference_.context());
    const auto own =
        static_cast<std::int64_t>(options_.cache ? generator_.cache_bytes(slots, length) : 0);
    const std::int64_t bytes = world_.reduce_count(own, Reduction::max);  // stages differ
    if (bytes <= stated_) return;
    collectively(world_, [&] {
      // A GPU's memory was looked at before the weights came.
      const std::int64_t available =
          engine_.on_gpu() ? static_cast<std::int64_t>(engine_.gpu_memory()) -
                                 static_cast<std::int64_t>(inference_.value_bytes())
                           : look_at_node().available;
      TRM_REQUIRE(
          available == 0 || bytes < available,
          "the cache of keys and values takes {:.1f} MB on this rank for {} sequences of "
          "{} tokens, but {:.1f} MB are free: lower --batch or --max-tokens",
          megabytes(bytes), slots, length, megabytes(available));
    });
    stated_ = bytes;
    log::info(
        "memory   weights {:.1f} MB and cache {:.1f} MB a rank, for {} sequence{} of {} "
        "tokens",
        megabytes(static_cast<std::int64_t>(inference_.value_bytes())), megabytes(bytes), slots,
        slots == 1 ? "" : "s", length);
  }

  const OpenedModel& model_;
  const GenerateCommand& command_;
  const Tokenizer& tokenizer_;
  GenerationConfig settings_;
  GenerateOptions options_;
  Communicator& world_;
  Engine engine_;
  Mesh mesh_;
  Inference inference_;
  Generator generator_;
  const ChatTemplate* form_ = nullptr;
  std::vector<std::string> stops_;
  std::size_t longest_stop_ = 0;
  std::optional<AnswerWriter> writer_;  ///< on rank 0
  std::int64_t stated_ = -1;            ///< bytes of the cache
  std::size_t answers_ = 0;
  std::size_t tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace

int generate(const DeckSource& source, const GenerateCommand& command, const MpiSession& mpi) {
  const OpenedModel model = open_model(source, mpi.world(), command.averages);
  return GenerateRun(model, command, mpi).run();
}

}  // namespace trireme
