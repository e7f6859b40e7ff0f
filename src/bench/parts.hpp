// SPDX-License-Identifier: Apache-2.0
// The parts of `trireme bench`.
#pragma once

#include <nlohmann/json.hpp>

#include "trireme/bench/bench.hpp"
#include "trireme/host/engine.hpp"

namespace trireme {

/// Steps of the deck and of the deck with `options.against` in turn, A B A … B A: on a machine
/// that others use too, only neighbours can be compared. Collective.
void bench_against(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi);
/// AdamW's bytes a second beside those of plain loops over as many arrays. Collective.
void bench_update(const DeckSource& source, const BenchOptions& options, const MpiSession& mpi);

/// Each kernel of the deck's step beside its floor. One rank. Throws Error on more.
void bench_kernels(const DeckSource& source, const BenchOptions& options,
                   const MpiSession& mpi);

/// Bytes that each rank copies a second while all do, on its GPU or with all its threads: the
/// best of a few passes over 256 MiB; a byte that is read and written counts once. Collective.
[[nodiscard]] double copy_rate(const Engine& engine, Communicator& world);

/// The model and batch in words.
[[nodiscard]] std::string bench_case(const Deck& deck);
/// The upper one where there are two. `values` isn't empty.
[[nodiscard]] double median(std::vector<double> values);
/// One object; nothing where `file` is empty.
void write_json(const std::string& file, const nlohmann::ordered_json& object);

}  // namespace trireme
