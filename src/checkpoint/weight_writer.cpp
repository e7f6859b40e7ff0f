// SPDX-License-Identifier: Apache-2.0
// Tensors in pieces of rows, a shard at a time, and then the index.
#include "trireme/checkpoint/weight_writer.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <vector>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/checkpoint/piece.hpp"
#include "trireme/core/replacement.hpp"

#include "durable.hpp"
#include "index.hpp"
#include "manifest.hpp"
#include "shard.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kShardBytes = std::int64_t{256} << 20;

/// Collects pieces until they fill a shard.
class Shards {
 public:
  Shards(std::string folder, std::int64_t iteration, const WeightsToWrite& what)
      : folder_(std::move(folder)), iteration_(iteration), what_(what) {}

  void add(const std::string& name) {
    const Shape global = what_.source.global_shape(name);
    const DType type = what_.type.value_or(what_.source.dtype(name));
    const auto size = static_cast<std::int64_t>(size_of(type));
    const std::int64_t row = std::max<std::int64_t>(global.count() / global[0], 1) * size;
    const std::int64_t step = std::max<std::int64_t>(kShardBytes / row, 1);
    for (std::int64_t at = 0; at < global[0]; at += step) {
      Box box = Box::whole(global);
      box.offset[0] = at;
      box.extent[0] = std::min(step, global[0] - at);
      const std::int64_t bytes = box.count() * size;
      if (bytes_ > 0 && bytes_ + bytes > kShardBytes) flush();
      std::vector<std::byte>& memory = memory_.emplace_back(static_cast<std::size_t>(bytes));
      const View data(memory.data(), type, box.extent);
      read_as(what_.source, name, box, data);
      pieces_.push_back({name, global, box, data});
      bytes_ += bytes;
    }
  }

  void flush() {
    if (pieces_.empty()) return;
    const auto number = static_cast<std::int64_t>(shards_.size());
    static const std::atomic<bool> kGoesOn = false;
    shards_.push_back(checkpoint::write_shard(folder_, number, iteration_, pieces_, kGoesOn));
    std::vector<checkpoint::Line> lines;
    for (const Piece& p : pieces_) {
      lines.push_back({p.name, p.data.dtype(), p.global, p.box});
    }
    checkpoint::add(manifest_, lines, number);
    pieces_.clear();
    memory_.clear();
    written_ += std::exchange(bytes_, 0);
    if (what_.progress) what_.progress(written_);
  }

  void finish(const RunState& state) {
    flush();
    checkpoint::require_tilings(manifest_);
    checkpoint::write_index(folder_, state, manifest_, shards_);
    sync_to_disk(folder_);
  }

 private:
  std::string folder_;
  std::int64_t iteration_;
  const WeightsToWrite& what_;
  std::vector<Piece> pieces_;
  std::vector<std::vector<std::byte>> memory_;
  std::int64_t bytes_ = 0;
  std::int64_t written_ = 0;
  checkpoint::Manifest manifest_;
  std::vector<CheckpointReader::Shard> shards_;
};

}  // namespace

void write_weights(const std::string& save, const RunState& state, const WeightsToWrite& what) {
  std::error_code code;
  TRM_REQUIRE(!std::filesystem::exists(save, code), "{}: there is something already", save);
  const std::string temporary = temporary_name(save, process_mark());
  const std::string name = checkpoint_name(state.iteration);
  const std::string folder = fmt::format("{}/{}", temporary, name);
  try {
    checkpoint::make_folder(folder);
    Shards shards(folder, state.iteration, what);
    for (const std::string& tensor : what.source.names()) shards.add(tensor);
    shards.finish(state);
    replace_text(temporary + "/latest", name + "\n", Durability::power);
    rename_path(temporary, save);
  } catch (...) {
    std::filesystem::remove_all(temporary, code);
    throw;
  }
}

}  // namespace trireme
