// SPDX-License-Identifier: Apache-2.0
// A file of tiles beside arrays in memory: updates, and reads and writes of any stretch.
#include "trireme/optim/state_file.hpp"

#include <filesystem>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "trireme/core/random.hpp"

#include "../model/tiny_model.hpp"
#include "../support/temporary_folder.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// A layout with groups of less than a tile and of several tiles.
struct Model {
  Model() {
    ModelConfig config = tiny_config();
    config.hidden_size = 48;
    config.intermediate_size = 200;
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f32, config,
                                                TensorParallel{self.get(), false}, 0, units));
  }
  TinyExec cpu;
  std::unique_ptr<Communicator> self = make_self_communicator();
  std::vector<std::unique_ptr<ModelPart>> parts;
};

/// What the file should hold: [array][group][element].
using Mirror = std::vector<std::vector<std::vector<float>>>;

Mirror zeros(const FlatLayout& layout, std::size_t arrays) {
  Mirror mirror(arrays);
  for (auto& groups : mirror) {
    for (const FlatGroup& g : layout.groups()) {
      groups.emplace_back(static_cast<std::size_t>(g.count / layout.ranks()));
    }
  }
  return mirror;
}

/// Adds a number to each element, tile by tile, as an update does.
void update(StateFile& file, Mirror& mirror, float more) {
  for (std::size_t k = 0; k < file.tiles().size(); ++k) {
    const StateFile::Tile& t = file.tiles()[k];
    const auto arrays = file.open(k);
    BOOST_TEST_REQUIRE(arrays.size() == mirror.size());
    for (std::size_t a = 0; a < arrays.size(); ++a) {
      BOOST_TEST_REQUIRE(arrays[a].count() == t.count);
      for (std::int64_t i = 0; i < t.count; ++i) {
        float& expected = mirror[a][t.group][static_cast<std::size_t>(t.first + i)];
        float& got = arrays[a].data<float>()[i];
        BOOST_TEST_REQUIRE(got == expected);
        got += more * static_cast<float>(i % 101) + static_cast<float>(a);
        expected = got;
      }
    }
    file.close(k);
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(a_file_is_like_memory,
                     bdata::make({true, false}) * bdata::make({true, false}) *
                         bdata::make({1, 3}) * bdata::make({1, 2000}),
                     reads_ahead, writes_behind, arrays, buffer) {
  const Model model;
  const TemporaryFolder folder;
  const FlatLayout layout(model.parts, 2, 3000, 0);
  OffloadConfig config;
  config.nvme_path = folder / "";
  config.pipeline_read = reads_ahead;
  config.pipeline_write = writes_behind;
  config.buffer_count = 40;
  config.buffer_size = buffer;
  const auto number = static_cast<std::size_t>(arrays);
  StateFile file(model.cpu.ex, layout, config, std::vector<DType>(number, DType::f32), 0);
  BOOST_TEST(std::filesystem::is_empty(folder / ""));
  BOOST_TEST(file.tiles().size() >= layout.groups().size());
  Mirror mirror = zeros(layout, number);
  update(file, mirror, 1.5F);
  update(file, mirror, -0.25F);
  for (std::uint32_t turn = 0; turn < 200; ++turn) {
    const auto draw = philox({7, 11}, turn);
    const std::size_t a = draw[0] % number;
    const std::size_t g = draw[1] % layout.groups().size();
    auto& expected = mirror[a][g];
    const std::size_t first = draw[2] % expected.size();
    const std::size_t count = draw[3] % (expected.size() - first) + 1;
    std::vector<float> host(count, static_cast<float>(turn));
    const auto at = static_cast<std::int64_t>(first);
    const auto n = static_cast<std::int64_t>(count);
    if (turn % 3 == 0) {
      file.array(a, g)->write(at, n, host.data());
      std::ranges::copy(host, expected.begin() + at);
    } else {
      file.array(a, g)->read(at, n, host.data());
      BOOST_TEST_REQUIRE(std::ranges::equal(host, std::span(expected).subspan(first, count)));
    }
    if (turn % 50 == 49) update(file, mirror, 0.5F);
  }
  BOOST_TEST(file.traffic().read > 0);
  BOOST_TEST(file.traffic().written > 0);
}

BOOST_AUTO_TEST_CASE(types_of_a_tile) {
  const Model model;
  const TemporaryFolder folder;
  const FlatLayout layout(model.parts, 1, 500'000'000, 0);
  OffloadConfig config;
  config.nvme_path = folder / "";
  StateFile file(model.cpu.ex, layout, config, {DType::f32, DType::bf16}, 0);
  std::int64_t elements = 0;
  for (const StateFile::Tile& t : file.tiles()) elements += t.count;
  BOOST_TEST(elements == layout.count());
  const auto views = file.open(0);
  BOOST_TEST((views[0].dtype() == DType::f32 && views[1].dtype() == DType::bf16));
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(views[1].raw()) % 4096 == 0U);
  BOOST_TEST(file.file_bytes() >= 6 * layout.count());
  BOOST_TEST(file.file_bytes() <
             6 * layout.count() + 8192 * static_cast<std::int64_t>(file.tiles().size()));
  BOOST_TEST((file.array(1, 0)->dtype() == DType::bf16));
}
