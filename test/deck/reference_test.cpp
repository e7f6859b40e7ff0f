// SPDX-License-Identifier: Apache-2.0
// The reference of keys in inputs/README.md, and the table that it comes from.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "trireme/deck/keys.hpp"

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

BOOST_AUTO_TEST_SUITE(deck_reference)

BOOST_AUTO_TEST_CASE(the_page_has_the_whole_table) {
  std::ifstream file(TRIREME_TEST_DIR "/../inputs/README.md");
  std::stringstream page;
  page << file.rdbuf();
  const std::string text = page.str();
  const std::string begin = "<!-- keys -->\n";
  const std::size_t from = text.find(begin);
  const std::size_t end = text.find("<!-- end of keys -->");
  BOOST_REQUIRE(from != std::string::npos && end != std::string::npos);
  const std::string listed = text.substr(from + begin.size(), end - from - begin.size());
  if (listed == key_reference()) return;
  const auto expected = std::filesystem::temp_directory_path() / "trireme_keys.md";
  std::ofstream(expected) << key_reference();
  BOOST_ERROR("inputs/README.md has other keys than " << expected
                                                      << ", which `trireme keys --markdown` "
                                                         "wrote");
}

BOOST_AUTO_TEST_CASE(each_row_says_all) {
  std::set<std::string> paths;
  for (const deck::KnownKey& key : deck::known_keys()) {
    BOOST_CHECK_MESSAGE(paths.insert(key.path).second, key.path << " stands there twice");
    BOOST_CHECK_MESSAGE(!key.type.empty() && !key.usual.empty() && !key.doc.empty(),
                        key.path << " lacks its type, default or meaning");
    const bool refused = key.standing == deck::Standing::not_available;
    BOOST_CHECK_MESSAGE(!refused || !key.advice.empty(), key.path << " gives no advice");
  }
  BOOST_CHECK_GE(paths.size(), 550U);
}

BOOST_AUTO_TEST_CASE(the_default_of_every_foreign_key_asks_for_nothing) {
  for (const deck::KnownKey& key : deck::known_keys()) {
    if (key.standing == deck::Standing::honoured) continue;
    std::string value = key.usual;
    std::string path = key.path;
    for (std::size_t dot = path.rfind('.'); dot != std::string::npos; dot = path.rfind('.')) {
      value = fmt::format("{{{}: {}}}", path.substr(dot + 1), value);
      path.resize(dot);
    }
    try {
      static_cast<void>(parse_deck(kLeast + path + ": " + value + "\n", "x.yml"));
    } catch (const Error& e) {
      BOOST_ERROR(key.path << ": " << e.what());
    }
  }
}

BOOST_AUTO_TEST_CASE(patterns_select_keys) {
  const auto has = [](const std::string& pattern, const std::string& path) {
    return contains(describe_keys(pattern), "\n  " + path + ": ");
  };
  BOOST_CHECK(has("zero_optimization.stage", "zero_optimization.stage"));
  BOOST_CHECK(!has("zero_optimization.stage", "num_layers"));
  BOOST_CHECK(has("WANDB", "wandb_project"));
  BOOST_CHECK(has("warm*lr", "scheduler.params.warmup_max_lr"));
  BOOST_CHECK(has("zero-stage", "zero_optimization.stage"));  // an alias
  BOOST_CHECK(has("clipping", "gradient_clipping"));
  BOOST_CHECK_EQUAL(describe_keys("no such key"), "");
}

BOOST_AUTO_TEST_SUITE_END()
