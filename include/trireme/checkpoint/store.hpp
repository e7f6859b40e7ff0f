// SPDX-License-Identifier: Apache-2.0
// A run's state on disk: named global arrays, stored as boxes by whoever holds them, and read
// back as whatever boxes the reader holds. The files know nothing of meshes.
//
// SAVE/latest               text "global_stepN": the newest complete checkpoint
// SAVE/global_stepN/
//   checkpoint.h5           RunState as attributes; /manifest/NAME: int64 [pieces, 1 + 2·axes],
//                           a row per piece: its shard, offset and extent; attributes `shape`
//                           and `dtype`
//   shard-RRRRR.h5          rank R's pieces: dataset NAME@OFFSET ("model/x.weight@0,128") with
//                           attributes `offset` and `global_shape`; Fletcher32 on each chunk
//
// Names are like paths: parts of printable characters without blanks or '@', joined by '/'.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trireme/comm/communicator.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/tensor/box.hpp"

namespace trireme {

/// Where a run stands, beside its arrays.
struct RunState {
  std::int64_t iteration = 0;
  std::int64_t samples_consumed = 0;
  std::int64_t optimizer_steps = 0;
  std::uint64_t seed = 0;
  std::string deck;     ///< resolved, YAML
  std::string version;  ///< of the program that wrote it
  std::string mesh;     ///< "dp 2 × tp 1 × pp 1": for people
  friend bool operator==(const RunState&, const RunState&) = default;
};

/// Writes one checkpoint: make, write() each piece, finish(). A box of a tensor is written by
/// exactly one rank; all boxes together tile the tensor.
class CheckpointWriter {
 public:
  /// Prepares SAVE/global_stepN.tmp in place of any left by a dead run. Collective over
  /// `world`, which must outlive the writer. Throws Error, on all ranks, if it can't.
  CheckpointWriter(const std::string& save, std::int64_t iteration, Communicator& world);

  /// Stores a part of an array of shape `global`: host memory of the box's count, in row-major
  /// order; free for reuse on return. A box without elements only makes the name known. Not
  /// collective, and never throws: a failure is everyone's in finish().
  void write(const std::string& name, const Shape& global, const Box& box,
             const ConstView& piece);

  /// Makes the checkpoint durable and visible, then `latest` names it; an older one of the same
  /// iteration is replaced. Rank 0's state counts. Collective; call once. If anything failed on
  /// any rank (disk, boxes that don't tile), all throw that Error, and `latest` names a complete
  /// checkpoint still, if it did.
  void finish(const RunState& state);

 private:
  template <class F>
  void attempt(F f);
  void agree_or_remove();

  std::string save_;
  std::string temporary_;  ///< SAVE/global_stepN.tmp
  std::int64_t iteration_;
  Communicator& world_;
  std::optional<h5::File> shard_;  ///< made by the first piece
  std::string pieces_;             ///< of this rank, a line each
  std::string error_;              ///< the first of this rank
};

/// The checkpoint folder that FOLDER/latest names, as FOLDER/NAME. Nothing if there is no such
/// folder or no `latest` in it. Throws Error if `latest` is damaged or names what isn't there.
[[nodiscard]] std::optional<std::string> find_latest(const std::string& folder);

/// Reads a checkpoint. Not collective: each rank has its own and reads what it needs. Files are
/// not trusted: every error names the folder, the tensor and the reason.
class CheckpointReader {
 public:
  /// Throws Error if the folder is none, is incomplete or of a newer format.
  explicit CheckpointReader(const std::string& checkpoint_folder);

  [[nodiscard]] const RunState& state() const { return state_; }
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] Shape global_shape(const std::string& name) const;
  [[nodiscard]] DType dtype(const std::string& name) const;
  /// All tensors, by name.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Fills `to` (host memory, the box's count in row-major order, the stored element type)
  /// from all pieces that overlap; no other shard is touched.
  void read(const std::string& name, const Box& box, const View& to);
  /// Also requires that the stored tensor has this global shape.
  void read(const std::string& name, const Shape& global, const Box& box, const View& to);

 private:
  const h5::File& shard(std::int64_t number);

  std::string folder_;
  h5::File file_;  ///< checkpoint.h5
  RunState state_;
  std::map<std::int64_t, h5::File> shards_;  ///< lately used
};

}  // namespace trireme
