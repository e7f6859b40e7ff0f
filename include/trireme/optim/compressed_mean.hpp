// SPDX-License-Identifier: Apache-2.0
// The mean of arrays over ranks by signs and scales, with error feedback on both sides. Signs
// travel as bits. The algorithm is that of arXiv 2102.02888 and of DeepSpeed.
//
// A worker sends sign(c) and |c|/√n of its compensated array c. What this leaves out is the
// worker's error, which compensates the next array. Each rank serves a chunk of every array.
// The server averages the chunk, compresses the mean with an error of its own, and all ranks
// gather the chunks. All arithmetic is on the host.
#pragma once

#include <span>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// Elements of one rank's chunk of an array: the least multiple of eight that suffices. The
/// last chunks may be shorter, or empty.
[[nodiscard]] std::int64_t chunk_of(std::int64_t count, int ranks);

/// A chunk's place in its array.
struct Chunk {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
[[nodiscard]] Chunk chunk_of(std::int64_t count, int rank, int ranks);

/// Writes the signs of x + error as bits, eight a byte, and returns the scale |x + error|/√n.
/// The error is then x + error − scale · sign. The sign of 0 counts as +1. `bits` has a byte
/// for each eight elements that begin, and T is float or double.
template <class T>
[[nodiscard]] T compress_signs(std::span<const T> x, std::span<T> error, std::byte* bits);

/// x ← scale · sign, or x ← x + scale · sign.
template <class T>
void expand_signs(const std::byte* bits, T scale, std::span<T> x, bool add);

class CompressedMean {
 public:
  /// Arrays have `counts` elements of `type`, which is fp32 or fp64, on all ranks. Errors begin
  /// as zeros. References must outlive the object.
  CompressedMean(const Exec& ex, Communicator& ranks, std::vector<std::int64_t> counts,
                 DType type);

  /// Replaces each rank's arrays by the compressed mean, whose bits are equal on all ranks.
  /// Collective. A dry device counts memory and bytes, and computes nothing.
  void average(std::span<const View> arrays) const;

  /// Errors of array number `i`: this rank's as a worker, [counts[i]], and those of its chunk
  /// as a server.
  [[nodiscard]] View worker_error(std::size_t i) const;
  [[nodiscard]] View server_error(std::size_t i) const;
  /// Bytes of the errors.
  [[nodiscard]] std::size_t bytes() const;
  /// Bytes of signs and scales that one average() moves through collectives, counted as those
  /// of a reduction and a gather are.
  [[nodiscard]] std::int64_t traffic() const;

 private:
  template <class T>
  void compress_for_servers(std::span<const View> arrays, std::byte* sent) const;
  template <class T>
  void serve(const std::byte* received, std::byte* sent) const;
  template <class T>
  void expand(const std::byte* gathered, std::span<const View> arrays) const;

  const Exec& ex_;
  Communicator& ranks_;
  std::vector<std::int64_t> counts_;
  DType type_;
  std::int64_t block_ = 0;                   ///< bytes that one rank sends to another
  std::int64_t most_ = 0;                    ///< elements of the largest array
  std::vector<std::int64_t> places_;         ///< where arrays begin in worker_errors_
  std::vector<std::int64_t> server_places_;  ///< ... and in server_errors_
  Tensor worker_errors_;
  Tensor server_errors_;
};

}  // namespace trireme
