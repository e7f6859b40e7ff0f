// SPDX-License-Identifier: Apache-2.0
// A list in the order of use.
#include "open_token_files.hpp"

#include <algorithm>
#include <utility>

namespace trireme {

OpenTokenFiles& OpenTokenFiles::instance() {
  static OpenTokenFiles files;
  return files;
}

OpenTokenFiles::Opened OpenTokenFiles::get(const TokenFile* owner,
                                           const std::function<Opened()>& open) {
  const std::lock_guard lock(mutex_);
  const auto held = std::ranges::find(entries_, owner, &Entry::owner);
  if (held != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, held);
    return entries_.front().objects;
  }
  if (entries_.size() >= kMostOpenTokenFiles) entries_.pop_back();
  entries_.push_front({owner, open()});
  return entries_.front().objects;
}

void OpenTokenFiles::forget(const TokenFile* owner) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const Entry& e) { return e.owner == owner; });
}

std::size_t OpenTokenFiles::count() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace trireme
