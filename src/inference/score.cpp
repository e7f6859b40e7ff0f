// SPDX-License-Identifier: Apache-2.0
// Log-probabilities of given tokens: sequences of similar length share a micro-batch.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "trireme/comm/collectively.hpp"
#include "trireme/inference/inference.hpp"

#include "share.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kBatchRows = 4096;

void check(const TokenIds& sequence, std::size_t number, std::int64_t context,
           std::int64_t vocabulary) {
  const auto length = static_cast<std::int64_t>(sequence.size());
  TRM_REQUIRE(length <= context + 1,
              "sequence {} has {} tokens, but the model takes {} and predicts one more", number,
              length, context);
  require_ids(sequence, vocabulary, fmt::format("sequence {}", number));
}

}  // namespace

/// Sequences of one micro-batch, each padded to `seq` tokens.
struct Inference::Batch {
  std::vector<std::size_t> members;
  std::int64_t seq = 0;
};

std::vector<Inference::Batch> Inference::batches(std::span<const TokenIds> sequences) const {
  std::vector<std::size_t> order(sequences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](std::size_t i) { return sequences[i].size(); });
  std::vector<Batch> all;
  for (const std::size_t i : order) {
    if (sequences[i].size() < 2) break;
    const auto rows = static_cast<std::int64_t>(sequences[i].size()) - 1;
    if (all.empty() ||
        static_cast<std::int64_t>(all.back().members.size() + 1) * all.back().seq >
            kBatchRows) {
      all.push_back({{}, rows});
    }
    all.back().members.push_back(i);
  }
  return all;
}

void Inference::reset_at_documents(MicroBatch& mb, std::span<const std::int32_t> ids) const {
  const ModelConfig& model = deck_.model;
  if (!model.reset_attention_mask && !model.reset_position_ids) return;
  TokenIds first_keys(ids.size());
  TokenIds positions(ids.size());
  const auto seq = static_cast<std::size_t>(mb.seq);
  for (std::size_t row = 0; row < ids.size(); ++row) {
    const auto place = static_cast<std::int32_t>(row % seq);
    const bool begins = place == 0 || ids[row - 1] == deck_.end_of_document;
    first_keys[row] = place == 0 ? 0 : begins ? place : first_keys[row - 1];
    positions[row] = place - first_keys[row];
  }
  if (model.reset_position_ids) mb.positions = upload(positions);
  if (model.reset_attention_mask) mb.first_keys = upload(first_keys);
}

void Inference::score_batch(const Batch& batch, std::span<const TokenIds> sequences,
                            std::span<const std::size_t> first, std::span<float> results) {
  MicroBatch mb;
  mb.batch = static_cast<std::int64_t>(batch.members.size());
  mb.seq = batch.seq;
  TokenIds inputs(static_cast<std::size_t>(mb.rows()), 0);
  TokenIds targets(inputs.size(), -1);
  for (std::size_t b = 0; b < batch.members.size(); ++b) {
    const TokenIds& tokens = sequences[batch.members[b]];
    const auto at = static_cast<std::ptrdiff_t>(b) * static_cast<std::ptrdiff_t>(batch.seq);
    std::copy(tokens.begin(), tokens.end() - 1, inputs.begin() + at);
    std::copy(tokens.begin() + 1, tokens.end(), targets.begin() + at);
  }
  if (mesh_.first_stage()) mb.tokens = upload(inputs);
  if (mesh_.last_stage()) mb.targets = upload(targets);
  reset_at_documents(mb, inputs);
  pass(mb, [&](ModelPart& last, Tensor x, Tape& tape) {
    const Tensor sums = last.score(ex_, std::move(x), tape);
    const auto rows = static_cast<std::size_t>(mb.rows());
    std::vector<std::byte> host(sums.view().bytes());
    ex_.device.copy_to_host(host.data(), sums.view().raw(), host.size(), ex_.stream);
    ex_.stream.synchronize();
    if (mesh_.at.tp != 0) return;
    const auto number = [&](std::size_t i) {
      return sums.dtype() == DType::f64
                 ? reinterpret_cast<const double*>(host.data())[i]
                 : static_cast<double>(reinterpret_cast<const float*>(host.data())[i]);
    };
    for (std::size_t b = 0; b < batch.members.size(); ++b) {
      const std::size_t member = batch.members[b];
      for (std::size_t i = 0; i + 1 < sequences[member].size(); ++i) {
        const std::size_t row = b * static_cast<std::size_t>(batch.seq) + i;
        const double picked = number(rows + row);
        results[2 * (first[member] + i)] = static_cast<float>(picked - std::log(number(row)));
        results[2 * (first[member] + i) + 1] = picked >= 0 ? 1.0F : 0.0F;
      }
    }
  });
}

std::vector<SequenceScore> Inference::score(std::span<const TokenIds> given) {
  Communicator& world = *mesh_.world;
  const std::vector<TokenIds> sequences = share_sequences(given, world);
  std::vector<std::size_t> first{0};  // where each sequence's scores begin
  collectively(world, [&] {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      check(sequences[i], i, context(), deck_.model.vocab_size);
      first.push_back(first.back() + std::max<std::size_t>(sequences[i].size(), 1) - 1);
    }
  });
  std::vector<float> results(2 * first.back());  // log-probability and greedy, in turn
  const auto all = batches(sequences);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (static_cast<int>(i % static_cast<std::size_t>(mesh_.shape.dp)) != mesh_.at.dp) continue;
    score_batch(all[i], sequences, first, results);
  }
  wait_for_sends();
  if (!results.empty()) {
    world.all_reduce(
        View(results.data(), DType::f32, Shape{static_cast<std::int64_t>(results.size())}),
        Reduction::sum);
  }
  if (std::ranges::any_of(results, [](float x) { return std::isnan(x); })) {
    Error error(
        "the model's logits are not finite: its weights are damaged, or too large for the "
        "precision");
    throw error.set_everywhere();
  }
  std::vector<SequenceScore> scores(sequences.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    for (std::size_t at = first[i]; at < first[i + 1]; ++at) {
      scores[i].log_probabilities.push_back(results[2 * at]);
      scores[i].greedy.push_back(results[2 * at + 1] > 0);
    }
  }
  return scores;
}

}  // namespace trireme
