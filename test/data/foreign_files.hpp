// SPDX-License-Identifier: Apache-2.0
// Writes indexed data as Megatron's documentation lays them out, and shards of llm.c, without
// the program's own writers.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace trireme::test {

using Documents = std::vector<std::vector<std::int32_t>>;

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

template <class T>
void put(std::string& to, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  to.append(bytes, sizeof value);
}

/// What an index says; a test spoils single fields.
struct Index {
  std::string magic = std::string("MMIDIDX\0\0", 9);
  std::uint64_t version = 1;
  std::uint8_t code = 8;
  std::uint64_t sequences = 0;
  std::uint64_t entries = 0;
  std::vector<std::int32_t> sizes;
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> documents;

  Index() = default;
  Index(const Documents& of, std::uint8_t type_code, std::int64_t width) : code(type_code) {
    std::int64_t at = 0;
    for (const auto& tokens : of) {
      sizes.push_back(static_cast<std::int32_t>(tokens.size()));
      offsets.push_back(at);
      documents.push_back(static_cast<std::int64_t>(documents.size()));
      at += std::ssize(tokens) * width;
    }
    documents.push_back(static_cast<std::int64_t>(documents.size()));
    sequences = sizes.size();
    entries = documents.size();
  }

  [[nodiscard]] std::string bytes() const {
    std::string all = magic;
    put(all, version);
    put(all, code);
    put(all, sequences);
    put(all, entries);
    for (const auto x : sizes) put(all, x);
    for (const auto x : offsets) put(all, x);
    for (const auto x : documents) put(all, x);
    return all;
  }
};

template <class T>
std::string elements(const Documents& documents) {
  std::string all;
  for (const auto& tokens : documents) {
    for (const std::int32_t id : tokens) put(all, static_cast<T>(id));
  }
  return all;
}

/// PREFIX.bin and PREFIX.idx with tokens of type T, whose code is given.
template <class T>
void write_indexed(const std::string& prefix, const Documents& documents, std::uint8_t code) {
  write_bytes(prefix + ".bin", elements<T>(documents));
  write_bytes(prefix + ".idx", Index(documents, code, sizeof(T)).bytes());
}

template <class T>
void write_shard(const std::string& path, std::int32_t magic, std::int32_t version,
                 const std::vector<std::int32_t>& tokens, std::int32_t count) {
  std::string all;
  put(all, magic);
  put(all, version);
  put(all, count);
  all.resize(1024, '\0');
  write_bytes(path, all + elements<T>({tokens}));
}

}  // namespace trireme::test
