// SPDX-License-Identifier: Apache-2.0
// What metrics.h5 has beside its series: the run's shape, its plan, its ranks, timelines.
#include <algorithm>
#include <functional>
#include <utility>

#include "trireme/host/build_info.hpp"
#include "trireme/model/transformer.hpp"
#include "trireme/record/metrics.hpp"

namespace trireme {

namespace {

using Integers = std::vector<std::int64_t>;
using Reals = std::vector<double>;

Shape row_shape(std::size_t rows) { return Shape{static_cast<std::int64_t>(rows)}; }

ConstView view_of(const Integers& column) {
  return {column.data(), DType::i64, row_shape(column.size())};
}
ConstView view_of(const Reals& column) {
  return {column.data(), DType::f64, row_shape(column.size())};
}

/// Writes over an existing column, because removing a column leaves a hole in the file.
void write_column(h5::Group& file, const std::string& name, const ConstView& column) {
  h5::Dataset dataset = file.has(name)
                            ? file.dataset(name)
                            : file.create_dataset(name, column.dtype(), column.shape());
  dataset.write(column);
}

/// Names of columns, and the integer of a record that goes into each.
template <class Record>
using IntegerColumns =
    std::vector<std::pair<const char*, std::function<std::int64_t(const Record&)>>>;

template <class Record>
void write_integers(h5::Group& file, const std::string& group,
                    const std::vector<Record>& records, const IntegerColumns<Record>& columns) {
  for (const auto& [name, value] : columns) {
    Integers column;
    for (const Record& r : records) column.push_back(value(r));
    write_column(file, group + "/" + name, view_of(column));
  }
}

struct TimelineColumns {
  Integers iteration, rank, phase, micro_batch, chunk;
  Reals start, seconds;
};

TimelineColumns timeline_columns(std::int64_t iteration,
                                 const std::vector<std::vector<Span>>& ranks) {
  TimelineColumns c;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    for (const auto& [work, start, seconds] : ranks[r]) {
      c.iteration.push_back(iteration);
      c.rank.push_back(static_cast<std::int64_t>(r));
      c.phase.push_back(work.phase);
      c.micro_batch.push_back(work.micro_batch);
      c.chunk.push_back(work.chunk);
      c.start.push_back(start);
      c.seconds.push_back(seconds);
    }
  }
  return c;
}

void append_timeline(h5::Group& file, const TimelineColumns& columns) {
  // Neighbours in most columns are alike, so a row of 56 bytes is compressed to a few bytes.
  constexpr h5::DatasetOptions kColumn{.extendable = true, .chunk = 8192, .deflate = 1};
  const std::pair<const char*, ConstView> named[] = {
      {"iteration", view_of(columns.iteration)}, {"rank", view_of(columns.rank)},
      {"phase", view_of(columns.phase)},         {"micro_batch", view_of(columns.micro_batch)},
      {"chunk", view_of(columns.chunk)},         {"start", view_of(columns.start)},
      {"seconds", view_of(columns.seconds)}};
  h5::Group group = file.create_group("timeline");
  group.set_attribute("phases", fmt::format("{}", fmt::join(kPhaseNames, ",")));
  for (const auto& [name, column] : named) {
    if (!group.has(name)) group.create_dataset(name, column.dtype(), Shape{0}, kColumn);
    group.dataset(name).append(column);
  }
}

}  // namespace

RunAttributes run_attributes(const Deck& deck, const MeshShape& mesh) {
  return {{"deck", to_yaml(deck)},
          {"version", std::string(kVersion)},
          {"mesh", mesh_text(mesh)},
          {"dp", std::int64_t{mesh.dp}},
          {"tp", std::int64_t{mesh.tp}},
          {"pp", std::int64_t{mesh.pp}},
          {"ranks", std::int64_t{mesh.size()}},
          {"train_batch_size", deck.train_batch_size},
          {"seq_length", deck.model.seq_length},
          {"parameters", count_parameters(deck.model)},
          {"flops_per_token", flops_per_token(deck.model)}};
}

void Metrics::set_plan(const std::vector<StagePlan>& stages) {
  describe([stages](h5::File& file) {
    if (file.has("plan")) file.remove("plan");
    write_integers<StagePlan>(
        file, "plan", stages,
        {{"parameters", [](const StagePlan& s) { return s.parameters; }},
         {"values", [](const StagePlan& s) { return s.values; }},
         {"gradients", [](const StagePlan& s) { return s.gradients; }},
         {"optimizer", [](const StagePlan& s) { return s.optimizer; }},
         {"activations", [](const StagePlan& s) { return s.activations; }},
         {"unused", [](const StagePlan& s) { return s.unused; }},
         {"copy", [](const StagePlan& s) { return s.copy; }},
         {"in_flight", [](const StagePlan& s) { return s.in_flight; }}});
  });
}

void Metrics::set_schedule(const Deck& deck) {
  constexpr std::int64_t kMost = 500;
  const BatchRamp ramp = batch_ramp(deck);
  Integers iteration;
  Integers batch;
  Integers length;
  Reals rate;
  const std::int64_t last = deck.train_iters;
  for (std::int64_t i = 0; i < std::min(kMost, last); ++i) {
    const std::int64_t n = last <= kMost ? i + 1
                                         : 1 + i * ((last - 1) / (kMost - 1)) +
                                               i * ((last - 1) % (kMost - 1)) / (kMost - 1);
    const std::int64_t before = ramp.advance(0, n - 1);
    iteration.push_back(n);
    batch.push_back(ramp.batch_after(before));
    length.push_back(curriculum_length(deck.curriculum, deck.model.seq_length, n));
    rate.push_back(rate_of_step(deck, n, before + batch.back()));
  }
  describe([=](h5::File& file) {
    if (file.has("schedule")) file.remove("schedule");
    write_column(file, "schedule/iteration", view_of(iteration));
    write_column(file, "schedule/learning_rate", view_of(rate));
    write_column(file, "schedule/batch", view_of(batch));
    write_column(file, "schedule/sequence_length", view_of(length));
  });
}

void Metrics::set_ranks(const std::vector<RankRecord>& ranks, std::int64_t steps) {
  change([ranks, steps, first = !std::exchange(ranks_known_, true)](h5::File& file) {
    if (first && file.has("ranks")) file.remove("ranks");
    const bool anew = !file.has("ranks");
    std::vector<std::string> hosts;
    std::vector<std::string> devices;
    Reals step_seconds;
    Reals phases;
    for (const RankRecord& r : ranks) {
      hosts.push_back(r.host);
      devices.push_back(r.device);
      step_seconds.push_back(r.step_seconds);
      phases.insert(phases.end(), r.phases.begin(), r.phases.end());
    }
    if (anew) {
      file.write_texts("ranks/host", hosts);
      file.write_texts("ranks/device", devices);
    }
    write_integers<RankRecord>(
        file, "ranks", ranks,
        {{"dp", [](const RankRecord& r) { return r.at.dp; }},
         {"tp", [](const RankRecord& r) { return r.at.tp; }},
         {"pp", [](const RankRecord& r) { return r.at.pp; }},
         {"peak_bytes", [](const RankRecord& r) { return r.peak_bytes; }},
         {"arrays_peak_bytes", [](const RankRecord& r) { return r.arrays_peak_bytes; }},
         {"arrays_reserved_bytes",
          [](const RankRecord& r) { return r.arrays_reserved_bytes; }}});
    write_column(file, "ranks/step_seconds", view_of(step_seconds));
    const Shape shape{static_cast<std::int64_t>(ranks.size()), kPhases};
    write_column(file, "ranks/phases", view_of(phases).reshape(shape));
    file.group("ranks").set_attribute("steps", steps);
  });
}

void Metrics::add_timeline(std::int64_t iteration,
                           const std::vector<std::vector<Span>>& ranks) {
  change([columns = timeline_columns(iteration, ranks)](h5::File& file) {
    append_timeline(file, columns);
  });
}

}  // namespace trireme
