// SPDX-License-Identifier: Apache-2.0
// One rank of a run, and the gathering of all ranks' results.
#include "training.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>

#include "trireme/backend/cpu.hpp"
#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/saver.hpp"
#include "trireme/core/convert.hpp"
#include "trireme/core/random.hpp"

namespace trireme::test {

namespace {

constexpr std::int64_t kVocabulary = 67;

/// Made-up tokens with something to learn: some are frequent, and some follow each other.
class Tokens : public SampleSource {
 public:
  Tokens(const ModelConfig& model, std::uint64_t seed)
      : SampleSource(model.sample()), model_(model), seed_(seed) {}
  [[nodiscard]] std::int64_t vocab_size() const override { return kVocabulary; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override {
    std::int64_t token = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
      const auto words = philox({seed_, 7}, k, static_cast<std::uint32_t>(i));
      const double u = unit_interval(words[0]);
      const bool follows = i > 0 && words[1] % 2 == 0;
      token =
          follows
              ? (token * 5 + 3) % kVocabulary
              : static_cast<std::int64_t>(std::pow(u, 6) * static_cast<double>(kVocabulary));
      to[i] = static_cast<std::int32_t>(token);
    }
    if (model_.task == Task::sequence_classification) {
      const auto number = static_cast<std::int64_t>(to.back());
      to.back() = k % 8 == 0 ? static_cast<std::int32_t>(number % model_.num_labels) : 0;
      for (std::size_t i = to.size() - 2; i > 0 && i % 7 != k % 7; --i) {
        to[i] = uncounted(to[i]);  // texts end early
      }
    }
    for (std::size_t i = to.size() / 2; model_.task == Task::masked_language_model; ++i) {
      if (i == to.size()) break;
      if (i % 3 != k % 3) to[i] = uncounted(to[i]);
    }
  }

 private:
  const ModelConfig& model_;
  std::uint64_t seed_;
};

/// Calls f(index in the global array, index in the box, count) for each row of a box.
template <class F>
void for_each_row(const Shape& global, const Box& box, F&& f) {
  const int axes = global.rank();
  const std::int64_t run = box.extent[axes - 1];
  for (std::int64_t at = 0; at < box.count(); at += run) {
    std::int64_t rest = at / run;
    std::int64_t place = box.offset[axes - 1];
    std::int64_t stride = global[axes - 1];
    for (int a = axes - 2; a >= 0; --a) {
      place += (box.offset[a] + rest % box.extent[a]) * stride;
      rest /= box.extent[a];
      stride *= global[a];
    }
    f(static_cast<std::size_t>(place), static_cast<std::size_t>(at),
      static_cast<std::size_t>(run));
  }
}

/// Adds a rank's box. Elements that another rank has added must have equal bits.
void add(std::map<std::string, WholeArray>& arrays, const Piece& piece) {
  WholeArray& array = arrays[piece.name];
  const std::size_t size = size_of(piece.data.dtype());
  if (array.covered.empty()) {
    array.dtype = piece.data.dtype();
    array.shape = piece.global;
    array.covered.resize(static_cast<std::size_t>(piece.global.count()));
    array.bytes.resize(array.covered.size() * size);
  }
  TRM_REQUIRE(array.dtype == piece.data.dtype() && array.shape == piece.global,
              "{}: ranks differ in its type or shape", piece.name);
  std::vector<std::byte> room(piece.stored ? piece.data.bytes() : 0);
  const std::byte* const data = elements_of(piece, 0, piece.data.count(), room.data());
  for_each_row(
      piece.global, piece.box, [&](std::size_t place, std::size_t from, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
          std::byte* const to = array.bytes.data() + (place + i) * size;
          const std::byte* const of = data + (from + i) * size;
          TRM_REQUIRE(!array.covered[place + i] || std::memcmp(to, of, size) == 0,
                      "{}: ranks hold different bits of element {}", piece.name, place + i);
          std::memcpy(to, of, size);
          array.covered[place + i] = true;
        }
      });
}

/// The run of one rank.
class RankRun {
 public:
  RankRun(const Deck& deck, Communicator& world, const TrainOptions& options)
      : deck_(deck),
        options_(options),
        device_(make_cpu_device()),
        stream_(device_->make_stream()),
        kernels_(make_cpu_kernels()),
        ex_{*device_, *kernels_, *stream_, deck.seed},
        mesh_(mesh_shape(deck, world.size()), world),
        trainer_(ex_, deck_, mesh_, clock_) {
    if (!options.give_up) return;
    trainer_.watch([this, rank = world.rank()](const PassNews& news) {
      return options_.give_up(rank, iteration_, news);
    });
  }

  [[nodiscard]] std::unique_ptr<SampleSource> source(std::uint64_t seed) const {
    std::unique_ptr<SampleSource> tokens = std::make_unique<Tokens>(deck_.model, seed);
    return options_.wrap ? options_.wrap(std::move(tokens)) : std::move(tokens);
  }

  void run() {
    if (!options_.load.empty()) load();
    const auto made_up = source(deck_.seed);
    const auto made_up_too = source(deck_.seed + 1);
    const SampleSource& data = *made_up;
    const SampleSource& held_out = *made_up_too;
    std::int64_t samples = trainer_.layout().advance(0, iteration_);
    const std::int64_t until = options_.until >= 0 ? options_.until : deck_.train_iters;
    while (iteration_ < until) {
      const auto first = static_cast<std::uint64_t>(samples);
      std::vector<std::int32_t> tokens;
      if (trainer_.layout().needs_tokens()) {
        tokens = read_samples(data, trainer_.layout().runs(first));
      }
      trainer_.step(iteration_ + 1, first, std::move(tokens));
      for (auto& result : trainer_.collect()) mine.steps.push_back(std::move(result));
      trainer_.report();
      if (trainer_.gave_up()) {
        ++mine.given_up;
        continue;
      }
      ++iteration_;
      samples = trainer_.layout().advance(samples, 1);
      if (deck_.eval_iters > 0 && iteration_ % deck_.eval_interval == 0) {
        const SampleSource* source = trainer_.layout().needs_tokens() ? &held_out : nullptr;
        const auto found = trainer_.evaluate(source, deck_.eval_iters);
        if (found) {
          mine.valid.push_back(found->loss);
        } else {
          ++mine.cut;
        }
      }
    }
    trainer_.wait_for_values();
    mine.optimizer_steps = trainer_.optimizer_steps();
    mine.bad = trainer_.first_bad_state(true);
    trainer_.require_updates();
    mine.reserved = device_->memory().reserved;
    if (!options_.save.empty()) save(samples);
  }
  [[nodiscard]] std::vector<HeldPiece> held() const { return trainer_.held(true); }

  Training mine;

 private:
  void load() {
    CheckpointReader reader(options_.load);
    if (options_.weights_alone) {
      std::unique_ptr<WeightSource> wrapped;
      if (options_.wrap_weights) wrapped = options_.wrap_weights(reader);
      return trainer_.load(wrapped ? *wrapped : static_cast<WeightSource&>(reader), false, 0);
    }
    const RunState& state = reader.state();
    trainer_.load(reader, true, state.optimizer_steps);
    trainer_.restore_loss_scale({state.loss_scale, state.clean_steps, state.hysteresis});
    iteration_ = state.iteration;
  }
  void save(std::int64_t samples) {
    SaveOptions options;
    options.folder = options_.save;
    options.async = false;
    options.node = "here";
    CheckpointSaver saver(options, trainer_.held(true), std::nullopt, *mesh_.world);
    const LossScaleState scale = trainer_.loss_scale();
    saver.start({.iteration = iteration_,
                 .samples_consumed = samples,
                 .optimizer_steps = trainer_.optimizer_steps(),
                 .seed = deck_.seed,
                 .loss_scale = scale.scale,
                 .clean_steps = scale.clean_steps,
                 .hysteresis = scale.hysteresis,
                 .deck = to_yaml(deck_),
                 .version = "test",
                 .mesh = "threads"});
    const auto report = saver.wait();
    TRM_REQUIRE(report && report->failure.empty(), "not saved: {}",
                report ? report->failure : "no report");
  }

  const Deck& deck_;
  const TrainOptions& options_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Kernels> kernels_;
  Exec ex_;
  Mesh mesh_;
  PhaseClock clock_;
  Trainer trainer_;
  std::int64_t iteration_ = 0;
};

/// Compares bits, also those of NaN.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// Gathers the ranks' results. A rank whose losses differ from rank 0's throws.
class Gathered {
 public:
  explicit Gathered(Training& to) : to_(to) {}
  void take(const RankRun& run, Communicator& world) {
    if (world.rank() == 0) {
      auto arrays = std::move(to_.arrays);
      to_ = run.mine;
      to_.arrays = std::move(arrays);
    }
    world.barrier();
    const std::scoped_lock lock(mutex_);
    TRM_REQUIRE(same_bits(run.mine.losses(), to_.losses()) &&
                    same_bits(run.mine.norms(), to_.norms()) &&
                    same_bits(run.mine.valid, to_.valid),
                "ranks have different losses or norms");
    for (const HeldPiece& h : run.held()) add(to_.arrays, h.piece);
  }

 private:
  Training& to_;
  std::mutex mutex_;
};

template <class F>
auto column(const std::vector<Trainer::StepResult>& steps, F&& f) {
  std::vector<decltype(f(steps.front()))> values;
  for (const auto& s : steps) values.push_back(f(s));
  return values;
}

}  // namespace

Json merged(Json deck, const Json& more, const Json& third, const Json& fourth,
            const Json& fifth) {
  for (const Json* patch : {&more, &third, &fourth, &fifth}) deck.merge_patch(*patch);
  return deck;
}

std::vector<float> WholeArray::values() const {
  std::vector<float> out(covered.size());
  widen(dtype, bytes.data(), out.data(), static_cast<std::int64_t>(out.size()));
  return out;
}

std::vector<double> Training::losses() const {
  return column(steps, [](const auto& s) { return s.loss; });
}
std::vector<double> Training::norms() const {
  return column(steps, [](const auto& s) { return s.gradient_norm; });
}
std::vector<double> Training::scales() const {
  return column(steps, [](const auto& s) { return s.loss_scale; });
}
std::vector<bool> Training::skipped() const {
  return column(steps, [](const auto& s) { return s.skipped; });
}

Training train(const Json& json, int ranks, const TrainOptions& options) {
  Deck deck = parse_deck(merged({{"vocab_size", kVocabulary}}, json).dump(), "deck");
  resolve(deck, ranks);
  Training all;
  Gathered gathered(all);
  const auto one_rank = [&](Communicator& world) {
    set_cpu_threads(1);  // affects this thread alone
    RankRun run(deck, world, options);
    std::string error;
    try {
      run.run();
    } catch (const Error& e) {
      if (!e.everywhere()) throw;
      error = e.what();
    }
    gathered.take(run, world);
    world.barrier();
    if (world.rank() == 0) all.error = error;
  };
  const std::string problem = as_ranks(ranks, one_rank, {.delays = options.delays});
  TRM_REQUIRE(problem.empty(), "{}", problem);
  for (const auto& [name, array] : all.arrays) {
    TRM_REQUIRE(std::ranges::find(array.covered, false) == array.covered.end(),
                "{}: no rank holds some of its elements", name);
  }
  return all;
}

std::string array_difference(const Training& got, const Training& expected) {
  std::string names;
  std::size_t count = 0;
  const auto note = [&](const std::string& name) {
    if (++count <= 3) names += ' ' + name;
  };
  for (const auto& [name, array] : expected.arrays) {
    const auto other = got.arrays.find(name);
    if (other == got.arrays.end() || !(other->second == array)) note(name);
  }
  for (const auto& [name, array] : got.arrays) {
    if (!expected.arrays.contains(name)) note(name);
  }
  return count == 0 ? "" : fmt::format("{} arrays:{}", count, names);
}

std::string difference(const Training& got, const Training& expected) {
  std::string text;
  // By bits: a norm that is NaN in both runs is no difference.
  const auto compare = [&](const char* what, const auto& a, const auto& b) {
    const std::size_t bytes = a.size() * sizeof a[0];
    if (a.size() != b.size() || std::memcmp(a.data(), b.data(), bytes) != 0) {
      text += fmt::format("{}{} {} is not {};", text.empty() ? "" : " ", what,
                          fmt::join(a, " "), fmt::join(b, " "));
    }
  };
  const auto each = [&](const char* what, auto&& f) {
    compare(what, column(got.steps, f), column(expected.steps, f));
  };
  each("iteration", [](const auto& s) { return s.iteration; });
  each("loss", [](const auto& s) { return s.loss; });
  each("norm", [](const auto& s) { return s.gradient_norm; });
  each("rate", [](const auto& s) { return s.lr; });
  each("loss scale", [](const auto& s) { return s.loss_scale; });
  each("skipped", [](const auto& s) { return s.skipped ? 1 : 0; });
  compare("validation", got.valid, expected.valid);
  if (got.error != expected.error) text += " error '" + got.error + "';";
  return text + array_difference(got, expected);
}

}  // namespace trireme::test
