// SPDX-License-Identifier: Apache-2.0
// Writing and reading checkpoint.h5.
#include "index.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "trireme/core/replacement.hpp"
#include "trireme/h5/checksum.hpp"

#include "shard.hpp"
#include "stored_piece.hpp"

namespace trireme::checkpoint {

namespace {

constexpr const char* kFile = "checkpoint.h5";
constexpr const char* kStorage = "storage";
constexpr const char* kModel = "/model";
constexpr const char* kMaster = "optimizer/master";  // a link to kModel where these are equal
constexpr const char* kShards = "storage/shards";
constexpr const char* kTokenizer = "storage/tokenizer";
constexpr const char* kFrames = "storage/frames";
constexpr h5::Seal kSeal{
    .kind = "checkpoint", .version = kFormatVersion, .bytes = 512, .oldest = kOldestVersion};
/// More than any run reaches; products with the numbers of a batch do not overflow.
constexpr std::int64_t kMostSamples = std::int64_t{1} << 44U;
constexpr std::int64_t kMostDefinition = std::int64_t{1} << 30U;  // bytes of a tokenizer
constexpr int kMostGroups = 16;  // levels of groups; a cycle of names must end

std::string path_in(const std::string& folder) { return fmt::format("{}/{}", folder, kFile); }

void save_state(h5::File& file, const RunState& state) {
  file.set_attribute("samples_consumed", state.samples_consumed);
  file.set_attribute("optimizer_steps", state.optimizer_steps);
  file.set_attribute("seed", std::bit_cast<std::int64_t>(state.seed));
  file.set_attribute("loss_scale", state.loss_scale);
  file.set_attribute("loss_scale_clean_steps", state.clean_steps);
  file.set_attribute("loss_scale_hysteresis", state.hysteresis);
  file.set_attribute("deck", state.deck);
  if (!state.data.empty()) file.set_attribute("data", state.data);
  if (state.began) {
    if (!state.began->load.empty()) file.set_attribute("began_load", state.began->load);
    file.set_attribute("began_finetune", std::int64_t{state.began->finetune});
  }
  file.set_attribute("version", state.version);
  file.set_attribute("mesh", state.mesh);
}

/// A definition may have megabytes, of which compression leaves a third.
void save_tokenizer(h5::File& file, const RunState& state) {
  if (state.tokenizer_kind.empty()) return;
  const std::string& text = state.tokenizer_definition;
  const Shape shape{std::ssize(text)};
  auto dataset =
      file.create_dataset(kTokenizer, DType::u8, shape,
                          {.checksum = !text.empty(), .deflate = text.empty() ? 0 : 1});
  dataset.set_attribute("kind", state.tokenizer_kind);
  if (text.empty()) return;
  dataset.write(ConstView(text.data(), DType::u8, shape));
  // HDF5 keeps the chunk until the dataset is closed, which would not report a full disk.
  file.flush();
}

void load_tokenizer(const h5::File& file, RunState& state) {
  if (!file.has_dataset(kTokenizer)) return;
  const h5::Dataset dataset = file.dataset(kTokenizer);
  const Shape shape = dataset.shape();
  TRM_REQUIRE(dataset.dtype() == DType::u8 && shape.rank() == 1 && shape[0] <= kMostDefinition,
              "{}: not the text of a tokenizer", dataset.where());
  state.tokenizer_kind = dataset.text("kind");
  std::string& text = state.tokenizer_definition;
  text.resize(static_cast<std::size_t>(shape[0]));
  if (!text.empty()) dataset.read(View(text.data(), DType::u8, shape));
}

void save_tensors(h5::File& file, const Manifest& manifest) {
  bool master = false;
  for (const auto& [name, entry] : manifest) {
    std::vector<h5::Source> sources;
    sources.reserve(entry.places.size());
    for (const Place& p : entry.places) {
      sources.push_back({shard_file(p.shard), dataset_name(name, p.box), p.box});
    }
    file.create_virtual_dataset(name, entry.dtype, entry.global, sources);
    master = master || name.starts_with("optimizer/master/");
  }
  if (!master) file.create_link(kMaster, kModel);
}

void save_rows(h5::File& file, const char* name, const std::vector<std::int64_t>& rows) {
  const Shape shape{static_cast<std::int64_t>(rows.size() / 3), 3};
  auto dataset = file.create_dataset(name, DType::i64, shape, {.checksum = true});
  if (!rows.empty()) dataset.write(ConstView(rows.data(), DType::i64, shape));
}

void save_shards(h5::File& file, const std::vector<CheckpointReader::Shard>& shards) {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> ranges;
  for (const auto& s : shards) {
    rows.insert(rows.end(), {s.number, s.bytes, std::bit_cast<std::int64_t>(s.sum)});
    for (const h5::Extent& e : s.frame) {
      ranges.insert(ranges.end(), {s.number, e.offset, e.bytes});
    }
  }
  save_rows(file, kShards, rows);
  save_rows(file, kFrames, ranges);
}

std::vector<std::int64_t> load_rows(const h5::File& file, const char* name) {
  const h5::Dataset dataset = file.dataset(name);
  const Shape shape = dataset.shape();
  TRM_REQUIRE(dataset.dtype() == DType::i64 && shape.rank() == 2 && shape[1] == 3,
              "{}: not rows of three integers", dataset.where());
  TRM_REQUIRE(shape[0] <= h5::size_of_file(file.path()),
              "{}: {} rows are more than the file holds", dataset.where(), shape[0]);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(shape.count()));
  if (!rows.empty()) dataset.read(View(rows.data(), DType::i64, shape));
  return rows;
}

void collect(const h5::Group& group, const std::string& prefix, int level,
             std::vector<std::string>& names) {
  TRM_REQUIRE(level < kMostGroups, "{}: HDF5 groups in each other without end", group.where());
  for (const auto& member : group.names()) {
    const std::string name = prefix + member;
    if (group.is_link(member)) {
      TRM_REQUIRE(name == kMaster && group.link_target(member) == kModel,
                  "{}: {} is a link, which Trireme does not follow", group.where(), name);
      continue;
    }
    if (group.has_dataset(member)) {
      names.push_back(name);
    } else if (name != kStorage) {
      collect(group.group(member), name + "/", level + 1, names);
    }
  }
}

/// The name under which a tensor is stored: that of the values, where these are the masters.
std::string stored_name(const h5::File& file, const std::string& name) {
  const std::string masters = fmt::format("{}/", kMaster);
  if (!name.starts_with(masters) || !file.is_link(kMaster)) return name;
  TRM_REQUIRE(file.link_target(kMaster) == kModel, "{} is no link to {}", kMaster, kModel);
  return fmt::format("model/{}", name.substr(masters.size()));
}

std::int64_t shard_number(const std::string& file) {
  std::int64_t number = -1;
  const std::size_t from = file.find('-') + 1;
  std::from_chars(file.data() + from, file.data() + file.size(), number);
  TRM_REQUIRE(number >= 0 && file == shard_file(number), "{} is not a shard's name", file);
  return number;
}

}  // namespace

void write_index(const std::string& folder, const RunState& state, const Manifest& manifest,
                 const std::vector<CheckpointReader::Shard>& shards) {
  const std::string path = path_in(folder);
  h5::File file(path, h5::Mode::create, {.checksums = true, .user_block = kSeal.bytes});
  stamp(file, state.iteration);
  save_state(file, state);
  save_tokenizer(file, state);
  save_tensors(file, manifest);
  save_shards(file, shards);
  file.close();
  h5::write_seal(path, kSeal);
  sync_to_disk(path);
}

h5::File open_index(const std::string& folder) {
  const std::string path = path_in(folder);
  // Check before HDF5 opens the file: HDF5 trusts its content, and can crash on damage.
  TRM_REQUIRE(h5::check_seal(path, kSeal) == h5::SealState::whole,
              "{}: no checkpoint, or of an older format", path);
  h5::File file(path, h5::Mode::read);
  require_stamp(file);
  return file;
}

RunState load_state(const h5::File& file) {
  RunState state;
  state.format_version = file.integer("format_version");
  state.iteration = file.integer("iteration");
  state.samples_consumed = file.integer("samples_consumed");
  state.optimizer_steps = file.integer("optimizer_steps");
  state.seed = std::bit_cast<std::uint64_t>(file.integer("seed"));
  state.loss_scale = file.number("loss_scale");
  if (file.has_attribute("loss_scale_hysteresis")) {  // earlier versions had fp32 alone
    state.clean_steps = file.integer("loss_scale_clean_steps");
    state.hysteresis = file.integer("loss_scale_hysteresis");
  }
  state.deck = file.text("deck");
  if (file.has_attribute("data")) state.data = file.text("data");
  if (file.has_attribute("began_finetune")) {
    state.began = {.load = file.has_attribute("began_load") ? file.text("began_load") : "",
                   .finetune = file.integer("began_finetune") != 0};
  }
  load_tokenizer(file, state);
  state.version = file.text("version");
  state.mesh = file.text("mesh");
  for (const std::int64_t count :
       {state.iteration, state.samples_consumed, state.optimizer_steps}) {
    TRM_REQUIRE(count >= 0 && count <= kMostSamples,
                "{}: {} iterations, {} samples and {} steps are no counts from 0 to {}",
                file.path(), state.iteration, state.samples_consumed, state.optimizer_steps,
                kMostSamples);
  }
  TRM_REQUIRE(std::isfinite(state.loss_scale) && state.loss_scale > 0 &&
                  state.clean_steps >= 0 && state.hysteresis >= -1,
              "{}: no state of a loss scale: {}, {} steps without overflow, hysteresis {}",
              file.path(), state.loss_scale, state.clean_steps, state.hysteresis);
  return state;
}

std::vector<CheckpointReader::Shard> load_shards(const h5::File& file) {
  std::vector<CheckpointReader::Shard> shards;
  const auto rows = load_rows(file, kShards);
  for (auto row = rows.begin(); row != rows.end(); row += 3) {
    shards.push_back({row[0], row[1], std::bit_cast<std::uint64_t>(row[2]), {}});
  }
  const auto number = [](const CheckpointReader::Shard& s) { return s.number; };
  std::ranges::sort(shards, {}, number);
  const auto ranges = load_rows(file, kFrames);
  for (auto row = ranges.begin(); row != ranges.end(); row += 3) {
    const auto at = std::ranges::lower_bound(shards, row[0], {}, number);
    TRM_REQUIRE(at != shards.end() && at->number == row[0] && row[1] >= 0 && row[2] >= 0 &&
                    row[1] <= at->bytes && row[2] <= at->bytes - row[1],
                "{}: {} names bytes that no shard has", file.path(), kFrames);
    at->frame.push_back({row[1], row[2]});
  }
  return shards;
}

std::vector<std::string> tensor_names(const h5::File& file) {
  std::vector<std::string> names;
  collect(file, "", 0, names);
  std::ranges::sort(names);
  return names;
}

bool has_tensor(const h5::File& file, const std::string& name) {
  require_name(name);
  return file.has_dataset(stored_name(file, name));
}

StoredTensor load_tensor(const h5::File& file, const std::string& name) {
  TRM_REQUIRE(has_tensor(file, name), "the checkpoint does not hold it");
  const std::string stored = stored_name(file, name);
  const h5::Dataset dataset = file.dataset(stored);
  StoredTensor tensor{dataset.dtype(), dataset.shape(), {}};
  for (const h5::Source& s : dataset.sources()) {
    TRM_REQUIRE(s.box.inside(tensor.global) && s.box.count() > 0,
                "a piece at {} of extent {} is not inside of {}", s.box.offset.str(),
                s.box.extent.str(), tensor.global.str());
    TRM_REQUIRE(s.dataset == dataset_name(stored, s.box),
                "its piece at {} is {}, which is another tensor's", s.box.offset.str(),
                s.dataset);
    tensor.pieces.push_back({shard_number(s.file), s.dataset, s.box});
  }
  TRM_REQUIRE(!tensor.pieces.empty(), "its pieces hold 0 of {} elements",
              tensor.global.count());
  return tensor;
}

}  // namespace trireme::checkpoint
