// SPDX-License-Identifier: Apache-2.0
// A machine file: the rates of a kind of machine, from which `trireme plan` predicts time.
#pragma once

#include <cstdint>
#include <string>

#include "trireme/core/dtype.hpp"

namespace trireme {

/// A connection between two ranks, in one direction.
struct Link {
  double bandwidth = 0;  ///< bytes/s that one rank sends while all ranks send
  double latency = 0;    ///< seconds of one message
};

/// One rank's share of the machine. A rank of a GPU machine is a GPU.
struct Machine {
  std::string name;
  bool has_gpus = false;        ///< a rank of the machine is a GPU
  double gemm_fp32 = 0;         ///< FLOP/s of large GEMMs
  double gemm_half = 0;         ///< FLOP/s of large GEMMs in bf16 and fp16
  double attention_share = 1;   ///< rate of attention's FLOPs over that of GEMMs
  double memory_bandwidth = 0;  ///< bytes/s, reads and writes together
  double kernel_seconds = 0;    ///< time of an operation besides its work
  double overlap = 1;           ///< share of communication that computation can hide
  Link node;                    ///< between ranks of one node
  Link network;                 ///< between ranks of two nodes
  int ranks_per_node = 1;
  std::int64_t device_memory = 0;  ///< bytes a rank; 0: unknown
  double watts = 0;                ///< power of a rank and its share of the node; 0: unknown

  [[nodiscard]] double gemm(DType type) const {
    return size_of(type) < sizeof(float) ? gemm_half : gemm_fp32;
  }
};

/// Reads a machine file: YAML with one dictionary `machine`, whose keys inputs/README.md lists.
/// Throws Error that names file, line and key for unknown, missing and impossible values.
[[nodiscard]] Machine read_machine(const std::string& path);
/// Parses the text of a machine file; `name` stands for the file in messages.
[[nodiscard]] Machine parse_machine(const std::string& text, const std::string& name);

/// Bytes from a text such as "80GiB", "512MB" or "1024". Throws Error for other texts.
[[nodiscard]] std::int64_t parse_bytes(const std::string& text);

}  // namespace trireme
