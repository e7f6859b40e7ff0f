// SPDX-License-Identifier: Apache-2.0
// The program's main function, and a check that must come before the libraries start.
#include <array>
#include <cstdio>
#include <sys/resource.h>
#include <unistd.h>

#include "trireme/app/program.hpp"

namespace {

constexpr rlim_t kMiB = rlim_t{1} << 20U;
constexpr rlim_t kLeast = 320 * kMiB;  // OpenBLAS tries without end below some 300 MiB
constexpr rlim_t kEachCore = 16 * kMiB;

/// OpenBLAS takes memory before main, and tries again without end where a limit forbids that.
/// Says so while the limit can still be seen as the cause.
void check_address_space(int /*argc*/, char** /*argv*/, char** /*environment*/) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  const rlim_t enough = kLeast + kEachCore * static_cast<rlim_t>(cores > 0 ? cores : 1);
  if (limit.rlim_cur >= enough) return;
  const bool too_little = limit.rlim_cur < kLeast;
  std::array<char, 256> text{};
  const int n = std::snprintf(
      text.data(), text.size(),
      "trireme: %s: the limit of address space (ulimit -v) is %llu MiB, but the libraries %s "
      "%llu MiB: raise it\n",
      too_little ? "error" : "warning", static_cast<unsigned long long>(limit.rlim_cur / kMiB),
      too_little ? "need" : "may hang below", static_cast<unsigned long long>(enough / kMiB));
  if (n > 0 && write(STDERR_FILENO, text.data(), static_cast<std::size_t>(n)) < 0) _exit(1);
  if (too_little) _exit(1);
}

}  // namespace

// The loader calls this before it starts any library.
__attribute__((section(".preinit_array"),
               used)) static void (*const kBeforeLibraries)(int, char**,
                                                            char**) = check_address_space;

int main(int argc, char** argv) { return trireme::run_program(argc, argv); }
