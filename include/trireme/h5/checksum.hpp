// SPDX-License-Identifier: Apache-2.0
// The checksum of what Trireme stores: XXH3, 64 bits (xxHash by Y. Collet), and seals. A seal
// is the text that begins a file and holds the checksum of what the HDF5 library will parse.
// The library trusts a file's metadata, and damage there can crash it or make it hang. A seal
// is therefore checked before the library opens the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trireme/h5/file.hpp"

namespace trireme::h5 {

[[nodiscard]] std::uint64_t checksum_of(const void* data, std::size_t bytes);
/// Checksum of a file's extents, in their order. Throws Error if the bytes can't be read.
[[nodiscard]] std::uint64_t checksum_of(const std::string& path,
                                        const std::vector<Extent>& extents);
/// Throws Error if the file doesn't exist.
[[nodiscard]] std::int64_t size_of_file(const std::string& path);
/// All bytes of a file of `bytes` bytes outside of `data`.
[[nodiscard]] std::vector<Extent> complement(std::vector<Extent> data, std::int64_t bytes);

/// Rows of an array, in memory, on their way from a file. Blocks of rows have checksums.
struct Rows {
  const void* data = nullptr;
  std::int64_t first = 0;  ///< number of the first row, which begins a block
  std::int64_t count = 0;
  std::int64_t bytes = 0;  ///< a row's
};
/// Throws Error that names the rows if a block of `block` rows does not have its checksum. The
/// last block of the array, and of `rows`, may be shorter.
void require_checksums(std::string_view where, const Rows& rows, std::int64_t block,
                       std::span<const std::int64_t> checksums);

/// What a file's seal says. `bytes` is the length of the seal and of the file's user block.
struct Seal {
  std::string_view kind;  ///< "checkpoint"
  std::int64_t version = 1;
  std::int64_t bytes = 512;
  std::string_view advice{};  ///< what to do about a file of another kind
  std::int64_t oldest = 0;    ///< versions from here on can be read too; 0: `version` alone
};

enum class SealState : std::uint8_t {
  none,    ///< HDF5's own bytes begin the file, as in files of earlier versions
  whole,   ///< all that the seal covers has its checksum
  broken,  ///< break_seal() came last: a program died while it changed the file
};

/// Seals a closed file whose first `seal.bytes` bytes are free: all bytes behind the seal.
void write_seal(const std::string& path, const Seal& seal);
/// Seals all bytes behind the seal outside of `data`, whose elements have checksums of their
/// own. Where the gaps between `data` are too many for the seal, it also covers the data
/// between some. Throws Error where the file can't be written.
void write_seal(const std::string& path, const Seal& seal, std::vector<Extent> data);
/// Notes that the file is about to change in place.
void break_seal(const std::string& path, const Seal& seal);
/// Reads all that the seal covers. Throws Error if the file is damaged or of another kind.
[[nodiscard]] SealState check_seal(const std::string& path, const Seal& seal);

}  // namespace trireme::h5
