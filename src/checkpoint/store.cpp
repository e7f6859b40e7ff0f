// SPDX-License-Identifier: Apache-2.0
// Writing and reading checkpoints.
#include "trireme/checkpoint/store.hpp"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>

#include "durable.hpp"
#include "manifest.hpp"

namespace trireme {

namespace {

using checkpoint::Entry;
using checkpoint::Manifest;
using checkpoint::Piece;

constexpr const char* kFormat = "trireme checkpoint";
constexpr std::int64_t kFormatVersion = 1;
constexpr std::size_t kOpenShards = 64;  // well below the usual limit of open files
constexpr const char* kMainFile = "checkpoint.h5";

std::string shard_path(const std::string& folder, std::int64_t number) {
  return fmt::format("{}/shard-{:05}.h5", folder, number);
}

/// Both files of a checkpoint say what they are and belong to.
void stamp(h5::File& file, std::int64_t iteration) {
  file.set_attribute("format", kFormat);
  file.set_attribute("format_version", kFormatVersion);
  file.set_attribute("iteration", iteration);
}

void require_stamp(const h5::File& file) {
  TRM_REQUIRE(file.has_attribute("format") && file.text("format") == kFormat,
              "{}: not part of a checkpoint", file.path());
  const std::int64_t version = file.integer("format_version");
  TRM_REQUIRE(version == kFormatVersion,
              "{}: its format has version {}; this program reads version {}", file.path(),
              version, kFormatVersion);
}

void save_state(h5::File& file, const RunState& state) {
  file.set_attribute("samples_consumed", state.samples_consumed);
  file.set_attribute("optimizer_steps", state.optimizer_steps);
  file.set_attribute("seed", std::bit_cast<std::int64_t>(state.seed));
  file.set_attribute("deck", state.deck);
  file.set_attribute("version", state.version);
  file.set_attribute("mesh", state.mesh);
}

RunState load_state(const h5::File& file) {
  RunState state;
  state.iteration = file.integer("iteration");
  state.samples_consumed = file.integer("samples_consumed");
  state.optimizer_steps = file.integer("optimizer_steps");
  state.seed = std::bit_cast<std::uint64_t>(file.integer("seed"));
  state.deck = file.text("deck");
  state.version = file.text("version");
  state.mesh = file.text("mesh");
  TRM_REQUIRE(state.iteration >= 0 && state.samples_consumed >= 0 && state.optimizer_steps >= 0,
              "{}: a negative count of iterations, samples or steps", file.path());
  return state;
}

std::vector<std::int64_t> list(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

/// Checksums need chunks, and chunks an axis.
Shape stored_shape(const Shape& extent) { return extent.rank() == 0 ? Shape{1} : extent; }
Box with_axis(const Box& box) { return box.offset.rank() == 0 ? Box(Shape{0}, Shape{1}) : box; }

/// Reads `common`, a part of both `piece` (all of `dataset`) and `region` (all of `to`). All
/// have at least one axis. One call per matrix, since a View has but one stride.
void read_common(const h5::Dataset& dataset, const Box& piece, const Box& common,
                 const Box& region, const View& to) {
  const int rank = common.extent.rank();
  std::int64_t matrices = 1;
  for (int axis = 0; axis + 2 < rank; ++axis) matrices *= common.extent[axis];
  for (std::int64_t m = 0; m < matrices; ++m) {
    Box at = common;
    std::int64_t rest = m;
    for (int axis = rank - 3; axis >= 0; --axis) {
      at.offset[axis] += rest % common.extent[axis];
      at.extent[axis] = 1;
      rest /= common.extent[axis];
    }
    std::int64_t row = 0;
    for (int axis = 0; axis + 1 < rank; ++axis) {
      row = row * region.extent[axis] + at.offset[axis] - region.offset[axis];
    }
    const View rows = to.slice_rows(row, at.extent.rows());
    const View window =
        rows.slice_cols(at.offset[rank - 1] - region.offset[rank - 1], at.extent[rank - 1]);
    for (int axis = 0; axis < rank; ++axis) at.offset[axis] -= piece.offset[axis];
    dataset.read(at, window);
  }
}

/// The dataset of a piece, which must be as the manifest says.
h5::Dataset open_piece(const h5::File& shard, const std::string& name, const Entry& entry,
                       const Box& box) {
  const h5::Dataset dataset = shard.dataset(checkpoint::dataset_name(name, box));
  TRM_REQUIRE(dataset.dtype() == entry.dtype && dataset.shape() == stored_shape(box.extent) &&
                  dataset.integers("offset") == list(box.offset) &&
                  dataset.integers("global_shape") == list(entry.global),
              "{}: it is not the piece at {} of extent {} that {} promises", dataset.where(),
              box.offset.str(), box.extent.str(), kMainFile);
  return dataset;
}

/// f(), with folder and tensor before the reason of its Error.
template <class F>
auto naming(const std::string& folder, const std::string& tensor, F f) {
  try {
    return f();
  } catch (const Error& e) {
    throw Error(fmt::format("checkpoint {}: tensor {}: {}", folder, tensor, e.what()));
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(const std::string& save, std::int64_t iteration,
                                   Communicator& world)
    : save_(std::filesystem::absolute(save).lexically_normal().string()),
      temporary_(fmt::format("{}/global_step{}.tmp", save_, iteration)),
      iteration_(iteration),
      world_(world) {
  if (world_.rank() == 0) {
    attempt([&] {
      checkpoint::make_folder(save_);
      checkpoint::remove_all(temporary_);
      checkpoint::make_folder(temporary_);
    });
  }
  world_.agree(error_);
}

template <class F>
void CheckpointWriter::attempt(F f) {
  if (!error_.empty()) return;
  try {
    f();
  } catch (const Error& e) {
    error_ = e.what();
  }
}

void CheckpointWriter::write(const std::string& name, const Shape& global, const Box& box,
                             const ConstView& piece) {
  attempt([&] {
    checkpoint::require_name(name);
    TRM_CHECK(box.inside(global) && piece.count() == box.count(),
              "{}: {} elements as the part at {} of extent {} in {}", name, piece.count(),
              box.offset.str(), box.extent.str(), global.str());
    pieces_ += checkpoint::line_of(name, piece.dtype(), global, box);
    if (box.count() == 0) return;
    if (!shard_) {
      shard_.emplace(shard_path(temporary_, world_.rank()), h5::Mode::create);
      stamp(*shard_, iteration_);
    }
    auto dataset = shard_->create_dataset(checkpoint::dataset_name(name, box), piece.dtype(),
                                          stored_shape(box.extent), {.checksum = true});
    dataset.write(piece);
    dataset.set_attribute("offset", list(box.offset));
    dataset.set_attribute("global_shape", list(global));
  });
}

void CheckpointWriter::agree_or_remove() {
  try {
    world_.agree(error_);
  } catch (const Error&) {
    std::error_code ignored;  // the first error is the one to tell
    if (world_.rank() == 0) std::filesystem::remove_all(temporary_, ignored);
    throw;
  }
}

void CheckpointWriter::finish(const RunState& state) {
  attempt([&] {
    TRM_CHECK(state.iteration == iteration_, "state of iteration {} in the checkpoint of {}",
              state.iteration, iteration_);
    if (!shard_) return;
    const std::string path = shard_->path();
    shard_->close();
    checkpoint::sync(path);
  });
  shard_.reset();
  agree_or_remove();

  const auto pieces = world_.gather_text(pieces_, 0);
  attempt([&] {
    if (world_.rank() != 0) return;
    Manifest manifest;
    for (std::size_t r = 0; r < pieces.size(); ++r) {
      checkpoint::add_lines(manifest, pieces[r], static_cast<std::int64_t>(r));
    }
    checkpoint::require_tilings(manifest);
    const std::string path = fmt::format("{}/{}", temporary_, kMainFile);
    h5::File file(path, h5::Mode::create);
    stamp(file, iteration_);
    save_state(file, state);
    checkpoint::save_manifest(file, manifest);
    file.close();
    checkpoint::sync(path);
    checkpoint::sync(temporary_);
    const std::string name = fmt::format("global_step{}", iteration_);
    checkpoint::replace_folder(temporary_, fmt::format("{}/{}", save_, name));
    checkpoint::replace_text(save_ + "/latest", name + "\n");
  });
  agree_or_remove();
}

std::optional<std::string> find_latest(const std::string& folder) {
  const std::string path = folder + "/latest";
  std::error_code code;
  if (!std::filesystem::exists(folder, code)) return std::nullopt;
  TRM_REQUIRE(std::filesystem::is_directory(folder, code), "{}: not a folder", folder);
  if (!std::filesystem::exists(path, code)) return std::nullopt;

  std::string name(256, '\0');  // no file name is longer
  std::ifstream file(path, std::ios::binary);
  file.read(name.data(), static_cast<std::streamsize>(name.size()));
  TRM_REQUIRE(!file.bad() && file.gcount() > 0, "{}: empty or not readable", path);
  name.resize(static_cast<std::size_t>(file.gcount()));
  name.erase(name.find_last_not_of(" \t\r\n") + 1);
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](char c) { return c > ' ' && c != '/' && c != '\x7f'; });
  TRM_REQUIRE(plain && !name.empty() && !name.starts_with('.'),
              "{}: it should hold the name of a checkpoint beside it, like global_step100",
              path);
  // A save that died while it replaced this very checkpoint may have left the old one aside.
  for (const std::string& found : {folder + "/" + name, folder + "/" + name + ".old"}) {
    if (std::filesystem::is_directory(found, code)) return found;
  }
  throw Error(fmt::format("{}: it names {}, but there is no such folder", path, name));
}

CheckpointReader::CheckpointReader(const std::string& checkpoint_folder)
    : folder_(checkpoint_folder) {
  std::error_code code;
  TRM_REQUIRE(std::filesystem::is_directory(folder_, code), "{}: there is no such folder",
              folder_);
  try {
    file_ = h5::File(fmt::format("{}/{}", folder_, kMainFile), h5::Mode::read);
    require_stamp(file_);
    state_ = load_state(file_);
  } catch (const Error& e) {
    throw Error(fmt::format("{}: not a complete checkpoint: {}", folder_, e.what()));
  }
}

bool CheckpointReader::has(const std::string& name) const {
  return checkpoint::in_manifest(file_, name);
}

Shape CheckpointReader::global_shape(const std::string& name) const {
  return naming(folder_, name, [&] { return checkpoint::load_entry(file_, name).global; });
}

DType CheckpointReader::dtype(const std::string& name) const {
  return naming(folder_, name, [&] { return checkpoint::load_entry(file_, name).dtype; });
}

std::vector<std::string> CheckpointReader::names() const {
  return checkpoint::manifest_names(file_);
}

const h5::File& CheckpointReader::shard(std::int64_t number) {
  const auto known = shards_.find(number);
  if (known != shards_.end()) return known->second;
  if (shards_.size() >= kOpenShards) shards_.clear();
  h5::File file(shard_path(folder_, number), h5::Mode::read);
  require_stamp(file);
  TRM_REQUIRE(file.integer("iteration") == state_.iteration,
              "{}: it is of iteration {}, the checkpoint of {}", file.path(),
              file.integer("iteration"), state_.iteration);
  return shards_.emplace(number, std::move(file)).first->second;
}

void CheckpointReader::read(const std::string& name, const Box& box, const View& to) {
  read(name, global_shape(name), box, to);
}

void CheckpointReader::read(const std::string& name, const Shape& global, const Box& box,
                            const View& to) {
  naming(folder_, name, [&] {
    const Entry entry = checkpoint::load_entry(file_, name);
    TRM_REQUIRE(entry.global == global, "its shape is {}, this run needs {}",
                entry.global.str(), global.str());
    TRM_REQUIRE(entry.dtype == to.dtype(), "it holds {}, this run needs {}",
                name_of(entry.dtype), name_of(to.dtype()));
    TRM_CHECK(box.inside(global) && to.count() == box.count() &&
                  (to.contiguous() || to.cols() == box.extent.cols()),
              "{} to be filled with the part at {} of extent {} in {}", to.shape().str(),
              box.offset.str(), box.extent.str(), global.str());
    if (box.count() == 0) return;
    std::vector<Piece> needed;
    std::vector<Box> parts;
    for (const Piece& p : entry.pieces) {
      if (const auto common = intersect(p.box, box)) {
        needed.push_back(p);
        parts.push_back(*common);
      }
    }
    const std::string error = checkpoint::tiling_error(box, parts);
    TRM_REQUIRE(error.empty(), "{}", error);
    const Box region = with_axis(box);
    const View target = to.contiguous() ? to.reshape(region.extent) : to;
    for (std::size_t i = 0; i < needed.size(); ++i) {
      const auto dataset = open_piece(shard(needed[i].shard), name, entry, needed[i].box);
      read_common(dataset, with_axis(needed[i].box), with_axis(parts[i]), region, target);
    }
  });
}

}  // namespace trireme
