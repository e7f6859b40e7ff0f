// SPDX-License-Identifier: Apache-2.0
// Ranks that share a writer, and their copies of the state.
#include "staging.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <sstream>

#include "trireme/comm/collectively.hpp"

namespace trireme::checkpoint {

namespace {

/// A number for each node, equal on its ranks, in the order of their first ranks.
int node_number(const std::string& node, Communicator& world) {
  std::string table;
  for (const std::string& name : world.gather_text(node, 0)) table += name + '\n';
  std::istringstream names(world.broadcast_text(table, 0));
  std::map<std::string, int> known;
  for (std::string name; std::getline(names, name);) {
    known.try_emplace(name, static_cast<int>(known.size()));
  }
  return known.at(node);
}

Piece with_data(const Piece& piece, const std::byte* data) {
  Piece copy = piece;
  copy.data = ConstView(data, piece.data.dtype(), piece.box.extent);
  copy.stored = nullptr;
  return copy;
}

}  // namespace

Staging::Staging(const SaveOptions& options, std::vector<Piece> mine,
                 const std::optional<StateHome>& home, Communicator& world)
    : mine_(std::move(mine)), home_(home), writer_(world.rank()) {
  const bool copies = options.async || options.writers_per_node > 0 || home_;
  for (const Piece& p : mine_) {
    TRM_CHECK(!(copies && p.stored && !p.stored->may_be_copied()),
              "{}: a copy would bring a file into memory", p.name);
    offsets_.push_back(bytes_);
    bytes_ += bytes_in_copy(p.data.bytes());
  }
  if (options.writers_per_node > 0) {
    join_writers(options, world);
    collect();
    return;
  }
  if (!options.async && !home_) {
    bytes_ = 0;
    to_write_ = mine_;
    return;
  }
  collectively(world, [&] {
    const auto failure = failure_of([&] { take_memory(); });
    if (!failure) return;
    throw failure->saying(
        fmt::format("no memory for a copy of {} bytes of the state ({}); free some{}", bytes_,
                    failure->what(), home_ ? "" : ", or set checkpoint.async: false"));
  });
  for (std::size_t i = 0; i < mine_.size(); ++i) {
    to_write_.push_back(with_data(mine_[i], memory() + offsets_[i]));
  }
}

void Staging::take_memory() {
  if (home_ && bytes_ > 0) {
    pinned_.emplace(home_->device, bytes_);
  } else {
    own_ = std::make_unique_for_overwrite<std::byte[]>(bytes_);
  }
}

void Staging::join_writers(const SaveOptions& options, Communicator& world) {
  const auto node = world.split(node_number(options.node, world), world.rank());
  const std::int64_t group = writer_group(node->rank(), node->size(), options.writers_per_node);
  group_ = node->split(static_cast<int>(group), node->rank());
  std::int64_t first = world.rank();
  group_->broadcast(View(&first, DType::i64, Shape{1}), 0);
  writer_ = static_cast<int>(first);
  collectively(world, [&] {
    shared_ = std::make_unique<SharedMemory>(*group_, bytes_);
    if (home_ && bytes_ > 0) ring_.emplace(*home_, memory(), bytes_);
  });
}

/// Gathers on the writer, once, which pieces the other ranks contribute to every save.
void Staging::collect() {
  std::string lines;
  for (const Piece& p : mine_) lines += text_of({p.name, p.data.dtype(), p.global, p.box});
  const auto all = group_->gather_text(lines, 0);
  for (std::size_t r = 0; r < all.size(); ++r) {
    std::size_t at = 0;
    for (const Line& line : lines_of(all[r])) {
      const ConstView data(shared_->part(static_cast<int>(r)) + at, line.dtype,
                           line.box.extent);
      to_write_.push_back({line.name, line.global, line.box, data});
      at += bytes_in_copy(to_write_.back().data.bytes());
    }
  }
}

std::byte* Staging::memory() const {
  if (shared_) return shared_->part(group_->rank());
  return pinned_ ? static_cast<std::byte*>(pinned_->data()) : own_.get();
}

void Staging::touch() {
  if (own_) std::memset(own_.get(), 0, bytes_);  // pinned memory has its pages already
}

void Staging::take() {
  for (std::size_t i = 0; bytes_ > 0 && i < mine_.size(); ++i) {
    const ConstView& from = mine_[i].data;
    if (mine_[i].stored) {
      mine_[i].stored->read(mine_[i].first, from.count(), memory() + offsets_[i]);
    } else if (ring_) {
      ring_->copy(offsets_[i], from);
    } else if (home_) {
      home_->device.copy_to_host(memory() + offsets_[i], from.raw(), from.bytes(),
                                 home_->stream);
    } else {
      std::memcpy(memory() + offsets_[i], from.raw(), from.bytes());
    }
  }
  if (ring_) {
    ring_->wait();
  } else if (home_ && bytes_ > 0) {
    home_->stream.synchronize();
  }
  if (group_) group_->barrier();  // the writer may begin now
}

}  // namespace trireme::checkpoint
