// SPDX-License-Identifier: Apache-2.0
// Cases that every Communicator must pass, shared by the tests of MPI and of rank threads.
#pragma once

#include <functional>
#include <ostream>
#include <source_location>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"

namespace trireme::test {

/// `check` is collective and throws Error where the communicator fails.
struct CommunicatorCase {
  const char* name;
  void (*check)(Communicator& world);
  bool alone = true;  ///< make_self_communicator() must pass the case, too
};
inline std::ostream& operator<<(std::ostream& out, const CommunicatorCase& c) {
  return out << c.name;
}
/// Runs the case and returns its error on this rank; empty if the case passed.
[[nodiscard]] std::string error_of_case(const CommunicatorCase& c, Communicator& world);
/// Collectives, messages, texts and splits.
[[nodiscard]] std::vector<CommunicatorCase> collective_cases();
/// Reduce-scatters and all-gathers under way, in every type.
[[nodiscard]] std::vector<CommunicatorCase> asynchronous_cases();

/// Throws Error that names the line, unless `good`.
void must(bool good, std::source_location where = std::source_location::current());
/// The message of the Error that `f` must throw.
[[nodiscard]] std::string message_of(const std::function<void()>& f);

}  // namespace trireme::test
