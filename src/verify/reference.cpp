// SPDX-License-Identifier: Apache-2.0
// Trains one rank alone, and assembles its arrays.
#include "reference.hpp"

#include <algorithm>

namespace trireme {

namespace {

/// One array from boxes that cover it: whole rows, one box after another.
HostArray whole(const Exec& ex, const Shape& shape, const std::vector<LocalBox>& boxes) {
  HostArray array{shape, std::vector<float>(static_cast<std::size_t>(shape.count()))};
  const std::int64_t row = shape.count() / shape[0];
  std::int64_t count = 0;
  for (const LocalBox& b : boxes) {
    const std::vector<float> values = b.device.empty() ? b.host : to_host(ex, b.device);
    std::ranges::copy(values, array.values.begin() + b.box.offset[0] * row);
    count += b.box.count();
  }
  TRM_CHECK(count == shape.count(), "{} of {} elements of the reference", count, shape.count());
  return array;
}

HostArray zeros(const Shape& shape) {
  return {shape, std::vector<float>(static_cast<std::size_t>(shape.count()))};
}

std::vector<HostArray> arrays_of(const Exec& ex, const std::vector<NamedShape>& names,
                                 const LocalBoxes& boxes) {
  std::vector<HostArray> arrays;
  if (boxes.empty()) return arrays;
  for (const NamedShape& n : names) {
    // A frozen parameter has no gradient and no master; its zeros are compared with no box.
    const auto found = boxes.find(n.name);
    arrays.push_back(found != boxes.end() ? whole(ex, n.shape, found->second) : zeros(n.shape));
  }
  return arrays;
}

}  // namespace

Reference train_reference(const VerifySetup& setup, const Deck& deck) {
  const Mesh& mesh = *setup.alone;
  const int ranks = setup.mesh.shape.dp;
  auto parts = build_parts(setup.ex, deck, mesh);
  Reference reference;
  const std::int64_t rows = deck.train_micro_batch_size_per_gpu * deck.model.seq_length;
  reference.names = names_of(parts, Shape{ranks * rows, deck.model.hidden_size});
  VerifiedRun run(setup, deck, mesh, std::move(parts), ranks);
  for (int s = 1; s <= setup.steps; ++s) {
    const double begin = now();
    ReferenceStep step{run.step(), {}};
    for (const VerifyKind kind :
         {VerifyKind::output, VerifyKind::gradient, VerifyKind::master, VerifyKind::value}) {
      step.arrays[static_cast<std::size_t>(kind)] = arrays_of(
          setup.ex,
          kind == VerifyKind::output ? reference.names.outputs : reference.names.parameters,
          run.take(kind));
    }
    if (setup.progress) {
      setup.progress(fmt::format("reference  step {} of {}: loss {:.6f}, {:.2f} s", s,
                                 setup.steps, step.result.loss, now() - begin));
    }
    reference.steps.push_back(std::move(step));
  }
  return reference;
}

}  // namespace trireme
