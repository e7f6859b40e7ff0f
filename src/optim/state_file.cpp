// SPDX-License-Identifier: Apache-2.0
// Tiles, slots, and the arrays of the file.
#include "trireme/optim/state_file.hpp"

#include <algorithm>
#include <cstring>
#include <unistd.h>
#include <utility>

#include "trireme/core/clock.hpp"
#include "trireme/core/round_up.hpp"

#include "unnamed_file.hpp"

namespace trireme {

namespace {

/// Bytes on which O_DIRECT wants memory, offsets and sizes aligned. No disk asks for more.
constexpr std::size_t kPage = 4096;
/// A tile's elements are a multiple of this, so that all its arrays begin at a page.
constexpr std::int64_t kTileStep = kPage;

std::size_t array_bytes(std::int64_t count, DType type) {
  return round_up(static_cast<std::size_t>(count) * size_of(type), kPage);
}

}  // namespace

class StateFile::Array final : public StoredArray {
 public:
  Array(StateFile& file, std::size_t number, std::size_t group)
      : file_(file), number_(number), group_(group) {}
  [[nodiscard]] DType dtype() const override { return file_.types_[number_]; }
  void read(std::int64_t first, std::int64_t count, void* to) override {
    file_.move(number_, group_, first, count, static_cast<std::byte*>(to), false);
  }
  void write(std::int64_t first, std::int64_t count, const void* from) override {
    file_.move(number_, group_, first, count, static_cast<std::byte*>(const_cast<void*>(from)),
               true);
  }

 private:
  StateFile& file_;
  std::size_t number_;
  std::size_t group_;
};

StateFile::StateFile(const Exec& ex, const FlatLayout& layout, const OffloadConfig& config,
                     std::vector<DType> types, int rank)
    : config_(config), types_(std::move(types)) {
  const std::size_t slots =
      1 + (config.pipeline_read ? 1 : 0) + (config.pipeline_write ? 1 : 0);
  std::int64_t largest = kTileStep;
  for (const FlatGroup& g : layout.groups()) {
    if (g.trains) largest = std::max(largest, round_up(g.count / layout.ranks(), kTileStep));
  }
  const auto shares = static_cast<std::int64_t>(slots * types_.size());
  const std::int64_t in_pool = config.buffer_count * config.buffer_size / shares;
  const std::int64_t tile = std::clamp(in_pool / kTileStep * kTileStep, kTileStep, largest);
  lay_out(layout, tile);
  std::size_t slot_bytes = 0;
  for (const DType type : types_) slot_bytes += array_bytes(tile, type);
  const std::size_t pool = slots * slot_bytes + kPage;
  pool_ = ex.make(DType::u8, Shape{static_cast<std::int64_t>(pool)});
  auto* memory = static_cast<std::byte*>(pool_.view().raw());
  memory += round_up(reinterpret_cast<std::uintptr_t>(memory), kPage) -
            reinterpret_cast<std::uintptr_t>(memory);
  for (std::size_t i = 0; i < slots; ++i) {
    slots_.push_back({memory + i * slot_bytes, kNone, {}, {}});
  }
  if (ex.device.kind() != DeviceKind::dry && file_bytes_ > 0) make_file(rank);
}

StateFile::~StateFile() {
  queue_.reset();
  if (file_ >= 0) ::close(file_);
}

void StateFile::lay_out(const FlatLayout& layout, std::int64_t tile) {
  for (std::size_t i = 0; i < layout.groups().size(); ++i) {
    first_tile_.push_back(tiles_.size());
    const FlatGroup& g = layout.groups()[i];
    const std::int64_t elements = g.trains ? g.count / layout.ranks() : 0;
    for (std::int64_t at = 0; at < elements; at += tile) {
      Tile t{i, at, std::min(tile, elements - at), file_bytes_, 0};
      for (const DType type : types_) t.bytes += array_bytes(t.count, type);
      file_bytes_ += static_cast<std::int64_t>(t.bytes);
      tiles_.push_back(t);
    }
  }
  first_tile_.push_back(tiles_.size());
}

void StateFile::make_file(int rank) {
  file_ = optim::open_unnamed(config_.nvme_path, rank);
  try {
    use_file();
  } catch (...) {  // the destructor of a half-made object isn't called
    ::close(file_);
    throw;
  }
}

void StateFile::use_file() {
  optim::reserve(file_, file_bytes_, config_.nvme_path);
  direct_ = optim::use_direct_io(file_, slots_.front().memory, kPage);
  queue_ = std::make_unique<FileQueue>(
      file_, config_.nvme_path + ": the optimizer's state",
      FileQueueSettings{.block_size = static_cast<std::int64_t>(
                            round_up(static_cast<std::size_t>(config_.block_size), kPage)),
                        .queue_depth = config_.queue_depth,
                        .thread_count = config_.thread_count,
                        .single_submit = config_.single_submit,
                        .overlap_events = config_.overlap_events});
}

std::size_t StateFile::begin_of(const Tile& tile, std::size_t array) const {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < array; ++i) begin += array_bytes(tile.count, types_[i]);
  return begin;
}

void StateFile::wait(FileQueue::Ticket& ticket) {
  const FileQueue::Ticket done = std::exchange(ticket, nullptr);
  if (!done) return;
  const double begin = now();
  queue_->wait(done);
  waited_ += now() - begin;
}

void StateFile::start_reading(std::size_t tile) {
  Slot& s = slot_of(tile);
  if (s.tile == tile) return;
  wait(s.reading);
  wait(s.writing);
  s.tile = tile;
  if (queue_) s.reading = queue_->start_read(tiles_[tile].offset, s.memory, tiles_[tile].bytes);
}

std::vector<View> StateFile::open(std::size_t tile) {
  start_reading(tile);
  const std::size_t next = (tile + 1) % tiles_.size();
  if (config_.pipeline_read && slots_.size() > 1 &&
      next % slots_.size() != tile % slots_.size()) {
    start_reading(next);
  }
  Slot& s = slot_of(tile);
  wait(s.reading);
  wait(s.writing);
  std::vector<View> arrays;
  const Tile& t = tiles_[tile];
  for (std::size_t i = 0; i < types_.size(); ++i) {
    arrays.emplace_back(s.memory + begin_of(t, i), types_[i], Shape{t.count});
  }
  return arrays;
}

void StateFile::close(std::size_t tile) {
  if (!queue_) return;
  Slot& s = slot_of(tile);
  s.writing = queue_->start_write(tiles_[tile].offset, s.memory, tiles_[tile].bytes);
  if (!config_.pipeline_write) wait(s.writing);
}

std::shared_ptr<StoredArray> StateFile::array(std::size_t number, std::size_t group) {
  return std::make_shared<Array>(*this, number, group);
}

void StateFile::settle() {
  for (Slot& s : slots_) {
    wait(s.reading);
    wait(s.writing);
    s.tile = kNone;
  }
}

void StateFile::move(std::size_t array, std::size_t group, std::int64_t first,
                     std::int64_t count, std::byte* host, bool writes) {
  TRM_CHECK(queue_ != nullptr, "a dry run reads no state");
  settle();
  const std::size_t size = size_of(types_[array]);
  std::byte* const bounce = slots_.front().memory;
  for (std::size_t k = first_tile_[group]; k < first_tile_[group + 1]; ++k) {
    const Tile& t = tiles_[k];
    const std::int64_t begin = std::max(first, t.first);
    const std::int64_t end = std::min(first + count, t.first + t.count);
    if (begin >= end) continue;
    const std::size_t from = static_cast<std::size_t>(begin - t.first) * size;
    const std::size_t bytes = static_cast<std::size_t>(end - begin) * size;
    const std::size_t page = from / kPage * kPage;
    const std::size_t pages = round_up(from + bytes, kPage) - page;
    const std::int64_t at = t.offset + static_cast<std::int64_t>(begin_of(t, array) + page);
    std::byte* const mine = host + static_cast<std::size_t>(begin - first) * size;
    if (!writes || pages != bytes) queue_->wait(queue_->start_read(at, bounce, pages));
    if (!writes) {
      std::memcpy(mine, bounce + (from - page), bytes);
      continue;
    }
    std::memcpy(bounce + (from - page), mine, bytes);
    queue_->wait(queue_->start_write(at, bounce, pages));
  }
}

OffloadTraffic StateFile::traffic() const {
  if (!queue_) return {};
  const FileTraffic t = queue_->traffic();
  return {t.read, t.written, t.busy, waited_};
}

std::string StateFile::engine() const {
  if (!queue_) return "no file";
  return fmt::format("{}, {}", queue_->engine(),
                     direct_ ? "O_DIRECT" : "through the page cache");
}

}  // namespace trireme
