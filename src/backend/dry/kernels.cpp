// SPDX-License-Identifier: Apache-2.0
// Kernels that do nothing, for a dry run.
#include "trireme/backend/dry.hpp"

namespace trireme {

namespace {

/// Kernels whose `run` does nothing, for each operation of a list.
template <class List>
class DryKernels;

template <>
class DryKernels<ops::List<>> : public Kernels {
 public:
  std::int64_t first_non_finite(Stream&, const ConstView&) override { return -1; }
};

template <class First, class... Rest>
class DryKernels<ops::List<First, Rest...>> : public DryKernels<ops::List<Rest...>> {
 public:
  using DryKernels<ops::List<Rest...>>::run;
  void run(Stream&, const First&) override {}
};

}  // namespace

std::unique_ptr<Kernels> make_dry_kernels() {
  return std::make_unique<DryKernels<ops::Operations>>();
}

}  // namespace trireme
