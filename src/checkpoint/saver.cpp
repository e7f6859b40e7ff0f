// SPDX-License-Identifier: Apache-2.0
// The phases of a save: the copy, then shards by all writers. Last, rank 0 writes checkpoint.h5
// and renames.
#include "trireme/checkpoint/saver.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <sys/stat.h>
#include <tuple>
#include <utility>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/comm/collectively.hpp"
#include "trireme/core/clock.hpp"
#include "trireme/core/replacement.hpp"

#include "background.hpp"
#include "durable.hpp"
#include "index.hpp"
#include "manifest.hpp"
#include "shard.hpp"
#include "staging.hpp"

namespace trireme {

namespace {

using checkpoint::BackgroundJob;
using checkpoint::Manifest;
using checkpoint::Staging;
using Shard = CheckpointReader::Shard;

enum class SavePhase : std::uint8_t { none, shards, commit };

std::string text_of(const Shard& shard) {
  std::string text =
      fmt::format("{} {} {} {}\n", shard.number, shard.bytes, shard.sum, shard.frame.size());
  for (const h5::Extent& e : shard.frame) text += fmt::format("{} {}\n", e.offset, e.bytes);
  return text;
}

Shard shard_of(const std::string& text) {
  std::istringstream in(text);
  Shard shard;
  std::size_t ranges = 0;
  in >> shard.number >> shard.bytes >> shard.sum >> ranges;
  shard.frame.resize(ranges);
  for (h5::Extent& e : shard.frame) in >> e.offset >> e.bytes;
  TRM_CHECK(!in.fail(), "not a shard's record");
  return shard;
}

/// The pieces that a rank writes, as the text that plan_manifest() reads.
std::string pieces_text(const Staging& staging) {
  std::string text;
  for (const Piece& p : staging.to_write()) {
    text += checkpoint::text_of({p.name, p.data.dtype(), p.global, p.box});
  }
  return text;
}

}  // namespace

struct CheckpointSaver::Impl {
  SaveOptions options;
  Communicator& world;
  Staging staging;
  Manifest manifest;  ///< on rank 0
  std::int64_t bytes = 0;
  std::int64_t writers = 0;
  std::string mark;    ///< rank 0's process_mark()
  bool swept = false;  ///< whether leftovers of dead runs are removed

  SavePhase phase = SavePhase::none;
  RunState state;
  SaveReport report;
  std::optional<Error> failure;  ///< the first of this save; equal on all ranks
  double started = 0;
  std::optional<Shard> shard;  ///< this rank's
  double written = 0;          ///< seconds until the shard was on disk
  double committed = 0;        ///< seconds until the end of the save; rank 0
  std::string note;            ///< rank 0
  std::atomic<bool> cancelled = false;
  BackgroundJob job;

  ~Impl() { cancelled = true; }  // an error ends the run, and its message should not wait
  Impl(const SaveOptions& o, const std::vector<HeldPiece>& held,
       const std::optional<StateHome>& home, Communicator& w)
      : options(o), world(w), staging(o, plan(held), home, w) {
    options.folder = std::filesystem::absolute(o.folder).lexically_normal().string();
    plan_manifest();
    mark = world.broadcast_text(process_mark(), 0);
    job.start([this] { staging.touch(); });
  }

  std::vector<Piece> plan(const std::vector<HeldPiece>& held) {
    return collectively(world, [&] {
      for (const HeldPiece& h : held) {
        const Piece& p = h.piece;
        checkpoint::require_name(p.name);
        TRM_CHECK(p.box.offset.rank() > 0 && p.box.inside(p.global) && p.data.contiguous() &&
                      p.data.shape() == p.box.extent,
                  "{}: {} as the part at {} of extent {} in {}", p.name, p.data.shape().str(),
                  p.box.offset.str(), p.box.extent.str(), p.global.str());
      }
      return writing_share(held);
    });
  }

  /// Collects and checks who writes what, once, because no save changes the manifest.
  void plan_manifest() {
    const auto all = world.gather_text(pieces_text(staging), 0);
    collectively(world, [&] {
      for (std::size_t r = 0; r < all.size(); ++r) {
        checkpoint::add(manifest, checkpoint::lines_of(all[r]), static_cast<std::int64_t>(r));
      }
      checkpoint::require_tilings(manifest);
    });
    std::int64_t mine = 0;
    for (const Piece& p : staging.to_write()) {
      mine += static_cast<std::int64_t>(p.data.bytes());
    }
    bytes = world.reduce_count(mine, Reduction::sum);
    writers = world.reduce_count(staging.to_write().empty() ? 0 : 1, Reduction::sum);
  }

  [[nodiscard]] std::string temporary() const {
    return temporary_name(
        fmt::format("{}/{}", options.folder, checkpoint_name(report.iteration)), mark);
  }

  /// The temporary folder is this run's own: its name was free.
  void make_folders() {
    if (options.require_owner) options.require_owner();
    checkpoint::make_folder(options.folder);
    checkpoint::remove_all(temporary());  // left if this run failed to save the iteration
    // The temporary name may be lost in a crash; only the final name must be on disk.
    TRM_REQUIRE_SYSTEM(mkdir(temporary().c_str(), 0777) == 0, errno,
                       "{}: cannot create the folder", temporary());
  }

  /// Removes what dead runs left, once and beside training: thousands of files may be left.
  void sweep() {
    if (std::exchange(swept, true)) return;
    sync_to_disk(std::filesystem::path(options.folder).parent_path().string());  // SAVE's name
    const auto leftovers = find_leftovers(options.folder);
    for (const std::string& name : leftovers) {
      checkpoint::remove_all(fmt::format("{}/{}", options.folder, name));
    }
    if (leftovers.empty()) return;
    add_note(fmt::format("removed what dead runs left in {}: {}", options.folder,
                         fmt::join(leftovers, ", ")));
  }

  void add_note(const std::string& text) {
    if (!note.empty()) note += "; ";
    note += text;
  }

  void start(const RunState& now_at) {
    TRM_CHECK(phase == SavePhase::none, "a save begins while another is under way");
    started = now();
    state = now_at;
    report = {};
    report.iteration = now_at.iteration;
    phase = SavePhase::shards;
    shard.reset();
    written = committed = 0;
    note.clear();
    failure = failure_of([this] {
      collectively(world, [this] {
        if (world.rank() == 0) make_folders();
      });
    });
    if (failure) return;
    std::ignore = job.take();  // before the first save: the job that touches the copy's memory
    staging.take();
    report.stall_seconds = now() - started;
    if (staging.to_write().empty()) return;
    job.start([this] {
      shard = checkpoint::write_shard(temporary(), world.rank(), state.iteration,
                                      staging.to_write(), cancelled);
      written = now() - started;
    });
  }

  /// Rank 0 makes the checkpoint from shards that are all on disk.
  void commit(const std::vector<Shard>& shards) {
    checkpoint::write_index(temporary(), state, manifest, shards);
    sync_to_disk(temporary());
    if (options.require_owner) options.require_owner();
    const std::string name = checkpoint_name(state.iteration);
    const std::string replaced =
        checkpoint::replace_folder(temporary(), fmt::format("{}/{}", options.folder, name));
    replace_text(options.folder + "/latest", name + "\n", Durability::power);
    committed = now() - started;
    try {
      if (!replaced.empty()) checkpoint::remove_all(replaced);
      sweep();
      for (const auto& old : outdated(options.folder, state.iteration, options.keep_last)) {
        remove_checkpoint(options.folder, old);
      }
    } catch (const Error& e) {  // the new checkpoint is complete, so the save succeeded
      add_note(fmt::format("an old folder stays: {}", e.what()));
    }
  }

  void begin_commit() {
    const auto texts = world.gather_text(shard ? text_of(*shard) : std::string(), 0);
    phase = SavePhase::commit;
    if (world.rank() != 0) return;
    std::vector<Shard> shards;
    for (const std::string& text : texts) {
      if (!text.empty()) shards.push_back(shard_of(text));
    }
    job.start([this, shards = std::move(shards)] { commit(shards); });
  }

  SaveReport finish() {
    std::array<double, 3> seconds{report.stall_seconds, written, committed};
    world.all_reduce(View(seconds.data(), DType::f64, Shape{3}), Reduction::max);
    report.stall_seconds = options.async ? seconds[0] : seconds[2];
    report.write_seconds = seconds[1];
    report.total_seconds = seconds[2];
    report.bytes = bytes;
    report.note = note;
    phase = SavePhase::none;
    return report;
  }

  SaveReport fail() {
    report.failure = failure->what();
    report.disk_full = failure->kind() == ErrorKind::disk_full;
    report.vanished = failure->system_error() == ENOENT || failure->system_error() == ESTALE;
    std::error_code ignored;  // the first error is the one to report
    if (world.rank() == 0) std::filesystem::remove_all(temporary(), ignored);
    return finish();
  }

  std::optional<SaveReport> advance() {
    if (phase == SavePhase::none) return std::nullopt;
    const auto met = failure_of([this] { world.agree(job.take()); });
    if (!failure) failure = met;
    if (failure) return fail();
    if (phase == SavePhase::commit) return finish();
    begin_commit();
    return std::nullopt;
  }
};

CheckpointSaver::CheckpointSaver(const SaveOptions& options, const std::vector<HeldPiece>& held,
                                 const std::optional<StateHome>& home, Communicator& world)
    : impl_(std::make_unique<Impl>(options, held, home, world)) {}

CheckpointSaver::~CheckpointSaver() = default;

std::size_t CheckpointSaver::staging_bytes() const { return impl_->staging.bytes(); }
std::int64_t CheckpointSaver::bytes() const { return impl_->bytes; }
std::int64_t CheckpointSaver::writers() const { return impl_->writers; }

void CheckpointSaver::start(const RunState& state) { impl_->start(state); }
bool CheckpointSaver::under_way() const { return impl_->phase != SavePhase::none; }
bool CheckpointSaver::idle() const { return impl_->job.done(); }
std::optional<SaveReport> CheckpointSaver::advance() { return impl_->advance(); }

std::optional<SaveReport> CheckpointSaver::wait() {
  std::optional<SaveReport> report;
  while (under_way() && !report) report = advance();  // advance() waits for the job
  return report;
}

}  // namespace trireme
