// SPDX-License-Identifier: Apache-2.0
// metrics.h5: what a run measured, readable while it runs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trireme/core/clock.hpp"
#include "trireme/forecast/run_plan.hpp"
#include "trireme/h5/file.hpp"
#include "trireme/train/class_counts.hpp"

namespace trireme {

class KeptFile;

/// One training step.
struct StepRecord {
  std::int64_t iteration = 0;
  std::int64_t samples = 0;   ///< consumed so far, this step included
  std::int64_t tokens = 0;    ///< consumed so far, this step included
  double loss = 0;            ///< nats a token, mean over the global batch
  double auxiliary_loss = 0;  ///< what modules added to the loss
  double learning_rate = 0;
  double grad_norm = 0;      ///< before clipping
  double loss_scale = 1;     ///< 1 in fp32
  std::int64_t skipped = 0;  ///< 1 if the update was left out
  double step_seconds = 0;
  double tokens_per_second = 0;
  double tflops_per_rank = 0;
  std::array<double, kPhases> phases{};  ///< seconds, mean over ranks
  double ended = 0;                      ///< seconds since 1970
  double step_tokens = 0;                ///< tokens of this step, all ranks
  double step_operations = 0;            ///< operations of this step, all ranks
  // Columns that exist once a step has had a value beside the initial one:
  std::int64_t batch = 0;            ///< samples of this step, where the batch grows
  std::int64_t sequence_length = 0;  ///< tokens of a sample that were used, where these grow
  double layer_keep = 1;             ///< share of micro-batches that the last layer processes
  double noise_scale = std::numeric_limits<double>::quiet_NaN();  ///< samples; NaN: unknown
};

struct EvaluationRecord {
  std::int64_t iteration = 0;
  double loss = 0;
  double bits_per_byte = 0;                ///< 0: not known
  std::optional<ClassScores> classes{};    ///< empty: the model predicts tokens
  std::vector<std::string> class_names{};  ///< may be empty
};

/// What a task found, such as {"acc", 0.5} and {"acc_standard_error", 0.1}.
struct TaskRecord {
  std::int64_t iteration = 0;
  std::string task;
  std::int64_t questions = 0;
  std::vector<std::pair<std::string, double>> values{};  ///< NaN: not known
};

/// What the model says: answers to a list of prompts.
struct SampleRecord {
  std::int64_t iteration = 0;
  std::vector<std::string> prompts{};  ///< one for each answer
  std::vector<std::string> answers{};
};

/// One checkpoint.
struct SaveRecord {
  std::int64_t iteration = 0;
  std::int64_t bytes = 0;    ///< size of all shards
  double stall_seconds = 0;  ///< time that training stood still
  double write_seconds = 0;
  double total_seconds = 0;  ///< from the stop of training to the complete checkpoint
};

/// One rank: its machine, its memory, and the times of its steps.
struct RankRecord {
  std::string host;
  std::string device;
  MeshIndex at;
  std::int64_t peak_bytes = 0;             ///< memory of the process; on a GPU, of its arrays
  std::int64_t arrays_peak_bytes = 0;      ///< in use
  std::int64_t arrays_reserved_bytes = 0;  ///< taken from the system
  double step_seconds = 0;                 ///< mean of the steps, as are the phases
  std::array<double, kPhases> phases{};
};

/// One start of the program in this run.
struct StartRecord {
  std::int64_t iteration = 0;  ///< from which this start goes on
  double time = 0;             ///< seconds since 1970
  MeshShape mesh;
  std::int64_t train_batch_size = 0;
  std::string host;      ///< rank 0's
  std::string revision;  ///< the program's
  std::string changes;   ///< what the deck sets in another way than the start before
};

/// Attributes of the file: facts of the run.
using RunAttributes = std::vector<std::pair<std::string, h5::Attribute>>;
[[nodiscard]] RunAttributes run_attributes(const Deck& deck, const MeshShape& mesh);

/// For rank 0 alone. The file is closed between changes. Below 64 MiB (400,000 steps) a change
/// is made to a copy, PATH.MARK.tmp, which then takes the file's name. The file is therefore
/// whole whenever the program is killed or others open the file. A larger file is changed in
/// place. The file's first 512 bytes are text with the checksum of all others, which is checked
/// before HDF5 opens the file. A damaged file, also one that no row can be added to, becomes
/// PATH.damaged, with a warning. A new file then begins with the rows in memory. Rows that find
/// no room on the disk stay in memory, with a warning, until there is room. A file that was
/// moved or removed is written again with all its rows.
class Metrics {
 public:
  /// Starts a new file. If the file exists and `iteration` > 0 steps are done, keeps the rows
  /// of these steps instead and drops later rows. Warns if some of the kept steps have no rows.
  /// Throws Error where the file can't be written.
  Metrics(std::string path, std::int64_t iteration, const RunAttributes& attributes);
  ~Metrics();

  void add(const StepRecord& step);
  /// Group "valid" or "test", and confusion/GROUP/ITERATION where the model classifies.
  void add(const std::string& group, const EvaluationRecord& evaluation);
  /// Group "tasks/NAME", where "_" stands for "/" and for what does not print in ASCII.
  void add(const TaskRecord& task);
  /// Group "samples/ITERATION".
  void add(const SampleRecord& samples);
  void add(const SaveRecord& save);
  /// Adds a start to the history of starts, which no resume shortens.
  void add(const StartRecord& start);
  void set_plan(const std::vector<StagePlan>& stages);
  /// Group "schedule": learning rate, batch and length of sequences at about 500 iterations of
  /// the whole run, as the deck plans them.
  void set_schedule(const Deck& deck);
  /// `ranks` in the order of the ranks; their means cover the last `steps` steps.
  void set_ranks(const std::vector<RankRecord>& ranks, std::int64_t steps);
  /// Adds each rank's spans in a traced iteration. Iterations come in order.
  void add_timeline(std::int64_t iteration, const std::vector<std::vector<Span>>& ranks);
  /// Whether the file has an evaluation of `group` after `iteration` iterations.
  [[nodiscard]] bool has_evaluation(const std::string& group, std::int64_t iteration) const;
  /// The group of a task's rows. A character that HDF5 or a shell might misread becomes '_'.
  [[nodiscard]] static std::string task_group(const std::string& task);
  /// Whether the file has what the task found after `iteration` iterations.
  [[nodiscard]] bool has_task(const std::string& task, std::int64_t iteration) const;
  /// Writes all that was added since the last write.
  void flush();
  /// Like flush(), for the run's end: throws Error where the file can't be written.
  void finish();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  using Change = std::function<void(h5::File&)>;

  /// Writes all steps added so far, and calls `more`, now or later: `more` must own its data.
  void change(Change more);
  /// Like change(), for what a file that is begun anew must hold too.
  void describe(Change fact);
  void restore();
  void write();
  /// Begins the file anew, with all that waits in memory. Any file there is set aside.
  void begin_anew(const std::string& reason);
  /// Keeps the rows up to `iteration`, and warns of those that are missing.
  void shorten(h5::File& file, std::int64_t iteration) const;
  void write_waiting(h5::File& file) const;
  /// The content of a new file.
  void fill(h5::File& file) const;
  /// The iteration after which the rows of a new file begin.
  [[nodiscard]] std::int64_t begins_after() const;
  void write_steps(h5::File& file) const;
  /// Writes columns that exist once a step has had a value. Earlier steps then have the value
  /// of steps without.
  void write_late_columns(h5::File& file) const;

  std::string path_;
  std::unique_ptr<KeptFile> kept_;  ///< the file as last written
  std::vector<StepRecord> steps_;
  std::vector<Change> changes_;
  std::vector<Change> facts_;  ///< what describe() got
  std::int64_t last_ = 0;      ///< iteration of the last step added, or of the start
  bool ranks_known_ = false;   ///< /ranks has the ranks of this start of the program
  std::string late_;           ///< why added rows are not in the file yet
};

}  // namespace trireme
