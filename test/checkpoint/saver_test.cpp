// SPDX-License-Identifier: Apache-2.0
// A saved state is read back, for any sharding, any writers, with async and without.
#include "trireme/checkpoint/saver.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/folder.hpp"
#include "trireme/core/replacement.hpp"

#include "world.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

constexpr std::array kCuts{Cut::whole, Cut::first_axis, Cut::last_axis, Cut::random,
                           Cut::replicas};

std::string step(std::int64_t iteration) {
  return fmt::format("save/global_step{}", iteration);
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& f : fs::directory_iterator(path)) names.push_back(f.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string text_in(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// All ranks read the checkpoint under every sharding.
void check_cuts(const std::string& path, const std::vector<Array>& arrays) {
  CheckpointReader reader(path);
  for (const Cut to : kCuts) {
    for (const Part& p : parts_of(arrays, to, ranks(), 3)) {
      if (p.rank != me()) continue;
      BOOST_TEST_CONTEXT(arrays[p.array].name << " read as " << static_cast<int>(to)) {
        BOOST_TEST(holds(reader, arrays[p.array], p.box));
      }
    }
  }
}

void check_cuts(const std::vector<Array>& arrays) {
  const SharedFolder folder;
  for (const Cut from : kCuts) {
    BOOST_TEST_CONTEXT("cut " << static_cast<int>(from)) {
      const auto iteration = static_cast<std::int64_t>(from);
      BOOST_TEST(save(folder / "save", arrays, from, iteration).failure == "");
      check_cuts(folder / step(iteration), arrays);
    }
  }
}

const std::vector<Array> kSmall{{"model/w", DType::f32, Shape{8, 4}, 1},
                                {"optimizer/exp_avg/w", DType::f64, Shape{8, 4}, 2}};

std::vector<Array> with_salt(std::vector<Array> arrays, unsigned salt) {
  for (Array& a : arrays) a.salt = salt;
  return arrays;
}

bool whole(const std::string& path, const std::vector<Array>& arrays) {
  CheckpointReader reader(path);
  return std::all_of(arrays.begin(), arrays.end(),
                     [&](const Array& a) { return holds(reader, a); });
}

/// A rank's state and its saver.
struct Run {
  std::vector<Part> parts;
  Memory memory;
  CheckpointSaver saver;

  Run(const SaveOptions& options, const std::vector<Array>& arrays, Cut cut)
      : parts(parts_of(arrays, cut, ranks())),
        memory(arrays, parts, me()),
        saver(options, memory.held(), std::nullopt, world()) {}
};

SaveOptions options_for(const std::string& folder, bool async = true) {
  SaveOptions options;
  options.folder = folder;
  options.async = async;
  return options;
}

}  // namespace

BOOST_AUTO_TEST_CASE(size_is_the_launchers) {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  BOOST_REQUIRE(size != nullptr);  // so that this program fails outside mpirun
  BOOST_TEST(ranks() == std::stoi(size));
}

BOOST_AUTO_TEST_CASE(every_cut_is_read_as_every_other) {
  check_cuts({{"a", DType::f32, Shape{7, 12}, 1},
              {"b", DType::f32, Shape{1, 5}, 2},
              {"model/c", DType::f32, Shape{13}, 3},
              {"model/d", DType::bf16, Shape{6, 10}, 4},
              {"optimizer/c", DType::f64, Shape{3, 5, 4}, 5},
              {"optimizer/master/x", DType::i64, Shape{2, 3, 4, 5}, 6},
              {"optimizer/x/y/z", DType::u64, Shape{1}, 7}});
}

BOOST_AUTO_TEST_CASE(pieces_of_many_chunks) {
  check_cuts({{"a", DType::f32, Shape{700, 1201}, 1}, {"b", DType::u8, Shape{1'200'001}, 2}});
}

BOOST_AUTO_TEST_CASE(parts_of_wider_memory_are_filled) {
  const SharedFolder folder;
  const Array array{"x", DType::f32, Shape{6, 4}, 5};
  (void)save(folder / "save", {array}, Cut::random, 1);
  CheckpointReader reader(folder / step(1));
  std::vector<float> back(6 * 7, -1);
  const Box part(Shape{1, 1}, Shape{4, 3});
  const Bytes expected = content(array, part);
  reader.read("x", part,
              View(back.data(), DType::f32, Shape{6, 7}).slice_rows(2, 4).slice_cols(2, 3));
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 7; ++j) {
      float want = -1;
      if (i >= 2 && j >= 2 && j < 5) {
        std::memcpy(&want, &expected[((i - 2) * 3 + j - 2) * sizeof want], sizeof want);
      }
      BOOST_TEST(std::memcmp(&back[i * 7 + j], &want, sizeof want) == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(state_names_and_types) {
  const SharedFolder folder;
  const auto report = save(folder / "save",
                           {{"model/layers.0.w", DType::f32, Shape{4}, 1},
                            {"optimizer/exp_avg/b", DType::f16, Shape{4}, 2}},
                           Cut::first_axis, 12);
  BOOST_TEST(report.iteration == 12);
  BOOST_TEST(report.bytes == 4 * 4 + 4 * 2);
  const CheckpointReader reader(folder / step(12));
  BOOST_TEST((reader.state() == some_state(12)));
  BOOST_TEST(
      reader.names() == (std::vector<std::string>{"model/layers.0.w", "optimizer/exp_avg/b"}),
      boost::test_tools::per_element());
  BOOST_TEST(reader.has("optimizer/exp_avg/b"));
  BOOST_TEST(!reader.has("optimizer/exp_avg"));
  BOOST_TEST(!reader.has("optimizer/exp_avg_sq/b"));
  BOOST_TEST((reader.dtype("optimizer/exp_avg/b") == DType::f16));
  BOOST_TEST(reader.pieces("model/layers.0.w") == std::min(ranks(), 4));
}

BOOST_AUTO_TEST_CASE(only_ranks_with_pieces_make_a_file) {
  const SharedFolder folder;
  (void)save(folder / "save", kSmall, Cut::whole, 3);
  const std::string shard = fmt::format("shard-{:05}.h5", ranks() - 1);
  BOOST_TEST(names_in(folder / step(3)) == (std::vector<std::string>{"checkpoint.h5", shard}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(replicas_share_what_they_write) {
  const SharedFolder folder;
  const std::vector<Array> arrays{{"a", DType::f32, Shape{1200, 100}, 1},
                                  {"b", DType::f32, Shape{3}, 2}};
  const auto report = save(folder / "save", arrays, Cut::replicas, 1);
  BOOST_TEST(report.bytes == 1200 * 100 * 4 + 12);
  CheckpointReader reader(folder / step(1));
  BOOST_TEST(std::ssize(reader.shards()) == ranks());
  BOOST_TEST(reader.pieces("a") == ranks());
  BOOST_TEST(reader.pieces("b") == 1);
  for (const auto& shard : reader.shards()) {
    BOOST_TEST(shard.bytes < report.bytes / ranks() + 20'000);
  }
}

BOOST_AUTO_TEST_CASE(writers_of_each_node) {
  const std::vector<Array> arrays{{"a", DType::f32, Shape{64, 16}, 1},
                                  {"b", DType::bf16, Shape{640}, 2}};
  for (const int per_node : {0, 1, 2}) {
    for (const bool async : {true, false}) {
      for (const int nodes : {1, 3}) {
        for (const Cut cut : {Cut::first_axis, Cut::replicas, Cut::whole}) {
          const SharedFolder folder;
          SaveOptions options = options_for(folder / "save", async);
          options.writers_per_node = per_node;
          options.node = fmt::format("node{}", me() % nodes);
          Run run(options, arrays, cut);
          std::set<std::string> expected{"checkpoint.h5"};
          const int last_node = (ranks() - 1) % nodes;
          for (int n = 0; n < std::min(nodes, ranks()); ++n) {
            const int size = (ranks() - n + nodes - 1) / nodes;
            const int writers = per_node == 0 ? size : std::min(size, per_node);
            for (int r = 0, before = -1; r < size; ++r) {
              const int part = r * writers / size;
              const bool first = std::exchange(before, part) != part;
              const bool holder =  // with Cut::whole the last rank holds everything
                  n == last_node && part == writers - 1;
              if (!first || (cut == Cut::whole && !holder)) continue;
              expected.insert(fmt::format("shard-{:05}.h5", n + r * nodes));
            }
          }
          run.saver.start(some_state(1));
          BOOST_TEST(run.saver.wait().value().failure == "");
          const auto names = names_in(folder / step(1));
          BOOST_TEST_CONTEXT(per_node << " writers, " << nodes << " nodes") {
            if (cut != Cut::replicas) {  // replicas are too small to be divided by many
              BOOST_TEST(names == (std::vector<std::string>(expected.begin(), expected.end())),
                         boost::test_tools::per_element());
            }
            BOOST_TEST(run.saver.writers() == std::ssize(names) - 1);
            BOOST_TEST((run.saver.staging_bytes() > 0) ==
                       ((async || per_node > 0) && !writing_share(run.memory.held()).empty()));
            check_cuts(folder / step(1), arrays);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_run_goes_on_while_its_state_is_written) {
  const SharedFolder folder;
  for (const int per_node : {0, 1}) {
    SaveOptions options = options_for(folder / "save");
    options.writers_per_node = per_node;
    Run run(options, kSmall, Cut::last_axis);
    for (unsigned salt = 1; salt < 4; ++salt) {
      const auto now = with_salt(kSmall, salt);
      run.memory.become(now, run.parts, me());
      BOOST_TEST(!run.saver.under_way());
      BOOST_TEST(!run.saver.advance().has_value());
      BOOST_TEST(!run.saver.wait().has_value());
      run.saver.start(some_state(salt));
      run.memory.spoil();
      BOOST_TEST(run.saver.under_way());
      BOOST_CHECK_THROW(run.saver.start(some_state(99)), Error);
      std::optional<SaveReport> report;
      while (!report) {  // a training loop polls after each step
        const auto busy = world().reduce_count(run.saver.idle() ? 0 : 1, Reduction::max);
        if (busy == 0) report = run.saver.advance();
      }
      BOOST_TEST(!run.saver.under_way());
      BOOST_TEST(report->failure == "");
      BOOST_TEST(report->iteration == salt);
      BOOST_TEST(report->stall_seconds > 0);  // ranks began at different times
      BOOST_TEST(report->write_seconds > 0);
      BOOST_TEST(report->total_seconds > 0);
      BOOST_TEST(whole(folder / step(salt), now));
    }
  }
}

BOOST_AUTO_TEST_CASE(without_async_memory_is_written_as_it_is) {
  const SharedFolder folder;
  Run run(options_for(folder / "save", false), kSmall, Cut::first_axis);
  BOOST_TEST(run.saver.staging_bytes() == 0U);
  for (unsigned salt = 1; salt < 3; ++salt) {
    run.memory.become(with_salt(kSmall, salt), run.parts, me());
    run.saver.start(some_state(salt));
    const SaveReport report = run.saver.wait().value();
    BOOST_TEST(report.failure == "");
    BOOST_TEST(report.stall_seconds == report.total_seconds);
    BOOST_TEST(whole(folder / step(salt), with_salt(kSmall, salt)));
  }
}

BOOST_AUTO_TEST_CASE(latest_names_the_newest) {
  const SharedFolder folder;
  for (const int iteration : {10, 20, 5}) {
    (void)save(folder / "save", kSmall, Cut::first_axis, iteration);
    BOOST_TEST(find_checkpoints(folder / "save").paths.at(0) == folder / step(iteration));
    BOOST_TEST(text_in(folder / "save/latest") == fmt::format("global_step{}\n", iteration));
  }
  BOOST_TEST(fs::exists(folder / "save/global_step10"));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_is_replaced_whole) {
  const SharedFolder folder;
  (void)save(folder / "save", kSmall, Cut::first_axis, 4);
  once([&] {
    fs::create_directories(folder / "save/global_step4.tmp");
    std::ofstream(folder / "save/global_step4.tmp/shard-00099.h5") << "of a dead run";
  });
  const auto other = with_salt(kSmall, 7);
  (void)save(folder / "save", other, Cut::whole, 4);
  BOOST_TEST(whole(folder / step(4), other));
  BOOST_TEST(names_in(folder / "save") == (std::vector<std::string>{"global_step4", "latest"}),
             boost::test_tools::per_element());
  BOOST_TEST(std::ssize(names_in(folder / step(4))) == 2);
}

BOOST_AUTO_TEST_CASE(leftovers_are_removed_and_told) {
  const SharedFolder folder;
  (void)save(folder / "save", kSmall, Cut::first_axis, 1);
  once([&] {
    for (const char* name :
         {"global_step7.tmp", "global_step8.12-00c0ffee.tmp", "global_step1.old", "mine.tmp"}) {
      fs::create_directories(folder / (std::string("save/") + name + "/deep"));
    }
    std::ofstream(folder / "save/latest.12-00c0ffee.tmp") << "glo";
  });
  Run run(options_for(folder / "save"), kSmall, Cut::first_axis);
  run.saver.start(some_state(2));
  const auto report = run.saver.wait().value();
  BOOST_TEST(report.failure == "");
  const std::string note = world().broadcast_text(report.note, 0);
  BOOST_TEST(note.find("global_step1.old, global_step7.tmp, global_step8.12-00c0ffee.tmp, "
                       "latest.12-00c0ffee.tmp") != std::string::npos,
             note);
  BOOST_TEST(
      names_in(folder / "save") ==
          (std::vector<std::string>{"global_step1", "global_step2", "latest", "mine.tmp"}),
      boost::test_tools::per_element());
  world().barrier();
  run.saver.start(some_state(3));
  BOOST_TEST(run.saver.wait().value().note == "");
}

BOOST_AUTO_TEST_CASE(a_saver_that_goes_leaves_no_half_checkpoint) {
  const SharedFolder folder;
  (void)save(folder / "save", kSmall, Cut::first_axis, 1);
  {
    Run run(options_for(folder / "save"), kSmall, Cut::last_axis);
    run.saver.start(some_state(2));
  }
  world().barrier();
  const std::string left =
      world().broadcast_text(temporary_name("global_step2", process_mark()), 0);
  BOOST_TEST(
      names_in(folder / "save") == (std::vector<std::string>{"global_step1", left, "latest"}),
      boost::test_tools::per_element());
  BOOST_TEST(find_checkpoints(folder / "save").paths.size() == 1U);
}

BOOST_AUTO_TEST_CASE(the_last_checkpoints_stay) {
  const SharedFolder folder;
  SaveOptions options = options_for(folder / "save");
  options.keep_last = 2;
  Run run(options, kSmall, Cut::first_axis);
  const auto save_at = [&](std::int64_t iteration) {
    run.saver.start(some_state(iteration));
    BOOST_TEST(run.saver.wait().value().failure == "");
    world().barrier();
    auto names = names_in(folder / "save");
    world().barrier();
    return names;
  };
  using Names = std::vector<std::string>;
  BOOST_TEST(save_at(5) == (Names{"global_step5", "latest"}), boost::test_tools::per_element());
  BOOST_TEST(save_at(10) == (Names{"global_step10", "global_step5", "latest"}),
             boost::test_tools::per_element());
  BOOST_TEST(save_at(15) == (Names{"global_step10", "global_step15", "latest"}),
             boost::test_tools::per_element());
  // A run that went back: the checkpoints of its abandoned future stay.
  BOOST_TEST(save_at(7) == (Names{"global_step10", "global_step15", "global_step7", "latest"}),
             boost::test_tools::per_element());
  BOOST_TEST(whole(folder / step(7), kSmall));
}
