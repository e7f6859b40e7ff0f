// SPDX-License-Identifier: Apache-2.0
// Plans the files, then writes one after another.
#include "safetensors_writer.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

#include "json.hpp"
#include "safetensors_header.hpp"
#include "weight_files.hpp"

namespace trireme::huggingface {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

constexpr std::int64_t kPieceElements = std::int64_t{1} << 25;
constexpr std::size_t kAlignment = 8;

struct PlannedTensor {
  std::string name;
  Shape shape;
  std::int64_t bytes = 0;
};
using PlannedFile = std::vector<PlannedTensor>;

std::vector<PlannedFile> plan(const FilesToWrite& what) {
  std::vector<PlannedFile> files(1);
  std::int64_t sum = 0;
  for (const std::string& name : what.source.names()) {
    const Shape shape = what.source.global_shape(name);
    const std::int64_t bytes = shape.count() * static_cast<std::int64_t>(size_of(what.type));
    if (!files.back().empty() && sum + bytes > what.most_bytes) {
      files.emplace_back();
      sum = 0;
    }
    files.back().push_back({name, shape, bytes});
    sum += bytes;
  }
  return files;
}

std::string header_of(const PlannedFile& file, DType type) {
  OrderedJson header{{"__metadata__", {{"format", "pt"}}}};
  std::int64_t at = 0;
  for (const PlannedTensor& t : file) {
    header[t.name] = {{"dtype", word_of(type)},
                      {"shape", std::vector<std::int64_t>(t.shape.extents().begin(),
                                                          t.shape.extents().end())},
                      {"data_offsets", {at, at + t.bytes}}};
    at += t.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

class Output {
 public:
  explicit Output(const std::string& path)
      : path_(path), file_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
    TRM_REQUIRE_SYSTEM(file_ >= 0, errno, "{}: cannot be written", path_);
  }
  ~Output() {
    if (file_ >= 0) close(file_);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(const void* from, std::size_t bytes) {
    const auto* data = static_cast<const std::byte*>(from);
    while (bytes > 0) {
      const ssize_t n = ::write(file_, data, bytes);
      if (n < 0 && errno == EINTR) continue;
      TRM_REQUIRE_SYSTEM(n >= 0, errno, "{}: cannot be written", path_);
      data += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
  void finish() {
    TRM_REQUIRE_SYSTEM(fsync(file_) == 0, errno, "{}: cannot be written", path_);
    TRM_REQUIRE_SYSTEM(close(std::exchange(file_, -1)) == 0, errno, "{}: cannot be written",
                       path_);
  }

 private:
  std::string path_;
  int file_;
};

void write_file(const std::string& path, const PlannedFile& file, const FilesToWrite& what,
                std::int64_t& written) {
  Output out(path);
  const std::string header = header_of(file, what.type);
  const auto length = static_cast<std::uint64_t>(header.size());
  out.write(&length, sizeof(length));
  out.write(header.data(), header.size());
  std::vector<std::byte> memory;
  for (const PlannedTensor& t : file) {
    const std::int64_t row = std::max<std::int64_t>(t.shape.count() / t.shape[0], 1);
    const std::int64_t step = std::max<std::int64_t>(kPieceElements / row, 1);
    for (std::int64_t at = 0; at < t.shape[0]; at += step) {
      Box box = Box::whole(t.shape);
      box.offset[0] = at;
      box.extent[0] = std::min(step, t.shape[0] - at);
      memory.resize(static_cast<std::size_t>(box.count()) * size_of(what.type));
      read_as(what.source, t.name, box, View(memory.data(), what.type, box.extent));
      out.write(memory.data(), memory.size());
      written += static_cast<std::int64_t>(memory.size());
      if (what.progress) what.progress(written);
    }
  }
  out.finish();
}

}  // namespace

void write_files(const std::string& folder, const FilesToWrite& what) {
  const std::vector<PlannedFile> files = plan(what);
  std::int64_t written = 0;
  OrderedJson places = OrderedJson::object();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string name = files.size() == 1 ? std::string(kSingleFile)
                                               : fmt::format("model-{:05}-of-{:05}.safetensors",
                                                             i + 1, files.size());
    write_file(fmt::format("{}/{}", folder, name), files[i], what, written);
    for (const PlannedTensor& t : files[i]) places[t.name] = name;
  }
  if (files.size() == 1) return;
  const OrderedJson index{{"metadata", {{"total_size", written}}}, {"weight_map", places}};
  replace_text(fmt::format("{}/{}", folder, kIndexFile), index.dump(2) + "\n",
               Durability::power);
}

}  // namespace trireme::huggingface
