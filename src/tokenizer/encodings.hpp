// SPDX-License-Identifier: Apache-2.0
// The patterns and special tokens that go with published .tiktoken files, which hold neither.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trireme {

using SpecialTokens = std::vector<std::pair<std::string, std::int32_t>>;

struct Encoding {
  std::string_view name;
  std::string_view pattern;
  std::string_view end;  ///< the special token that ends a document
  SpecialTokens (*special)();
  std::size_t ranks;          ///< tokens of the published file
  std::uint64_t fingerprint;  ///< the published file's; 0: not known
};

[[nodiscard]] std::span<const Encoding> encodings();

/// The FNV-1a hash of a file, by which published files are known.
[[nodiscard]] std::uint64_t fingerprint_of(std::string_view bytes);

}  // namespace trireme
