// SPDX-License-Identifier: Apache-2.0
// The steps of generation on one replica.
#include "replica.hpp"

#include <algorithm>
#include <utility>

#include "trireme/core/clock.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kPromptRows = 4096;  // in a pass

}  // namespace

Generator::Replica::Replica(Inference& inference, const GenerateOptions& options,
                            const OnToken& on_token, const KvCache* cache, Times& times)
    : inference_(inference),
      options_(options),
      on_token_(on_token),
      cache_(cache),
      times_(times) {
  for (std::int64_t slot = options.slots; slot-- > 0;) {
    free_slots_.push_back(static_cast<std::int32_t>(slot));
  }
}

void Generator::Replica::add(std::size_t number, const TokenIds& prompt, Answer& answer) {
  waiting_.push_back({.number = number, .prompt = &prompt, .answer = &answer});
}

void Generator::Replica::run() {
  while (!waiting_.empty() || !live_.empty()) {
    const Batch admitted = admit();
    const double began = now();
    if (!admitted.empty()) {
      for (const Sequence* s : admitted) times_.prompt_tokens += s->length();
      pass_whole(admitted);
      times_.prompt_seconds += now() - began;
    } else {
      Batch all;
      for (Sequence& s : live_) all.push_back(&s);
      if (cache_ != nullptr) {
        pass_last(all);
      } else {
        pass_whole(all);
      }
      times_.step_tokens += static_cast<std::int64_t>(all.size());
      times_.step_seconds += now() - began;
    }
    release_ended();
  }
  inference_.wait_for_sends();
}

Generator::Replica::Batch Generator::Replica::admit() {
  Batch batch;
  std::int64_t longest = 0;
  while (!waiting_.empty() && !free_slots_.empty()) {
    longest = std::max(longest, waiting_.front().length());
    const auto rows = static_cast<std::int64_t>(batch.size() + 1) * longest;
    if (!batch.empty() && rows > kPromptRows) break;
    live_.push_back(waiting_.front());
    waiting_.pop_front();
    Sequence& sequence = live_.back();
    sequence.slot = free_slots_.back();
    free_slots_.pop_back();
    sequence.began = now();
    batch.push_back(&sequence);
  }
  return batch;
}

void Generator::Replica::pass_whole(const Batch& batch) {
  MicroBatch mb;
  mb.batch = static_cast<std::int64_t>(batch.size());
  for (const Sequence* s : batch) mb.seq = std::max(mb.seq, s->length());
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(mb.rows()));
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> counts;
  std::vector<std::int32_t> rows;
  for (const Sequence* s : batch) {
    const auto first =
        static_cast<std::int32_t>(rows.size()) * static_cast<std::int32_t>(mb.seq);
    auto to = std::ranges::copy(*s->prompt, tokens.begin() + first).out;
    std::ranges::copy(s->answer->tokens, to);
    slots.push_back(s->slot);
    counts.push_back(static_cast<std::int32_t>(s->length()));
    rows.push_back(first + counts.back() - 1);
  }
  if (inference_.mesh().first_stage()) mb.tokens = inference_.upload(tokens);
  CachePass cached{.cache = cache_, .first = true, .slots = {}, .lengths = {}, .counts = {}};
  if (cache_ != nullptr) {
    cached.slots = inference_.upload(slots);
    cached.lengths = inference_.upload(std::vector<std::int32_t>(batch.size(), 0));
    cached.counts = inference_.upload(counts);
    mb.cache = &cached;
  }
  pass(batch, mb, rows);
}

void Generator::Replica::pass_last(const Batch& batch) {
  MicroBatch mb;
  mb.batch = static_cast<std::int64_t>(batch.size());
  mb.seq = 1;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> slots;
  std::vector<std::int32_t> lengths;
  for (const Sequence* s : batch) {
    tokens.push_back(s->answer->tokens.back());
    slots.push_back(s->slot);
    lengths.push_back(static_cast<std::int32_t>(s->length()) - 1);
  }
  if (inference_.mesh().first_stage()) mb.tokens = inference_.upload(tokens);
  mb.positions = inference_.upload(lengths);
  const CachePass cached{
      .cache = cache_,
      .first = false,
      .slots = inference_.upload(slots),
      .lengths = mb.positions,
      .counts = inference_.upload(std::vector<std::int32_t>(batch.size(), 1))};
  mb.cache = &cached;
  pass(batch, mb, {});
}

void Generator::Replica::pass(const Batch& batch, const MicroBatch& mb,
                              std::span<const std::int32_t> rows) {
  const Exec& ex = inference_.exec();
  inference_.pass(mb, [&](ModelPart& last, Tensor x, Tape& tape) {
    const Tensor chosen = rows.empty() ? Tensor() : inference_.upload(rows);
    gather(last.logits(ex, std::move(x), tape,
                       chosen.defined() ? ConstView(chosen) : ConstView()));
  });
  choose(batch);
}

void Generator::Replica::gather(const Tensor& logits) {
  const Exec& ex = inference_.exec();
  const TensorParallel tp = inference_.tensor_parallel();
  const std::int64_t rows = logits.rows();
  const std::int64_t vocabulary = inference_.deck().model.vocab_size;
  logits_.resize(static_cast<std::size_t>(logits.count()));
  TRM_CHECK(logits.dtype() == DType::f32, "logits of {}", name_of(logits.dtype()));
  ex.device.copy_to_host(logits_.data(), logits.view().raw(), logits.view().bytes(), ex.stream);
  ex.stream.synchronize();
  if (tp.size() == 1) return;
  std::int64_t widest = 0;
  for (int i = 0; i < tp.size(); ++i) {
    widest = std::max(widest, shard_vocabulary(vocabulary, i, tp.size()).extent);
  }
  std::vector<float> parts(static_cast<std::size_t>(rows * widest * tp.size()));
  logits_.resize(static_cast<std::size_t>(rows * widest));  // equal sizes on all ranks
  tp.comm->host().all_gather(ConstView(logits_.data(), DType::f32, Shape{rows * widest}),
                             View(parts.data(), DType::f32, Shape{rows * widest * tp.size()}));
  logits_.resize(static_cast<std::size_t>(rows * vocabulary));
  for (int i = 0; i < tp.size(); ++i) {
    const auto [offset, extent] = shard_vocabulary(vocabulary, i, tp.size());
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(parts.begin() + (i * rows * widest + r * extent), extent,
                  logits_.begin() + (r * vocabulary + offset));
    }
  }
}

void Generator::Replica::choose(const Batch& batch) {
  const Mesh& mesh = inference_.mesh();
  const auto vocabulary = static_cast<std::size_t>(inference_.deck().model.vocab_size);
  std::vector<ChosenToken> chosen(batch.size());
  if (mesh.last_stage()) {  // all ranks of tp have equal logits, and choose alike
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const Sequence& s = *batch[i];
      TokenIds earlier;
      if (options_.sampling.repetition_penalty != 1) {
        earlier = *s.prompt;
        earlier.insert(earlier.end(), s.answer->tokens.begin(), s.answer->tokens.end());
      }
      const auto samples = static_cast<std::uint64_t>(options_.samples);
      const double uniform = draw({.seed = options_.seed,
                                   .prompt = options_.first_prompt + s.number / samples,
                                   .sample = static_cast<std::uint32_t>(s.number % samples),
                                   .position = static_cast<std::uint32_t>(s.length())});
      chosen[i] =
          choose_token(std::span(std::as_const(logits_)).subspan(i * vocabulary, vocabulary),
                       options_.sampling, earlier, uniform);
    }
  }
  if (mesh.shape.pp > 1) {
    static_assert(sizeof(ChosenToken) == 2 * sizeof(std::int32_t));
    mesh.pp->host().broadcast(
        View(chosen.data(), DType::i32, Shape{2 * static_cast<std::int64_t>(chosen.size())}),
        mesh.shape.pp - 1);
  }
  for (std::size_t i = 0; i < batch.size(); ++i) {
    take(*batch[i], chosen[i].id, chosen[i].log_probability);
  }
}

void Generator::Replica::take(Sequence& sequence, std::int32_t token, float log_probability) {
  Answer& answer = *sequence.answer;
  if (std::ranges::find(options_.stop_tokens, token) != options_.stop_tokens.end()) {
    answer.finished = sequence.ended = true;
  } else {
    answer.tokens.push_back(token);
    if (options_.sampling.log_probabilities) {
      answer.log_probabilities.push_back(log_probability);
    }
    answer.seconds = now() - sequence.began;
    if (on_token_ && on_token_(sequence.number, *sequence.prompt, answer)) {
      answer.finished = sequence.ended = true;
    }
    sequence.ended = sequence.ended || sequence.length() >= inference_.context() ||
                     static_cast<std::int64_t>(answer.tokens.size()) >= options_.maximum_tokens;
  }
  answer.seconds = now() - sequence.began;
}

void Generator::Replica::release_ended() {
  for (const Sequence& s : live_) {
    if (s.ended) free_slots_.push_back(s.slot);
  }
  std::erase_if(live_, [](const Sequence& s) { return s.ended; });
}

}  // namespace trireme
