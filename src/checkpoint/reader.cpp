// SPDX-License-Identifier: Apache-2.0
// Filling boxes from the pieces that overlap the box.
#include "trireme/checkpoint/reader.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "trireme/h5/checksum.hpp"

#include "index.hpp"
#include "manifest.hpp"
#include "shard.hpp"
#include "stored_piece.hpp"

namespace trireme {

namespace {

using checkpoint::Location;
using checkpoint::StoredPiece;
using checkpoint::StoredTensor;

constexpr std::size_t kOpenShards = 64;  // well below the usual limit of open files

/// Calls f. If f throws, the Error begins with `what`.
template <class F>
decltype(auto) naming(const std::string& what, F f) {
  try {
    return f();
  } catch (const Error& e) {
    throw e.saying(fmt::format("checkpoint {}: {}", what, e.what()));
  }
}

std::string tensor_in(const std::string& folder, const std::string& name) {
  return fmt::format("{}: tensor {}", folder, name);
}

const CheckpointReader::Shard& record_of(const std::vector<CheckpointReader::Shard>& shards,
                                         std::int64_t number) {
  const auto at =
      std::ranges::lower_bound(shards, number, {}, &CheckpointReader::Shard::number);
  TRM_REQUIRE(at != shards.end() && at->number == number,
              "{} is not one of the checkpoint's files", checkpoint::shard_file(number));
  return *at;
}

void require_tiling(const Box& region, std::vector<Box> parts) {
  const std::string error = checkpoint::tiling_error(region, std::move(parts));
  TRM_REQUIRE(error.empty(), "{}", error);
}

}  // namespace

CheckpointReader::CheckpointReader(const std::string& checkpoint_folder)
    : folder_(checkpoint_folder) {
  std::error_code code;
  TRM_REQUIRE(std::filesystem::is_directory(folder_, code), "{}: there is no such folder",
              folder_);
  try {
    file_ = checkpoint::open_index(folder_);
    state_ = checkpoint::load_state(file_);
    shards_ = checkpoint::load_shards(file_);
  } catch (const Error& e) {
    throw e.saying(fmt::format("{}: not a complete checkpoint: {}", folder_, e.what()));
  }
}

bool CheckpointReader::has(const std::string& name) const {
  return checkpoint::has_tensor(file_, name);
}

Shape CheckpointReader::global_shape(const std::string& name) const {
  return naming(tensor_in(folder_, name),
                [&] { return checkpoint::load_tensor(file_, name).global; });
}

DType CheckpointReader::dtype(const std::string& name) const {
  return naming(tensor_in(folder_, name),
                [&] { return checkpoint::load_tensor(file_, name).dtype; });
}

std::int64_t CheckpointReader::pieces(const std::string& name) const {
  return naming(tensor_in(folder_, name), [&] {
    return static_cast<std::int64_t>(checkpoint::load_tensor(file_, name).pieces.size());
  });
}

std::vector<std::string> CheckpointReader::names() const {
  return checkpoint::tensor_names(file_);
}

const h5::File& CheckpointReader::shard(std::int64_t number) {
  const auto known = open_.find(number);
  if (known != open_.end()) return known->second;
  const Shard& record = record_of(shards_, number);
  if (open_.size() >= kOpenShards) open_.erase(open_.begin());
  return open_.emplace(number, checkpoint::open_shard(folder_, record, state_.iteration))
      .first->second;
}

void CheckpointReader::read(const std::string& name, const Shape& global, const Box& box,
                            const View& to) {
  naming(tensor_in(folder_, name), [&] {
    const StoredTensor tensor = checkpoint::load_tensor(file_, name);
    TRM_REQUIRE(tensor.global == global, "its shape is {}, this run needs {}",
                tensor.global.str(), global.str());
    TRM_REQUIRE(tensor.dtype == to.dtype(), "it holds {}, this run needs {}",
                name_of(tensor.dtype), name_of(to.dtype()));
    TRM_CHECK(box.inside(global) && to.count() == box.count() &&
                  (to.contiguous() || to.cols() == box.extent.cols()),
              "{} to be filled with the part at {} of extent {} in {}", to.shape().str(),
              box.offset.str(), box.extent.str(), global.str());
    if (box.count() == 0) return;
    std::vector<Location> needed;
    std::vector<Box> parts;
    for (const Location& p : tensor.pieces) {
      if (const auto common = intersect(p.box, box)) {
        needed.push_back(p);
        parts.push_back(*common);
      }
    }
    require_tiling(box, parts);
    const View target = to.contiguous() ? to.reshape(box.extent) : to;
    for (std::size_t i = 0; i < needed.size(); ++i) {
      const Location& p = needed[i];
      StoredPiece(shard(p.shard), p.dataset, tensor.dtype, global, p.box)
          .read(parts[i], box, target);
    }
  });
}

void CheckpointReader::check_files() const {
  naming(folder_, [&] {
    for (const Shard& s : shards_) {
      const std::string path = fmt::format("{}/{}", folder_, checkpoint::shard_file(s.number));
      const std::int64_t bytes = h5::size_of_file(path);
      TRM_REQUIRE(bytes == s.bytes, "{}: it has {} bytes and should have {}", path, bytes,
                  s.bytes);
    }
  });
}

void CheckpointReader::verify(const std::function<void(std::int64_t bytes)>& progress) {
  check_files();
  std::map<std::int64_t, std::vector<std::pair<std::string, std::size_t>>> by_shard;
  std::map<std::string, StoredTensor> tensors;
  for (const std::string& name : names()) {
    naming(tensor_in(folder_, name), [&] {
      const StoredTensor& t =
          tensors.emplace(name, checkpoint::load_tensor(file_, name)).first->second;
      std::vector<Box> boxes;
      for (std::size_t i = 0; i < t.pieces.size(); ++i) {
        boxes.push_back(t.pieces[i].box);
        by_shard[record_of(shards_, t.pieces[i].shard).number].emplace_back(name, i);
      }
      require_tiling(Box::whole(t.global), std::move(boxes));
    });
  }
  for (const Shard& s : shards_) {
    const h5::File& file =
        naming(folder_, [&]() -> const h5::File& { return shard(s.number); });
    for (const auto& [name, i] : by_shard[s.number]) {
      naming(tensor_in(folder_, name), [&] {
        const StoredTensor& t = tensors.at(name);
        const Location& p = t.pieces[i];
        StoredPiece(file, p.dataset, t.dtype, t.global, p.box).verify();
      });
    }
    progress(s.bytes);
  }
}

}  // namespace trireme
