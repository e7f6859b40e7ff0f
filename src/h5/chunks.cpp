// SPDX-License-Identifier: Apache-2.0
// Fletcher32 over 16-bit words (J. G. Fletcher, IEEE Trans. Comm. 30, 1982). One sum adds the
// words, the other adds the first sum after each word; both are modulo 65535.
#include "chunks.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fcntl.h>

#include "space.hpp"

namespace trireme::h5 {

namespace {

constexpr std::size_t kSumBytes = 4;
constexpr std::int64_t kAhead = std::int64_t{32} << 20U;  // bytes that the system reads ahead

// GCC and Clang vectorize no loop over 16-bit words; each 32-bit lane here has two words.
using Lanes = std::uint32_t __attribute__((vector_size(16)));
constexpr std::size_t kWords = sizeof(Lanes) / 2;

// Words are summed in the machine's byte order, while HDF5's are big-endian. Swapping a word's
// bytes multiplies the word by 256 modulo 65535, so the sums can be swapped at the end.
static_assert(std::endian::native == std::endian::little);

std::uint16_t word_at(const std::byte* data) {
  std::uint16_t word = 0;
  std::memcpy(&word, data, sizeof word);
  return word;
}

/// Reduces modulo 65535 to 1 … 65535, and to 0 only from 0, as folding of carries does.
std::uint64_t reduced(std::uint64_t sum) { return sum == 0 ? 0 : (sum - 1) % 65535 + 1; }

std::uint32_t swapped(std::uint64_t sum) {
  return static_cast<std::uint32_t>((sum & 0xffU) << 8U | sum >> 8U);
}

/// Whether a dataset has chunks whose only filter is Fletcher32.
bool only_summed(hid_t creation) {
  if (H5Pget_layout(creation) != H5D_CHUNKED || H5Pget_nfilters(creation) != 1) return false;
  unsigned flags = 0;
  unsigned config = 0;
  std::size_t values = 0;
  return H5Pget_filter2(creation, 0, &flags, &values, nullptr, 0, nullptr, &config) ==
         H5Z_FILTER_FLETCHER32;
}

/// The system's descriptor of a dataset's file; -1 if HDF5 does not read the file directly.
int descriptor_of(hid_t dataset) {
  const Id file{H5Iget_file_id(dataset), H5Fclose};
  const Id access{H5Fget_access_plist(file), H5Pclose};
  void* handle = nullptr;
  if (H5Pget_driver(access) != H5FD_SEC2 || H5Fget_vfd_handle(file, access, &handle) < 0) {
    return -1;
  }
  return *static_cast<const int*>(handle);
}

}  // namespace

std::uint32_t fletcher32(const std::byte* data, std::size_t bytes) {
  constexpr std::size_t kMostSteps = 360;  // more would overflow a lane
  std::uint64_t sum = 0;
  std::uint64_t of_sums = 0;
  std::size_t words = bytes / 2;
  while (words >= kWords) {
    const std::size_t steps = std::min(kMostSteps, words / kWords);
    Lanes low{};
    Lanes high{};
    Lanes of_low{};
    Lanes of_high{};
    for (std::size_t step = 0; step < steps; ++step, data += sizeof(Lanes)) {
      Lanes here;
      std::memcpy(&here, data, sizeof here);
      low += here & 0xffffU;
      high += here >> 16U;
      of_low += low;
      of_high += high;
    }
    const std::size_t n = steps * kWords;
    of_sums += n * sum;
    for (std::size_t j = 0; j < kWords / 2; ++j) {
      sum += low[j] + high[j];
      of_sums += kWords * (std::uint64_t{of_low[j]} + of_high[j]);
      of_sums -= 2 * j * std::uint64_t{low[j]} + (2 * j + 1) * std::uint64_t{high[j]};
    }
    sum = reduced(sum);
    of_sums = reduced(of_sums);
    words -= n;
  }
  for (; words > 0; --words, data += 2) {
    sum += word_at(data);
    of_sums += sum;
  }
  if (bytes % 2 != 0) {
    sum += static_cast<std::uint64_t>(*data);
    of_sums += sum;
  }
  return swapped(reduced(of_sums)) << 16U | swapped(reduced(sum));
}

Chunks::Chunks(hid_t dataset, DType dtype, const Shape& shape, std::string where)
    : dataset_(dataset), where_(std::move(where)) {
  const Id creation{checked(H5Dget_create_plist(dataset), where_, "read its properties"),
                    H5Pclose};
  const Id type{checked(H5Dget_type(dataset), where_, "read its element type"), H5Tclose};
  if (!only_summed(creation) || H5Tequal(type, memory_type(dtype)) <= 0) return;
  Lengths chunk{};
  if (H5Pget_chunk(creation, Shape::kMaxRank, chunk.data()) != shape.rank()) return;
  std::size_t bytes = size_of(dtype) * chunk[0];
  for (int axis = 1; axis < shape.rank(); ++axis) {
    const hsize_t length = chunk[static_cast<std::size_t>(axis)];
    if (length != static_cast<hsize_t>(shape[axis])) return;
    bytes *= length;
  }
  // A chunk that is longer than the array is never whole.
  if (chunk[0] > static_cast<hsize_t>(shape[0])) return;
  rows_ = static_cast<std::int64_t>(chunk[0]);
  bytes_ = bytes;
}

bool Chunks::read(std::int64_t row, void* to) {
  const Lengths at{static_cast<hsize_t>(row)};
  stored_.resize(bytes_ + kSumBytes);
  hsize_t bytes = 0;
  std::uint32_t skipped = 0;
  const bool here =
      H5Dget_chunk_storage_size(dataset_, at.data(), &bytes) >= 0 && bytes == stored_.size() &&
      H5Dread_chunk(dataset_, H5P_DEFAULT, at.data(), &skipped, stored_.data()) >= 0 &&
      skipped == 0;
  if (!here) return false;
  std::uint32_t sum = 0;
  std::memcpy(&sum, stored_.data() + bytes_, kSumBytes);
  if (sum != fletcher32(stored_.data(), bytes_)) return false;
  std::memcpy(to, stored_.data(), bytes_);
  return true;
}

void Chunks::read_ahead(std::int64_t row, std::int64_t end) {
  const std::int64_t most =
      std::max(kAhead / static_cast<std::int64_t>(bytes_), std::int64_t{1});
  end = std::min(end, row + most * rows_);
  ahead_ = std::max(ahead_, row);
  // Ask for many chunks in one go, since each call waits until the disk takes its orders.
  if (ahead_ >= end || (ahead_ > row && end - ahead_ < most / 2 * rows_)) return;
  const int file = descriptor_of(dataset_);
  for (; ahead_ < end; ahead_ += rows_) {
    const Lengths at{static_cast<hsize_t>(ahead_)};
    haddr_t offset = HADDR_UNDEF;
    hsize_t bytes = 0;
    unsigned skipped = 0;
    if (file >= 0 &&
        H5Dget_chunk_info_by_coord(dataset_, at.data(), &skipped, &offset, &bytes) >= 0 &&
        offset != HADDR_UNDEF) {  // only a hint, so errors don't matter
      posix_fadvise(file, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                    POSIX_FADV_WILLNEED);
    }
  }
}

void Chunks::write(std::int64_t row, const void* from) {
  const Lengths at{static_cast<hsize_t>(row)};
  stored_.resize(bytes_ + kSumBytes);
  std::memcpy(stored_.data(), from, bytes_);
  const std::uint32_t sum = fletcher32(stored_.data(), bytes_);
  std::memcpy(stored_.data() + bytes_, &sum, kSumBytes);
  checked(H5Dwrite_chunk(dataset_, H5P_DEFAULT, 0, at.data(), stored_.size(), stored_.data()),
          where_, "write");
}

}  // namespace trireme::h5
