// SPDX-License-Identifier: Apache-2.0
// Threads over units of text. One mutex guards all state; reading and encoding go on without
// it.
#include "trireme/data/text_pool.hpp"

#include <algorithm>

#include "scratch_file.hpp"

namespace trireme {

namespace {

std::int64_t size_in_memory(const TextPieces& pieces) {
  return std::ssize(pieces.tokens) * static_cast<std::int64_t>(sizeof(std::int32_t)) +
         std::ssize(pieces.mask) +
         std::ssize(pieces.ends) * static_cast<std::int64_t>(sizeof(DocumentEnd));
}

}  // namespace

/// A finished part: in memory, in the scratch file, or failed.
struct TextPool::Part {
  TextPieces pieces{};
  std::int64_t offset = -1;  ///< in the scratch file
  std::int64_t bytes = 0;
  std::optional<Error> error{};
};

struct TextPool::Unit {
  std::int64_t number = 0;
  bool stream = false;
  std::unique_ptr<StreamReader> reader{};
  bool reading = false;        ///< a thread reads the stream
  bool read = false;           ///< to its end
  std::int64_t parts = 0;      ///< parts that were read
  std::int64_t delivered = 0;  ///< parts that the caller has
  std::map<std::int64_t, Part> done{};
  std::unique_ptr<ScratchFile> scratch{};
};

TextPool::TextPool(const TextBlocks& blocks, std::vector<std::int64_t> units,
                   PoolOptions options)
    : blocks_(blocks), units_(std::move(units)), options_(std::move(options)) {
  const auto most = static_cast<std::int64_t>(options_.threads);
  std::int64_t threads = std::min(most, std::ssize(units_));
  for (const std::int64_t unit : units_) {
    if (threads == most || blocks_.place(unit).stream) {
      threads = most;  // several threads share a stream
      break;
    }
  }
  for (std::int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

TextPool::~TextPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::optional<TextPool::Delivery> TextPool::next() {
  std::unique_lock lock(mutex_);
  const auto has_next = [&] {
    return !begun_.empty() && begun_.front()->done.contains(begun_.front()->delivered);
  };
  if (begun_.empty() && next_unit_ == units_.size()) return std::nullopt;
  ready_.wait(lock, has_next);
  Unit& unit = *begun_.front();
  Part part = std::move(unit.done.at(unit.delivered));
  unit.done.erase(unit.delivered);
  if (part.error) throw Error(*part.error);
  ++unit.delivered;
  Delivery delivery{unit.number, std::move(part.pieces),
                    unit.read && unit.delivered == unit.parts};
  if (part.offset < 0) {
    held_ -= part.bytes;
  } else {
    const std::string bytes = unit.scratch->read(part.offset, part.bytes);
    delivery.pieces = unpack(bytes, options_.wide);
  }
  if (delivery.ends_unit) begun_.pop_front();
  work_.notify_all();
  return delivery;
}

bool TextPool::has_room(const Unit& unit) const {
  // Half of the memory is for the unit that the caller waits for, which is never held up.
  const bool first = begun_.empty() || begun_.front().get() == &unit;
  if (held_ < (first ? options_.memory : options_.memory / 2)) return true;
  return first && unit.parts == unit.delivered;
}

/// The first stream of which a thread may read the next part.
TextPool::Unit* TextPool::open_stream() {
  for (const auto& unit : begun_) {
    if (!unit->stream || unit->reading || unit->read) continue;
    // Parts of later streams go to the scratch file if memory has no room.
    if (unit != begun_.front() || has_room(*unit)) return unit.get();
  }
  return nullptr;
}

/// Begins the next unit, if there is one and room for it.
TextPool::Unit* TextPool::start_unit() {
  // Far ahead of the caller, streams would fill the disk.
  const auto most = 4 * static_cast<std::size_t>(options_.threads) + 4;
  if (next_unit_ == units_.size()) return nullptr;
  auto unit = std::make_unique<Unit>();
  unit->number = units_[next_unit_];
  unit->stream = blocks_.place(unit->number).stream;
  const bool room = unit->stream ? begun_.size() < most || begun_.empty() : has_room(*unit);
  if (!room) return nullptr;
  ++next_unit_;
  begun_.push_back(std::move(unit));
  return begun_.back().get();
}

void TextPool::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (Unit* unit = open_stream()) {
      read_stream(lock, *unit);
    } else if (Unit* begun = start_unit()) {
      if (begun->stream) {
        read_stream(lock, *begun);
      } else {
        read_block(lock, *begun);
      }
    } else {
      work_.wait(lock);
    }
  }
}

void TextPool::read_block(std::unique_lock<std::mutex>& lock, Unit& unit) {
  unit.read = true;
  unit.parts = 1;
  lock.unlock();
  TextPieces pieces;
  const auto error = failure_of([&] { pieces = blocks_.read(unit.number); });
  lock.lock();
  store(lock, unit, 0, std::move(pieces), error);
}

void TextPool::read_stream(std::unique_lock<std::mutex>& lock, Unit& unit) {
  unit.reading = true;
  const std::int64_t number = unit.parts++;
  lock.unlock();
  TextChunk chunk;
  bool at_end = true;
  auto error = failure_of([&] {
    if (unit.reader == nullptr) unit.reader = blocks_.open(unit.number);
    chunk = unit.reader->next();
    at_end = unit.reader->at_end();
  });
  if (at_end) unit.reader = nullptr;
  lock.lock();
  unit.reading = false;
  unit.read = at_end;
  lock.unlock();
  work_.notify_one();
  TextPieces pieces;
  if (!error) {
    error = failure_of([&] { pieces = blocks_.encode(unit.number, std::move(chunk)); });
  }
  lock.lock();
  store(lock, unit, number, std::move(pieces), error);
}

void TextPool::store(std::unique_lock<std::mutex>& lock, Unit& unit, std::int64_t number,
                     TextPieces&& pieces, const std::optional<Error>& error) {
  Part part{.pieces = std::move(pieces), .error = error};
  part.bytes = size_in_memory(part.pieces);
  const bool spill = !error && unit.stream && &unit != begun_.front().get() &&
                     held_ + part.bytes > options_.memory / 2;
  if (spill) {
    lock.unlock();
    std::string bytes;
    pack(part.pieces, options_.wide, bytes);
    part.pieces = {};
    lock.lock();
    // The scratch file has one writer or reader at a time.
    part.error = failure_of([&] {
      if (unit.scratch == nullptr) {
        unit.scratch = std::make_unique<ScratchFile>(options_.folder);
      }
      part.offset = unit.scratch->append(bytes);
      part.bytes = std::ssize(bytes);
    });
  } else {
    held_ += part.bytes;
  }
  unit.done.emplace(number, std::move(part));
  ready_.notify_all();
  work_.notify_all();
}

}  // namespace trireme
