// SPDX-License-Identifier: Apache-2.0
// Paths as a shell would write them, and the key overwrite.
#include "../../src/deck/paths.hpp"

#include <cstdlib>
#include <fstream>
#include <map>
#include <pwd.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

const char* variable(const char* name) {
  static const std::map<std::string, std::string> values{
      {"HOME", "/home/me"}, {"SCRATCH", "/scratch"}, {"A_1", "x"}, {"EMPTY", ""}};
  const auto at = values.find(name);
  return at == values.end() ? nullptr : at->second.c_str();
}

std::string expanded(const std::string& path) { return deck::expand_path(path, variable); }

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_paths)

BOOST_AUTO_TEST_CASE(names_are_replaced) {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"runs/a", "runs/a"},
      {"~", "/home/me"},
      {"~/runs", "/home/me/runs"},
      {"a/~/b~", "a/~/b~"},
      {"$SCRATCH/runs", "/scratch/runs"},
      {"${SCRATCH}runs", "/scratchruns"},
      {"a$A_1.b$A_1", "ax.bx"},
      {"a$$SCRATCH", "a$SCRATCH"},
      {"", ""},
  };
  for (const auto& [path, whole] : pairs) BOOST_TEST(expanded(path) == whole, path);
  const passwd* me = getpwuid(geteuid());
  if (me != nullptr) {
    BOOST_TEST(expanded(std::string("~") + me->pw_name + "/x") ==
               std::string(me->pw_dir) + "/x");
  }
}

BOOST_AUTO_TEST_CASE(what_is_unknown_is_an_error) {
  for (const std::string path : {"$NONE/a", "a/${NONE}", "$EMPTY/a"}) {
    TRM_TEST_MENTIONS(error_of([&] { (void)expanded(path); }), "is not set");
  }
  for (const std::string path : {"a$", "a$/b", "${}", "${HOME", "$-"}) {
    TRM_TEST_MENTIONS(error_of([&] { (void)expanded(path); }), "a variable's name");
  }
  TRM_TEST_MENTIONS(error_of([] { (void)expanded("~no-such-user-here/a"); }),
                    "there is no user");
  TRM_TEST_MENTIONS(error_of([] { (void)expanded(std::string("a\0b", 3)); }), "NUL");
}

BOOST_AUTO_TEST_CASE(every_path_of_a_deck_is_expanded) {
  const TemporaryFolder folder;
  const std::string file = folder / "x.yml";
  const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  BOOST_REQUIRE(!home.empty());
  std::ofstream(file) << kLeast.substr(0, kLeast.find("data_path"))
                      << "save: ~/s\nload: $HOME/l\nrun_dir: ${HOME}/r\n"
                         "tensorboard: {enabled: true, output_path: ~/t, job_name: j}\n"
                         "train_data_paths: [~/a, b]\nvalid_data_paths: $HOME/v\n";
  const Deck d = read_deck({file});
  BOOST_TEST(d.save == home + "/s");
  BOOST_TEST(d.load == home + "/l");
  BOOST_TEST(d.run_dir == home + "/r");
  BOOST_TEST(d.tensorboard_dir == home + "/t/j");
  BOOST_TEST(d.train_data_paths[0] == home + "/a");
  BOOST_TEST(d.train_data_paths[1] == "b");
  BOOST_TEST(d.valid_data_paths[0] == home + "/v");
  BOOST_TEST(read_deck({file}, {"save=$$x/~"}).save == "$x/~");
  const std::string error =
      error_of([&] { (void)read_deck({file}, {"load=$NO_SUCH_NAME/x"}); });
  TRM_TEST_MENTIONS(error, "--set load=");
  TRM_TEST_MENTIONS(error, "load: $NO_SUCH_NAME/x: the variable NO_SUCH_NAME is not set");
  TRM_TEST_MENTIONS(error_of([&] { (void)read_deck({file}, {"save=\"a\\0b\""}); }), "NUL");
}

BOOST_AUTO_TEST_CASE(a_resolved_deck_reads_back_as_itself) {
  const TemporaryFolder folder;
  Deck d = parse_deck(kLeast, "x.yml");
  d.save = "~/a$HOME";
  d.run_dir = "$$";
  BOOST_CHECK(parse_deck(to_yaml(d), "y.yml") == d);
  std::ofstream(folder / "y.yml") << to_yaml_for_users(d);
  const Deck again = read_deck({folder / "y.yml"});
  BOOST_TEST(again.save == "./~/a$HOME");
  BOOST_TEST(again.run_dir == "$$");
}

BOOST_AUTO_TEST_CASE(overwrite_belongs_to_a_start) {
  BOOST_TEST(!parse_deck(kLeast, "x.yml").overwrite);
  const Deck d = parse_deck(kLeast + "overwrite: true\n", "x.yml");
  BOOST_TEST(d.overwrite);
  BOOST_TEST(to_yaml(d).find("overwrite") == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
