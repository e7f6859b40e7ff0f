// SPDX-License-Identifier: Apache-2.0
// Opens the files of a folder, and reads boxes of their tensors.
#include "weight_files.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"

#include "json.hpp"

namespace trireme::huggingface {

namespace {

constexpr std::int64_t kMostIndexBytes = 100'000'000;
constexpr std::size_t kMostFiles = 10'000;
constexpr std::size_t kMostName = 200;

/// The file of each tensor, as the index says.
std::map<std::string, std::string> read_index(const std::string& path) {
  const Json index = read_object(path, kMostIndexBytes);
  const auto at = index.find("weight_map");
  TRM_REQUIRE(at != index.end() && at->is_object() && !at->empty(),
              "{}: it has no weight_map that names the file of each tensor", path);
  std::map<std::string, std::string> places;
  for (const auto& [tensor, file] : at->items()) {
    TRM_REQUIRE(file.is_string(), "{}: the file of {} is no text", path,
                shortened(tensor, kMostName));
    const auto& name = file.get_ref<const std::string&>();
    const bool plain = !name.empty() && name.size() <= kMostName && name[0] != '.' &&
                       name.find_first_of("/\\") == std::string::npos &&
                       printable(name) == name && name.ends_with(".safetensors");
    TRM_REQUIRE(
        plain,
        "{}: the file \"{}\" of {} is not the plain name of a .safetensors file in this "
        "folder",
        path, shortened(name, kMostName), shortened(tensor, kMostName));
    places.emplace(tensor, name);
  }
  return places;
}

}  // namespace

bool exists(const std::string& path) {
  std::error_code code;
  return std::filesystem::exists(path, code);
}

WeightFiles::WeightFiles(const std::string& folder) : folder_(folder) {
  const std::string single = fmt::format("{}/{}", folder_, kSingleFile);
  const std::string index = fmt::format("{}/{}", folder_, kIndexFile);
  if (exists(single)) {
    open_all({kSingleFile});
    return;
  }
  TRM_REQUIRE(exists(index),
              "{}: there is neither {} nor {}; if the folder has the weights as .bin, "
              "analysis/trireme-torch-to-safetensors writes them as safetensors",
              folder_, kSingleFile, kIndexFile);
  const auto places = read_index(index);
  std::set<std::string> files;
  for (const auto& [tensor, file] : places) files.insert(file);
  TRM_REQUIRE(files.size() <= kMostFiles, "{}: {} files are too many", index, files.size());
  open_all({files.begin(), files.end()});
  require_index(places);
}

WeightFiles::WeightFiles(const std::string& folder, const std::string& file) : folder_(folder) {
  add(file);
}

void WeightFiles::open_all(const std::vector<std::string>& files) {
  for (const std::string& file : files) add(file);
}

void WeightFiles::add(const std::string& file) {
  const std::string path = fmt::format("{}/{}", folder_, file);
  auto open = std::make_unique<BinaryFile>(path);
  TensorTable table;
  try {
    TRM_REQUIRE(open->bytes() >= kLengthBytes, "it has {} bytes, less than a header",
                open->bytes());
    unsigned char first[kLengthBytes];
    open->read(0, first, kLengthBytes);
    std::string header(static_cast<std::size_t>(header_length(first, open->bytes())), '\0');
    open->read(kLengthBytes, header.data(), static_cast<std::int64_t>(header.size()));
    table = parse_header(header, open->bytes());
  } catch (const Error& e) {
    throw e.saying(fmt::format("{}: not a whole safetensors file: {}", path, e.what()));
  }
  for (auto& [name, tensor] : table) {
    const bool first = entries_.emplace(name, Entry{files_.size(), std::move(tensor)}).second;
    TRM_REQUIRE(first, "{}: the tensor {} is in another file of the folder too", path, name);
  }
  files_.push_back(std::move(open));
}

void WeightFiles::require_index(const std::map<std::string, std::string>& places) const {
  for (const auto& [tensor, file] : places) {
    const auto at = entries_.find(tensor);
    TRM_REQUIRE(at != entries_.end() &&
                    files_[at->second.file]->path() == fmt::format("{}/{}", folder_, file),
                "{}/{}: the tensor {} is not in {}, as {} says", folder_, kIndexFile,
                shortened(tensor, kMostName), file, kIndexFile);
  }
}

const WeightFiles::Entry& WeightFiles::entry(const std::string& name) const {
  const auto at = entries_.find(name);
  TRM_REQUIRE(at != entries_.end(), "{}: there is no tensor {}", folder_, name);
  return at->second;
}

std::string WeightFiles::named(const std::string& name) const {
  return fmt::format("{}: tensor {}", files_[entry(name).file]->path(), name);
}

bool WeightFiles::has(const std::string& name) const { return entries_.contains(name); }

Shape WeightFiles::global_shape(const std::string& name) const {
  const StoredTensor& tensor = entry(name).tensor;
  TRM_REQUIRE(tensor.axes <= Shape::kMaxRank, "{}: it has {} axes, too many for a weight",
              named(name), tensor.axes);
  return tensor.shape;
}

DType WeightFiles::dtype(const std::string& name) const {
  try {
    return type_of(entry(name).tensor.type);
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", named(name), e.what()));
  }
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

void WeightFiles::read(const std::string& name, const Shape& global, const Box& box,
                       const View& to) {
  const Entry& e = entry(name);
  const Shape stored = global_shape(name);
  TRM_REQUIRE(stored == global, "{}: its shape is {}, the model needs {}", named(name),
              stored.str(), global.str());
  const DType type = dtype(name);
  TRM_CHECK(
      type == to.dtype() && box.inside(global) && to.contiguous() && to.count() == box.count(),
      "{}: {} {} to be filled with {} of {}", named(name), name_of(to.dtype()),
      to.shape().str(), box.extent.str(), global.str());
  if (box.count() == 0) return;
  // Rows that are whole stand together in the file.
  const auto size = static_cast<std::int64_t>(size_of(type));
  const int axes = global.rank();
  int first = axes;  // axes from here on are taken whole
  while (first > 0 && box.extent[first - 1] == global[first - 1]) --first;
  std::int64_t run = 1;
  for (int a = std::max(first - 1, 0); a < axes; ++a) run *= box.extent[a];
  auto* data = static_cast<std::byte*>(to.raw());
  const BinaryFile& file = *files_[e.file];
  for (std::int64_t done = 0; done < box.count(); done += run) {
    std::int64_t rest = done;
    std::int64_t place = 0;
    std::int64_t stride = 1;
    for (int a = axes; a-- > 0;) {
      place += (box.offset[a] + rest % box.extent[a]) * stride;
      rest /= box.extent[a];
      stride *= global[a];
    }
    file.read(e.tensor.begin + place * size, data + done * size, run * size);
  }
}

}  // namespace trireme::huggingface
