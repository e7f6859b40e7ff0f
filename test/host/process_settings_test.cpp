// SPDX-License-Identifier: Apache-2.0
// What the user has set stays, and limits only rise.
#include "trireme/host/process_settings.hpp"

#include <algorithm>
#include <map>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>

using namespace trireme;

namespace {

/// Whether a process with these variables gets a bounded spin.
bool bounds_spin(const std::map<std::string, const char*>& variables) {
  const auto missing = missing_settings([&](const char* name) -> const char* {
    const auto at = variables.find(name);
    return at == variables.end() ? nullptr : at->second;
  });
  return std::ranges::any_of(missing,
                             [](const auto& s) { return s.first == "GOMP_SPINCOUNT"; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_spin_is_bounded_unless_the_user_decides) {
  BOOST_TEST(bounds_spin({}));
  BOOST_TEST(bounds_spin({{"OMP_NUM_THREADS", "2"}}));
  BOOST_TEST(!bounds_spin({{"GOMP_SPINCOUNT", "infinite"}}));
  BOOST_TEST(!bounds_spin({{"OMP_WAIT_POLICY", "active"}}));
  const auto kernels = missing_settings([](const char* name) {
    return std::string(name) == "OPENBLAS_CORETYPE" ? "X" : nullptr;
  });
  BOOST_TEST(kernels.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_limit_of_open_files_rises_to_the_hard_one) {
  rlimit before{};
  BOOST_REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(before.rlim_cur, 64);
  BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  const std::int64_t raised = raise_open_files();
  rlimit after{};
  BOOST_REQUIRE(getrlimit(RLIMIT_NOFILE, &after) == 0);
  BOOST_TEST(after.rlim_cur == std::min<rlim_t>(before.rlim_max, 1 << 20));
  BOOST_TEST(static_cast<rlim_t>(raised) == after.rlim_cur);
  BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}
