// SPDX-License-Identifier: Apache-2.0
// One rank of a verification.
#include "verified.hpp"

#include <mutex>
#include <optional>

#include "trireme/backend/cpu.hpp"

namespace trireme::test {

namespace {

constexpr std::int64_t kVocabulary = 67;

VerifyReport verify_on(Communicator& world, const Deck& deck, const Plant& plant, int steps) {
  set_cpu_threads(1);  // affects this thread alone
  const auto device = make_cpu_device();
  const auto stream = device->make_stream();
  const auto kernels = make_cpu_kernels();
  const Exec ex{*device, *kernels, *stream, deck.seed};
  Mesh mesh(mesh_shape(deck, world.size()), world);
  if (plant.mesh) plant.mesh(mesh);
  const auto self = make_self_communicator();
  const Mesh alone({1, 1, 1}, *self);
  const SyntheticSamples data(kVocabulary, deck.model.seq_length, deck.seed);
  VerifySetup setup{
      .ex = ex, .deck = deck, .mesh = mesh, .alone = &alone, .data = &data, .steps = steps};
  setup.parts = [&] {
    auto parts = build_parts(ex, deck, mesh);
    if (plant.units) plant.units(parts, mesh);
    return parts;
  };
  return verify_layout(setup);
}

}  // namespace

VerifyReport verified(const Json& json, int ranks, const Plant& plant, int steps) {
  Deck deck = parse_deck(merged({{"vocab_size", kVocabulary}}, json).dump(), "deck");
  resolve(deck, ranks);
  std::mutex mutex;
  std::optional<VerifyReport> first;
  const std::string problem = as_ranks(ranks, [&](Communicator& world) {
    VerifyReport mine = verify_on(world, deck, plant, steps);
    const std::scoped_lock lock(mutex);
    if (!first) {
      first = std::move(mine);
      return;
    }
    TRM_REQUIRE(mine.agrees == first->agrees && mine.rows.size() == first->rows.size() &&
                    mine.rows.front().difference == first->rows.front().difference,
                "ranks have different reports");
  });
  TRM_REQUIRE(problem.empty(), "{}", problem);
  return std::move(*first);
}

std::string first_text(const VerifyReport& report, VerifyKind kind) {
  const VerifyRow* row = report.first(kind);
  if (row == nullptr) return "";
  return fmt::format("{} of {}, step {}", name_of(kind), row->tensor, row->step);
}

}  // namespace trireme::test
