// SPDX-License-Identifier: Apache-2.0
// Names in a folder of checkpoints. Each rank has a folder of its own.
#include "trireme/checkpoint/folder.hpp"

#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>

#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

using Names = std::vector<std::string>;

/// SAVE, filled by a test.
class Save {
 public:
  explicit Save(const Names& folders = {}) {
    for (const auto& f : folders) fs::create_directory(path(f));
  }
  [[nodiscard]] std::string path(const std::string& name = "") const { return folder_ / name; }
  void latest(const std::string& text) const { std::ofstream(path("latest")) << text; }
  [[nodiscard]] bool has(const std::string& name) const { return fs::exists(path(name)); }
  /// Names of what may be loaded, best first.
  [[nodiscard]] Names candidates() const {
    Names names;
    for (const auto& p : find_checkpoints(path()).paths) {
      BOOST_TEST(fs::path(p).parent_path() == fs::path(path()).parent_path());
      names.push_back(fs::path(p).filename());
    }
    return names;
  }
  [[nodiscard]] std::string note() const { return find_checkpoints(path()).note; }

 private:
  TemporaryFolder folder_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(names_hold_their_iteration) {
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{7}, INT64_MAX}) {
    const std::string name = checkpoint_name(n);
    BOOST_TEST(checkpoint_iteration(name).value() == n);
    BOOST_TEST(checkpoint_iteration("/runs/global_step3/" + name + "/").value() == n);
  }
  BOOST_TEST(checkpoint_name(12) == "global_step12");
  for (const std::string name :
       {"", "/", "global_step", "global_step-1", "global_step+1", "global_step07",
        "global_step00", "global_step 7", "global_step7 ", "global_step7.tmp",
        "global_step7.old", "global_step7x", "xglobal_step7", "global_step7/x",
        "global_step9223372036854775808", "global_step99999999999999999999", "step7"}) {
    BOOST_TEST(!checkpoint_iteration(name), "\"" << name << "\"");
  }
}

BOOST_AUTO_TEST_CASE(latest_is_read) {
  const Save save;
  BOOST_TEST(!latest_name(save.path()).has_value());
  BOOST_TEST(!latest_name(save.path("nowhere")).has_value());
  for (const std::string text : {"global_step7", "global_step7\n", "global_step7 \r\n\n"}) {
    save.latest(text);
    BOOST_TEST(latest_name(save.path()).value() == "global_step7");
  }
  BOOST_TEST(!latest_name(save.path("latest")).has_value());  // SAVE is a file
}

BOOST_AUTO_TEST_CASE(latest_is_not_trusted) {
  const Save save({"global_step3", "global_step7.tmp"});
  for (const std::string& text :
       Names{"", "\n", "../etc", "/etc", ".", "..", "a/b", "a b", "latest", "global_step7.tmp",
             "global_step07", "./global_step3", "global_step3\nx", " global_step3",
             std::string("global_step3\0", 13), std::string(100'000, '7')}) {
    save.latest(text);
    BOOST_TEST_CONTEXT("latest \"" << text.substr(0, 99) << "\"") {
      TRM_TEST_MENTIONS(error_of([&] { (void)latest_name(save.path()); }),
                        save.path("latest") + ": ");
      BOOST_TEST(save.candidates() == Names{"global_step3"}, boost::test_tools::per_element());
      TRM_TEST_MENTIONS(save.note(), save.path("latest") + ": damaged");
      BOOST_TEST(outdated(save.path(), 9, 1).empty());
    }
  }
  fs::remove(save.path("latest"));
  fs::create_directory(save.path("latest"));
  BOOST_CHECK_THROW((void)latest_name(save.path()), Error);
  BOOST_TEST(save.candidates() == Names{"global_step3"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_best_comes_first) {
  const Save save({"global_step9", "global_step10", "global_step100", "global_step0",
                   "global_step20.tmp", "global_step020", "step30", "other", "global_step60"});
  std::ofstream(save.path("global_step40")) << "a file";
  fs::create_directory_symlink(save.path("global_step9"), save.path("global_step50"));
  fs::create_directory_symlink("global_step70", save.path("global_step70"));  // a circle
  save.latest("global_step10\n");
  const Names sorted{"global_step10", "global_step9",  "global_step0",
                     "global_step50", "global_step60", "global_step100"};
  BOOST_TEST(save.candidates() == sorted, boost::test_tools::per_element());
  BOOST_TEST(save.note().empty());
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_latest_is_said) {
  const Save save({"global_step2", "global_step12"});
  const Names falling{"global_step12", "global_step2"};
  BOOST_TEST(save.candidates() == falling, boost::test_tools::per_element());
  BOOST_TEST(save.note() == "there is no " + save.path("latest"));

  save.latest("global_step7\n");
  const Names past_first{"global_step2", "global_step12"};
  BOOST_TEST(save.candidates() == past_first, boost::test_tools::per_element());
  const std::string names = save.path("latest") + " names global_step7, but ";
  BOOST_TEST(save.note() == names + "there is no such folder");
  std::ofstream(save.path("global_step7")) << "a file";
  BOOST_TEST(save.note() == names + "the name is not a folder's");
}

BOOST_AUTO_TEST_CASE(nothing_to_load) {
  const Save save({"global_step3.tmp"});
  std::ofstream(save.path("file")) << "text";
  for (const std::string& path : {save.path(), save.path("nowhere"), save.path("file")}) {
    const Candidates none = find_checkpoints(path);
    BOOST_TEST(none.paths.empty());
    BOOST_TEST(none.note.empty());
  }
  save.latest("global_step3");
  BOOST_TEST(save.candidates().empty());
  TRM_TEST_MENTIONS(save.note(), "names global_step3, but there is no such folder");
}

BOOST_AUTO_TEST_CASE(an_old_one_counts_where_its_successor_is_missing) {
  const Save save({"global_step4", "global_step7.old", "global_step9", "global_step9.old",
                   "global_step8.old.tmp"});
  save.latest("global_step7");
  const Names names{"global_step7.old", "global_step4", "global_step9"};
  BOOST_TEST(save.candidates() == names, boost::test_tools::per_element());
  BOOST_TEST(save.note().empty());
  BOOST_TEST(find_leftovers(save.path()) == Names({"global_step8.old.tmp", "global_step9.old"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(leftovers_are_found) {
  const Save save({"global_step9", "global_step9.tmp", "global_step10.tmp",
                   "global_step010.tmp", "other.tmp", "global_step.tmp",
                   "global_step4.12-00c0ffee.tmp", "global_step5.old.12-00c0ffee.tmp",
                   "global_step6.12-.tmp", "global_step6.-00c0ffee.tmp"});
  std::ofstream(save.path("latest.tmp")) << "global_st";
  std::ofstream(save.path("global_step11.tmp")) << "a file";
  std::ofstream(save.path("latest.4711-9f3a21c0.tmp")) << "global_st";
  const Names names{
      "global_step10.tmp", "global_step4.12-00c0ffee.tmp", "global_step5.old.12-00c0ffee.tmp",
      "global_step9.tmp",  "latest.4711-9f3a21c0.tmp",     "latest.tmp"};
  BOOST_TEST(find_leftovers(save.path()) == names, boost::test_tools::per_element());
  BOOST_TEST(find_leftovers(save.path("nowhere")).empty());
}

BOOST_AUTO_TEST_CASE(the_newest_of_the_past_stay) {
  const Save save({"global_step2", "global_step4", "global_step6", "global_step8.old",
                   "global_step10", "global_step12"});
  const auto check = [&](std::int64_t iteration, std::int64_t keep, const Names& expected) {
    BOOST_TEST_CONTEXT("at " << iteration << ", keep " << keep) {
      BOOST_TEST(outdated(save.path(), iteration, keep) == expected,
                 boost::test_tools::per_element());
    }
  };
  save.latest("global_step10\n");
  check(10, 0, {});
  check(10, -1, {});
  check(10, 1, {"global_step8.old", "global_step6", "global_step4", "global_step2"});
  check(10, 3, {"global_step4", "global_step2"});
  check(10, 5, {});
  check(12, 1, {"global_step8.old", "global_step6", "global_step4", "global_step2"});
  save.latest("global_step2\n");
  check(10, 3, {"global_step4"});
  save.latest("global_step8\n");
  check(10, 1, {"global_step6", "global_step4", "global_step2"});
}

BOOST_AUTO_TEST_CASE(a_checkpoint_is_removed) {
  const Save save({"global_step2", "global_step2.tmp", "global_step4", "global_step6.old"});
  std::ofstream(save.path("global_step2/shard")) << "new";
  std::ofstream(save.path("global_step2.tmp/shard")) << "of a dead run";
  remove_checkpoint(save.path(), "global_step2");
  remove_checkpoint(save.path(), "global_step6.old");
  for (const auto& name : {"global_step2", "global_step6.old"}) BOOST_TEST(!save.has(name));
  BOOST_TEST(save.has("global_step4"));
  BOOST_TEST(find_leftovers(save.path()) == Names{"global_step2.tmp"},
             boost::test_tools::per_element());

  const auto message = error_of([&] { remove_checkpoint(save.path(), "global_step2"); });
  TRM_TEST_MENTIONS(message, save.path("global_step2") + ": cannot rename");
  BOOST_CHECK_THROW(remove_checkpoint(save.path(), "../x"), Error);
}
