// SPDX-License-Identifier: Apache-2.0
// All paths that a deck may hold, and the meaning of each.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "trireme/deck/keys.hpp"

#include "tree.hpp"

namespace trireme::deck {

/// What a path means. Exactly one pointer is set for a leaf, none for a dictionary.
struct Meaning {
  std::string path;  ///< the key's own path, if the path looked up was an alias
  const Key* key = nullptr;
  const IgnoredKeys* ignored = nullptr;
  const RefusedKeys* refused = nullptr;
};

/// All known paths.
class Schema {
 public:
  static const Schema& instance();

  [[nodiscard]] const Meaning* find(const std::string& path) const;
  [[nodiscard]] bool dictionary(const std::string& path) const;
  /// The known path that `path` was probably meant to be, for "did you mean"; may be empty.
  [[nodiscard]] std::string nearest(const std::string& path) const;
  /// Up to three keys that have every word of `path` in their own path. If no key has, their
  /// descriptions count too. "batch_size" finds train_batch_size. "learning_rate" finds
  /// optimizer.params.lr.
  [[nodiscard]] std::vector<std::string> related(const std::string& path) const;

 private:
  Schema();
  void add(std::string_view dictionary, std::string_view names, const Meaning& meaning);

  std::map<std::string, Meaning> leaves_;
  std::set<std::string> dictionaries_;
};

/// Converts, checks type and range, and stores. Throws Error with the value's place.
void set_field(const Key& key, Draft& draft, const Value& value);
/// Whether a value switches its feature off: null, false, empty, {enabled: false} or one of
/// `off`.
[[nodiscard]] bool is_off(const RefusedKeys& key, const std::string& path, const Value& value);

}  // namespace trireme::deck
