// SPDX-License-Identifier: Apache-2.0
// The optimizer's state in files: no bit of a run changes, checkpoints are equal, and a file
// that fails ends all ranks with its name.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../support/temporary_folder.hpp"
#include "meshes.hpp"
#include "training.hpp"

namespace {

namespace bdata = boost::unit_test::data;
namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

const char* const kMeshes[] = {
    "dp2", "dp3", "dp2_tp2_sp", "dp2_pp2", "dp2_pp2_interleaved", "dp2_tp2_pp2"};

/// Ways through the pool. The smallest pool makes tiles of 4096 elements, less than a layer.
Json ways(int turn, const std::string& folder) {
  Json offload{{"device", "nvme"},
               {"nvme_path", folder},
               {"pipeline_read", turn % 4 < 2},
               {"pipeline_write", turn % 2 == 0},
               {"fast_init", turn % 3 == 0}};
  if (turn % 5 != 0) offload.update({{"buffer_count", 1}, {"buffer_size", 1}});
  return offload;
}

/// The deck with the optimizer's state in files of `folder`.
Json in_files(const Json& deck, int turn, const std::string& folder) {
  return merged(deck, {{"zero_optimization", {{"offload_optimizer", ways(turn, folder)}}},
                       {"aio",
                        {{"block_size", turn % 2 == 0 ? 4096 : 1048576},
                         {"queue_depth", 1 + turn % 7},
                         {"thread_count", 1 + turn % 2},
                         {"single_submit", turn % 3 == 1},
                         {"overlap_events", turn % 4 != 3}}}});
}

void compare(const std::string& what, const Training& got, const Training& expected) {
  const std::string off = difference(got, expected);
  BOOST_TEST(off.empty(), what << ": " << off);
}

std::string bytes_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Shards by name.
std::map<std::string, std::string> shards_of(const std::string& checkpoint) {
  std::map<std::string, std::string> shards;
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("shard-")) shards[name] = bytes_of(entry.path());
  }
  return shards;
}

std::string newest(const std::string& save) {
  std::ifstream latest(save + "/latest");
  std::string name;
  latest >> name;
  return save + "/" + name;
}

/// Empties one open file without a name that lies in `folder`. Returns whether there was one.
bool empty_one_file(const std::string& folder) {
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code code;
    const std::string target = fs::read_symlink(entry.path(), code).string();
    if (code || !target.starts_with(folder)) continue;
    return ftruncate(std::stoi(entry.path().filename().string()), 0) == 0;
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(offload)

BOOST_DATA_TEST_CASE(files_change_no_bit, bdata::make(kMeshes), name) {
  const LeverMesh& mesh = lever_mesh(name);
  const TemporaryFolder folder;
  const std::string files = folder / "";
  int turn = mesh.turn;
  for (const int stage : {1, 2, 3}) {
    for (int precision = 0; precision < 2; ++precision, ++turn) {
      const int accumulation = turn % 2 == 0 ? 1 : 4;
      const Json zero =
          merged({{"stage", stage}, {"overlap_comm", turn % 3 != 0}},
                 kLimits[static_cast<std::size_t>(turn / 5 + turn) % kLimits.size()]);
      const Json deck =
          lever_deck(mesh, accumulation, precision, zero,
                     kRecompute[static_cast<std::size_t>(turn) % kRecompute.size()]);
      compare(fmt::format("{} stage {} precision {} turn {}", name, stage, precision, turn),
              train(in_files(deck, turn, files), mesh.ranks), train(deck, mesh.ranks));
    }
  }
  BOOST_TEST(fs::is_empty(files));
}

BOOST_AUTO_TEST_CASE(skipped_steps_and_other_optimizers) {
  const LeverMesh mesh = mesh_of("dp2", {.dp = 2});
  const TemporaryFolder folder;
  const Json fp16{{"precision", "fp16"},
                  {"fp16", {{"initial_scale_power", 24}, {"loss_scale_window", 3}}}};
  const Json sgd{{"optimizer",
                  {{"type", "SGD"},
                   {"params", {{"momentum", 0.9}, {"betas", nullptr}, {"eps", nullptr}}}}}};
  for (const Json& more : {fp16, sgd}) {
    const Json deck =
        merged(lever_model(0), mesh.deck, {{"zero_optimization", {{"stage", 2}}}}, more);
    const Training plain = train(deck, 2);
    if (more.contains("fp16")) {
      const auto skipped = plain.skipped();
      BOOST_TEST(std::ranges::count(skipped, true) > 0);
    }
    compare(more.dump(), train(in_files(deck, 1, folder / ""), 2), plain);
  }
}

BOOST_AUTO_TEST_CASE(checkpoints_are_equal_and_restarts_go_on) {
  const LeverMesh mesh = mesh_of("dp2_tp2", {.dp = 2, .tp = 2});
  for (int precision = 0; precision < 2; ++precision) {
    const TemporaryFolder folder;
    const Json deck = lever_deck(mesh, 1, precision, {{"stage", 1 + 2 * precision}},
                                 {{"train_iters", 7}, {"lr_decay_iters", 20}});
    const Json offloaded = in_files(deck, 3, folder / "");
    const Training whole = train(deck, 4);
    (void)train(deck, 4, {.save = folder / "plain", .until = 4});
    (void)train(offloaded, 4, {.save = folder / "files", .until = 4});
    const auto expected = shards_of(newest(folder / "plain"));
    BOOST_TEST(expected.size() == 4U);
    BOOST_TEST((shards_of(newest(folder / "files")) == expected));
    for (const char* from : {"plain", "files"}) {
      const Training later = train(offloaded, 4, {.load = newest(folder / from)});
      const std::string off = array_difference(later, whole);
      BOOST_TEST(off.empty(), from << ": " << off);
    }
    const std::string off =
        array_difference(train(deck, 4, {.load = newest(folder / "files")}), whole);
    BOOST_TEST(off.empty(), off);
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_fails_ends_all_ranks) {
  const LeverMesh mesh = mesh_of("dp2", {.dp = 2});
  const TemporaryFolder folder;
  const Json deck =
      lever_deck(mesh, 1, 1, {{"stage", 2}, {"overlap_comm", false}}, {{"train_iters", 5}});
  std::once_flag once;
  bool emptied = false;
  std::atomic<std::int64_t> last = 0;
  const auto sabotage = [&](int rank, std::int64_t done, const PassNews&) {
    if (rank == 0 && done == 2) {
      std::call_once(once, [&] { emptied = empty_one_file(folder / ""); });
    }
    if (done > last) last = done;
    return false;
  };
  const auto error = failure_of(
      [&] { (void)train(in_files(deck, 1, folder / ""), 2, {.give_up = sabotage}); });
  BOOST_TEST(emptied);
  BOOST_TEST(last == 2);  // the step that read the file was the last
  BOOST_REQUIRE(error.has_value());
  const std::string text = error->what();
  BOOST_TEST(text.find("the optimizer's state: cannot read ") != std::string::npos, text);
  BOOST_TEST(text.find("the file ends there") != std::string::npos, text);
}

BOOST_AUTO_TEST_CASE(folders_that_are_of_no_use) {
  const LeverMesh mesh = mesh_of("dp2", {.dp = 2});
  const TemporaryFolder folder;
  const Json deck = lever_deck(mesh, 1, 1, {{"stage", 2}}, {{"train_iters", 2}});
  const auto trouble = [&](const std::string& path) {
    const auto error = failure_of([&] { (void)train(in_files(deck, 0, path), 2); });
    return error ? std::string(error->what()) : "none";
  };
  BOOST_TEST(trouble(folder / "missing").find("missing cannot be reached") !=
             std::string::npos);
  std::ofstream(folder / "file") << "x";
  BOOST_TEST(trouble(folder / "file").find("file is not a folder") != std::string::npos);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{20'000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string full = trouble(folder / "");
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  BOOST_TEST(full.find("no room in ") != std::string::npos, full);
}

BOOST_AUTO_TEST_SUITE_END()
