// SPDX-License-Identifier: Apache-2.0
// Which samples a rank takes in a step, and their micro-batches.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <vector>

#include "trireme/comm/mesh.hpp"
#include "trireme/data/prefetch.hpp"
#include "trireme/deck/deck.hpp"
#include "trireme/model/tape.hpp"
#include "trireme/ops/exec.hpp"

namespace trireme {

/// Host memory for tokens. Copies to the device read this memory while the host goes on.
class TokenUploads {
 public:
  explicit TokenUploads(const Exec& ex) : ex_(ex) {}
  ~TokenUploads();
  TokenUploads(const TokenUploads&) = delete;
  TokenUploads& operator=(const TokenUploads&) = delete;

  /// Memory for a step's tokens until submit(). Waits for the copies of an earlier step if all
  /// rooms are taken, and so keeps the host at most kRooms steps ahead.
  [[nodiscard]] std::int32_t* room(std::int64_t count);
  /// All copies from the room have been queued.
  void submit();

 private:
  static constexpr std::size_t kRooms = 4;
  struct Room {
    void* memory = nullptr;
    std::unique_ptr<Event> copied;
  };
  const Exec& ex_;
  std::array<Room, kRooms> rooms_;
  std::int64_t count_ = 0;  ///< tokens that each room has space for
  std::size_t next_ = 0;
};

/// What the micro-batches of a step have in common.
struct StepShape {
  std::int64_t micro_batches = 0;
  std::int64_t seq = 0;  ///< tokens of each sample that are used
  bool training = true;
  double layer_keep = 1;  ///< see MicroBatch
};

/// A step's global batch is consecutive samples: micro-batch 0 of every rank of dp, then
/// micro-batch 1 and so on. The data of a step depends on its first sample, its iteration and
/// the deck alone.
class BatchLayout {
 public:
  BatchLayout(const Deck& deck, const Mesh& mesh);

  /// Only the ends of a pipeline read tokens, unless documents end attention or positions.
  [[nodiscard]] bool needs_tokens() const { return uploaded() > 0; }
  /// Samples of a whole batch, which evaluations take.
  [[nodiscard]] std::int64_t samples_per_step() const { return count_ * size_ * dp_; }
  /// Samples of the training step that begins with sample `first`.
  [[nodiscard]] std::int64_t samples_from(std::uint64_t first) const {
    return ramp_.batch_after(static_cast<std::int64_t>(first));
  }
  /// Numbers of a sample.
  [[nodiscard]] const SampleLayout& sample() const { return layout_; }
  /// Targets of a sample of which `seq` tokens are used.
  [[nodiscard]] std::int64_t targets_of(std::int64_t seq) const {
    return std::min(layout_.targets, seq);
  }
  /// The number of the sample with which training goes on `steps` steps after `first`.
  [[nodiscard]] std::int64_t advance(std::int64_t first, std::int64_t steps) const {
    return ramp_.advance(first, steps);
  }
  [[nodiscard]] StepShape training_shape(std::int64_t iteration, std::uint64_t first) const;
  [[nodiscard]] StepShape evaluation_shape() const {
    return {.micro_batches = count_, .seq = seq_, .training = false};
  }
  /// This rank's samples of the training step that begins with sample `first`.
  [[nodiscard]] std::vector<SampleRun> runs(std::uint64_t first) const {
    return runs(first, samples_from(first) / (size_ * dp_));
  }
  /// This rank's samples of `micro_batches` micro-batches that begin with sample `first`.
  [[nodiscard]] std::vector<SampleRun> runs(std::uint64_t first,
                                            std::int64_t micro_batches) const;
  /// `tokens` are the samples of runs(), [samples, sample().numbers()], as in SampleSource, or
  /// empty if needs_tokens() is false. Each text's first shape.seq tokens are used. An image is
  /// used whole.
  [[nodiscard]] std::vector<MicroBatch> micro_batches(const Exec& ex, TokenUploads& uploads,
                                                      std::uint64_t first,
                                                      const std::vector<std::int32_t>& tokens,
                                                      const StepShape& shape) const;
  /// Bytes of text of the targets that count among `tokens`. `of_ids` are each id's, or empty.
  [[nodiscard]] double text_bytes(const std::vector<std::int32_t>& tokens,
                                  std::span<const std::uint16_t> of_ids) const;

 private:
  std::int64_t count_;  ///< micro-batches of a whole batch
  std::int64_t size_;   ///< samples a micro-batch
  std::int64_t dp_;
  std::int64_t dp_index_;
  std::int64_t seq_;
  Task task_;
  SampleLayout layout_;
  /// Numbers that this rank uploads for a sample.
  [[nodiscard]] std::int64_t uploaded() const;
  /// Uploads a micro-batch's arrays from its samples.
  void fill(const Exec& ex, MicroBatch& mb, const std::int32_t* samples,
            std::int32_t*& room) const;
  /// Uploads what chooses the row of a sample that is classified, or the rows of a mean.
  void fill_classified(const Exec& ex, MicroBatch& mb, const std::int32_t* samples,
                       std::int32_t*& room) const;

  BatchRamp ramp_;
  CurriculumConfig curriculum_;
  LayerDropConfig layer_drop_;
  bool first_;
  bool last_;
  bool reset_positions_;
  bool reset_attention_;
  bool ends_attention_;  ///< attention to later keys ends after a document, or before padding
  bool pools_rows_;      ///< this rank has a classifier of rows
  bool reads_last_;      ///< which reads the last row, and not the first
  bool takes_means_;     ///< or else the mean
  std::vector<std::int32_t> order_;  ///< patch_order() of a vision transformer
  std::int32_t end_of_document_;
};

}  // namespace trireme
