// SPDX-License-Identifier: Apache-2.0
// Finds out which format a path leads to.
#include "trireme/data/token_source.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "trireme/core/error.hpp"
#include "trireme/data/megatron_file.hpp"
#include "trireme/data/token_file.hpp"

#include "image_file.hpp"
#include "llmc_file.hpp"

namespace trireme {

namespace {

bool exists(const std::string& path) {
  std::error_code code;
  return std::filesystem::exists(path, code);
}

/// PREFIX of PREFIX.bin and PREFIX.idx, if the path names these; else empty.
std::string megatron_prefix(const std::string& path) {
  std::string prefix = path;
  if (path.ends_with(".bin") || path.ends_with(".idx")) {
    prefix.resize(path.size() - 4);
  } else if (exists(path)) {
    return {};
  }
  return exists(prefix + ".bin") && exists(prefix + ".idx") ? prefix : std::string();
}

/// The file that holds the tokens, where `path` may lack the ending .bin.
std::string file_of(const std::string& path) {
  return !exists(path) && exists(path + ".bin") ? path + ".bin" : path;
}

}  // namespace

void TokenSource::read_loss_mask(std::int64_t /*offset*/, std::span<std::uint8_t> to) const {
  std::ranges::fill(to, std::uint8_t{1});
}

void require_vocabulary(const std::string& path, std::int64_t offset,
                        std::span<const std::int32_t> ids, std::int64_t vocab_size) {
  const auto limit =
      vocab_size > 0 ? static_cast<std::uint32_t>(vocab_size) : std::uint32_t{1} << 31U;
  const auto bad = std::ranges::find_if(
      ids, [limit](std::int32_t id) { return static_cast<std::uint32_t>(id) >= limit; });
  if (bad == ids.end()) return;
  throw Error(fmt::format(
      "{}: token {} has id {}, but the vocabulary ends at {}", path,
      offset + (bad - ids.begin()),
      vocab_size > 0 ? std::int64_t{static_cast<std::uint32_t>(*bad)} : std::int64_t{*bad},
      std::int64_t{limit} - 1));
}

std::unique_ptr<TokenSource> open_tokens(const std::string& path, DocumentCheck check,
                                         const TokenFacts& given) {
  const std::string prefix = megatron_prefix(path);
  if (!prefix.empty()) return std::make_unique<MegatronFile>(prefix, check, given);
  const std::string file = file_of(path);
  if (is_llmc_file(file)) return std::make_unique<LlmcFile>(file, given);
  TRM_REQUIRE(!file.ends_with(".bin") && !file.ends_with(".idx"),
              "{}: {}; Megatron's data are PREFIX.bin and PREFIX.idx together, and a shard of "
              "llm.c begins with its magic number",
              path,
              exists(file) ? fmt::format("there is {}, but no {}{}", file,
                                         file.substr(0, file.size() - 4),
                                         file.ends_with(".bin") ? ".idx" : ".bin")
                           : "there is no such file");
  if (is_image_file(file)) return std::make_unique<ImageFile>(file);
  return std::make_unique<TokenFile>(file, check);
}

bool tokens_exist(const std::string& path) {
  return exists(file_of(path)) || !megatron_prefix(path).empty();
}

}  // namespace trireme
