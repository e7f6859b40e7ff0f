// SPDX-License-Identifier: Apache-2.0
// Work that may fail on some ranks of a communicator, and then fails on all.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include "trireme/comm/communicator.hpp"

namespace trireme {

/// Runs f on every rank and waits for all of them. Returns what f returns. If f throws on any
/// rank, throws on all ranks, with the lowest failing rank's message and errno. Collective over
/// `group`. f must not communicate over `group`, unless f fails on all ranks or on none.
template <class F>
auto collectively(Communicator& group, F&& f) {
  using Result = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<Result>) {
    group.agree(failure_of(f));
  } else {
    std::optional<Result> result;
    group.agree(failure_of([&] { result.emplace(f()); }));
    return std::move(*result);
  }
}

}  // namespace trireme
