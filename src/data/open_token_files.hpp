// SPDX-License-Identifier: Apache-2.0
// Which token files the process holds open. Each open file takes some 580 KB in the HDF5
// library. The files read last stay open, and others are opened again when they are read.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "trireme/data/token_file.hpp"

namespace trireme {

/// The HDF5 objects of an open token file.
struct OpenTokenFile {
  h5::File file;
  h5::Dataset tokens;
  h5::Dataset documents;
  h5::Dataset loss_mask;  ///< if the file has one, as with labels
  h5::Dataset labels;
};

/// Threads may share it.
class OpenTokenFiles {
 public:
  using Opened = std::shared_ptr<const OpenTokenFile>;
  /// The process's own.
  static OpenTokenFiles& instance();

  /// The objects of `owner`, which `open` makes if they are not held. Users may keep a result
  /// while other files are opened.
  [[nodiscard]] Opened get(const TokenFile* owner, const std::function<Opened()>& open);
  /// Closes the file of an owner that ends.
  void forget(const TokenFile* owner);
  [[nodiscard]] std::size_t count() const;

 private:
  struct Entry {
    const TokenFile* owner = nullptr;
    Opened objects;
  };
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< the last one used comes first
};

}  // namespace trireme
