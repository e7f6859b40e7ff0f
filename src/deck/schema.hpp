// SPDX-License-Identifier: Apache-2.0
// All paths that a deck may hold, and the meaning of each.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/deck/keys.hpp"
#include "trireme/deck/tree.hpp"

namespace trireme::deck {

/// What a path means: a key that sets something, or a key of another system with its group.
struct Meaning {
  std::string path;  ///< the key's own path, if the path looked up was an alias
  const Key* key = nullptr;
  const ForeignKeys* group = nullptr;
  const ForeignKey* foreign = nullptr;
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
  /// nearest(), or else related().
  [[nodiscard]] std::vector<std::string> suggested(const std::string& path) const {
    const std::string near = nearest(path);
    return near.empty() ? related(path) : std::vector{near};
  }

 private:
  Schema();
  void add(const std::string& path, const Meaning& meaning);

  std::map<std::string, Meaning> leaves_;
  std::set<std::string> dictionaries_;
};

/// Converts, checks type and range, and stores. Throws Error with the value's place.
void set_field(const Key& key, Draft& draft, const Value& value);
/// Whether two words mean one value: case aside, and numbers by their value.
[[nodiscard]] bool same_scalar(std::string_view a, std::string_view b);
/// Whether the value is a known choice that is not available.
[[nodiscard]] bool is_refused(const Key& key, const Value& value);
/// Whether a value asks for nothing: null, false, empty, {enabled: false}, the default of the
/// other system, or one of the group's `off`.
[[nodiscard]] bool is_off(const Meaning& meaning, const Value& value);

}  // namespace trireme::deck
