// SPDX-License-Identifier: Apache-2.0
// The measurements that `trireme bench` offers.
#pragma once

#include <nlohmann/json.hpp>

#include "trireme/bench/bench.hpp"
#include "trireme/host/engine.hpp"

namespace trireme {

struct KernelCase;

/// Alternates steps of two decks (A B A …): the deck itself, and the deck with
/// `options.against`. Only neighbouring steps can be compared on a machine that others use too.
/// Collective.
void bench_against(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi);
/// Compares AdamW's bytes a second with those of plain loops over as many arrays. Collective.
void bench_update(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi);

/// Compares each kernel of the deck's step with the kernel's floor. Throws Error on more than
/// one rank.
void bench_kernels(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi);

/// Measures what trireme/deck/machine.hpp lists, and writes the file `options.machine`. Throws
/// Error on one rank. Collective.
void bench_machine(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi);

/// Seconds of one call: the median of several measurements by the device's clock.
[[nodiscard]] double time_kernel(const Exec& ex, const KernelCase& kernel);

/// Bytes that each rank copies a second, on its GPU or with all its threads, while all ranks
/// copy. The result is the best of a few passes over 256 MiB; a byte read and written counts
/// once. Collective.
[[nodiscard]] double copy_rate(const Engine& engine, Communicator& world);

/// Describes the model and the batch in words.
[[nodiscard]] std::string bench_case(const Deck& deck);
/// The upper median if there are two. Requires that `values` isn't empty.
[[nodiscard]] double median(std::vector<double> values);
/// Writes one JSON object; does nothing if `file` is empty.
void write_json(const std::string& file, const nlohmann::ordered_json& object);

}  // namespace trireme
