// SPDX-License-Identifier: Apache-2.0
// Files changed at random, for tests of what reads foreign bytes.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"

namespace trireme::test {

class Changer {
 public:
  explicit Changer(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t n) { return random_() % n; }

  /// The bytes after one to four changes: a byte, a number, a part that is lost, said twice or
  /// of another file.
  std::string changed(std::string bytes, const std::string& other) {
    for (std::size_t changes = 1 + below(4); changes > 0 && !bytes.empty(); --changes) {
      const std::size_t at = below(bytes.size());
      const std::size_t size = 1 + below(std::min<std::size_t>(bytes.size() - at, 64));
      switch (below(6)) {
        case 0:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ 1 << below(8));
          break;
        case 2:
          bytes.erase(at, size);
          break;
        case 3:
          bytes.insert(at, bytes.substr(at, size));
          break;
        case 4:
          put_number(bytes, at);
          break;
        default:
          if (!other.empty()) bytes.replace(at, size, other.substr(below(other.size()), size));
      }
    }
    if (below(16) == 0) bytes.resize(below(bytes.size() + 1));
    return bytes;
  }

 private:
  /// A number that readers of sizes and offsets get wrong.
  void put_number(std::string& bytes, std::size_t at) {
    static constexpr std::array<std::uint64_t, 8> kNumbers = {
        0,        1, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, ~std::uint64_t{0},
        1U << 20U};
    const std::uint64_t number = kNumbers[below(kNumbers.size())];
    for (std::size_t i = 0; i < 8 && at + i < bytes.size(); ++i) {
      bytes[at + i] = static_cast<char>(number >> (8 * i));
    }
  }

  std::mt19937_64 random_;
};

/// Tries `files` changed files, the same ones on every machine. The campaign tries others for
/// 150 seconds, or for TRIREME_FUZZ_SECONDS. `attempt` returns whether a file is good. Anything
/// thrown must be an Error, and no file may take long.
inline void try_changed(std::size_t files, const std::function<bool(Changer&)>& attempt) {
  using Clock = std::chrono::steady_clock;
  const char* const asked = std::getenv("TRIREME_FUZZ_SECONDS");
  const bool campaign = std::getenv("TRIREME_WHOLE_PRODUCTS") != nullptr || asked != nullptr;
  const int seconds = asked != nullptr ? std::atoi(asked) : 150;
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  Changer changer(campaign ? std::random_device()() : 1);
  std::size_t tried = 0;
  std::size_t good = 0;
  for (; campaign ? Clock::now() < end : tried < files; ++tried) {
    const std::clock_t start = std::clock();
    try {
      good += attempt(changer) ? 1 : 0;
    } catch (const Error& e) {
      BOOST_CHECK_MESSAGE(*e.what() != '\0', "an error without words");
    } catch (const std::exception& e) {
      BOOST_ERROR("not an Error, but '" << e.what() << "', at attempt " << tried);
    }
    const double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    BOOST_CHECK_MESSAGE(took < 10, took << " s at attempt " << tried);
  }
  BOOST_TEST_MESSAGE(tried << " files, of which " << good << " are good");
  BOOST_CHECK_LT(good, tried);
}

}  // namespace trireme::test
