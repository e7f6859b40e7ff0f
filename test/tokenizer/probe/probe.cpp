// SPDX-License-Identifier: Apache-2.0
// tokenizer_probe PART FILE: applies one part of a tokenizer to each record of the standard
// input, for compare_pieces.py. A record is its size as four bytes, the lowest first, and its
// bytes. apply_part.hpp names the parts.
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <fmt/format.h>

#include "trireme/core/error.hpp"

#include "../apply_part.hpp"

using namespace trireme;

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  TRM_REQUIRE(file.good(), "cannot read {}", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void run(const std::string& part, const std::string& path) {
  const test::Apply apply = test::part_from(part, read_file(path));
  std::string record;
  std::size_t bytes = 0;
  std::chrono::duration<double> spent{};
  for (unsigned char size[4]; std::cin.read(reinterpret_cast<char*>(size), 4);) {
    record.resize(size[0] | size[1] << 8 | size[2] << 16 |
                  static_cast<std::size_t>(size[3]) << 24);
    std::cin.read(record.data(), static_cast<std::streamsize>(record.size()));
    bytes += record.size();
    const auto begin = std::chrono::steady_clock::now();
    const std::string result = apply(record);
    spent += std::chrono::steady_clock::now() - begin;
    for (unsigned shift = 0; shift < 32; shift += 8) {
      std::cout.put(static_cast<char>(result.size() >> shift & 0xff));
    }
    std::cout << result;
  }
  std::cerr << fmt::format("{}: {:.1f} MB/s\n", part,
                           static_cast<double>(bytes) / 1e6 / spent.count());
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  if (argc != 3) return 2;
  try {
    run(argv[1], argv[2]);
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
