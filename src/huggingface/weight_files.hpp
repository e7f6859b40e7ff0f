// SPDX-License-Identifier: Apache-2.0
// All tensors in the safetensors files of a model's folder, by the files' own names.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "trireme/checkpoint/weight_source.hpp"
#include "trireme/data/binary_file.hpp"

#include "safetensors_header.hpp"

namespace trireme::huggingface {

inline constexpr const char* kSingleFile = "model.safetensors";
inline constexpr const char* kIndexFile = "model.safetensors.index.json";

/// Whether a file or folder is there; false where it can't be seen.
[[nodiscard]] bool exists(const std::string& path);

class WeightFiles final : public WeightSource {
 public:
  /// Opens model.safetensors, or else the files that model.safetensors.index.json names. Reads
  /// headers alone. Throws Error that names the file and what is wrong.
  explicit WeightFiles(const std::string& folder);
  /// Opens one file of a folder.
  WeightFiles(const std::string& folder, const std::string& file);

  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] bool has(const std::string& name) const override;
  [[nodiscard]] Shape global_shape(const std::string& name) const override;
  [[nodiscard]] DType dtype(const std::string& name) const override;
  [[nodiscard]] std::vector<std::string> names() const override;
  using WeightSource::read;
  void read(const std::string& name, const Shape& global, const Box& box,
            const View& to) override;

 private:
  struct Entry {
    std::size_t file = 0;
    StoredTensor tensor;
  };
  void open_all(const std::vector<std::string>& files);
  void add(const std::string& file);
  void require_index(const std::map<std::string, std::string>& places) const;
  [[nodiscard]] const Entry& entry(const std::string& name) const;
  [[nodiscard]] std::string named(const std::string& name) const;

  std::string folder_;
  std::vector<std::unique_ptr<BinaryFile>> files_;
  std::map<std::string, Entry> entries_;
};

}  // namespace trireme::huggingface
