// SPDX-License-Identifier: Apache-2.0
// Flips bits of a file, one at a time, in a forked process: a crash or a hang is a failure of
// the test, and not its end.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "trireme/core/error.hpp"

namespace trireme::test {

/// What came of each flipped bit.
struct Flips {
  std::int64_t named = 0;     ///< an Error, or an answer that differs and says why
  std::int64_t harmless = 0;  ///< the answer stayed equal
  std::int64_t wrong = -1;    ///< the first bit with another answer, a crash, or more than 10 s
};

/// Calls `answer` for the file with each of `bits` flipped. An Error must mention `word`.
inline Flips flip_bits(const std::string& path, const std::vector<std::int64_t>& bits,
                       const std::string& word, const std::function<std::string()>& answer) {
  struct Shared {
    Flips flips;
    std::int64_t at = -1;
    bool done = false;
  };
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  TRM_CHECK(memory != MAP_FAILED, "no memory for the flips");
  auto* shared = new (memory) Shared;
  const std::string before = answer();
  const pid_t child = fork();
  TRM_CHECK(child >= 0, "cannot fork");
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1);  // a warning for each flip
    dup2(nowhere, 2);
    const int file = open(path.c_str(), O_RDWR);
    for (const std::int64_t bit : bits) {
      shared->at = bit;
      alarm(10);
      char byte = 0;
      if (pread(file, &byte, 1, bit / 8) != 1) _exit(1);
      const char flipped = static_cast<char>(byte ^ (1 << (bit % 8)));
      if (pwrite(file, &flipped, 1, bit / 8) != 1) _exit(1);
      bool good = true;
      try {
        good = answer() == before;
        ++shared->flips.harmless;
      } catch (const Error& e) {
        good = std::string(e.what()).find(word) != std::string::npos;
        ++shared->flips.named;
      } catch (...) {
        good = false;
      }
      if (!good) _exit(1);
      if (pwrite(file, &byte, 1, bit / 8) != 1) _exit(1);
    }
    shared->done = true;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  Flips flips = shared->flips;
  if (!shared->done) flips.wrong = shared->at;
  munmap(memory, sizeof(Shared));
  return flips;
}

/// All bits of a range of bytes, or every `step`-th.
inline void add_bits(std::vector<std::int64_t>& bits, std::int64_t from, std::int64_t to,
                     std::int64_t step = 1) {
  for (std::int64_t bit = from * 8; bit < to * 8; bit += step) bits.push_back(bit);
}

/// Whether long sweeps are wanted: those of `make test-all`.
inline bool whole_sweeps() { return std::getenv("TRIREME_WHOLE_PRODUCTS") != nullptr; }

}  // namespace trireme::test
