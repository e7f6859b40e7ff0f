// SPDX-License-Identifier: Apache-2.0
// Poison is a file of 0xFF bytes that all arrays map privately. Writing makes a page real.
#include "pages.hpp"

#include <algorithm>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "site.hpp"

namespace trireme::emulator {
namespace {

constexpr std::size_t kPoison = std::size_t{4} << 20U;

int poison_file() {
  static const int file = [] {
    const int made = memfd_create("emulated-cuda-poison", MFD_CLOEXEC);
    const std::vector<unsigned char> poison(kPoison, 0xFF);
    if (made < 0 || write(made, poison.data(), kPoison) != static_cast<ssize_t>(kPoison)) {
      fatal("no file in memory of %zu bytes can be made", kPoison);
    }
    return made;
  }();
  return file;
}

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

std::byte* reserve(std::size_t bytes) {
  void* at =
      mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

}  // namespace

void* map_between_guards(std::size_t bytes) {
  std::byte* const begin = reserve(bytes + 2 * kPage);
  if (begin == nullptr || mprotect(begin + kPage, bytes, PROT_READ | PROT_WRITE) != 0) {
    fatal("no memory: %zu bytes", bytes);
  }
  return begin + kPage;
}

void* map_poisoned(std::size_t bytes) {
  const std::size_t size = whole_pages(bytes);
  std::byte* const begin = reserve(size + kPage);
  if (begin == nullptr) return nullptr;
  for (std::size_t at = 0; at < size; at += kPoison) {
    if (mmap(begin + at, std::min(kPoison, size - at), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, poison_file(), 0) == MAP_FAILED) {
      munmap(begin, size + kPage);
      return nullptr;
    }
  }
  return begin + (size - (bytes + 15) / 16 * 16);
}

void unmap_poisoned(void* array, std::size_t bytes) {
  const std::size_t size = whole_pages(bytes);
  std::byte* const end = static_cast<std::byte*>(array) + (bytes + 15) / 16 * 16;
  munmap(end - size, size + kPage);
}

}  // namespace trireme::emulator
