// SPDX-License-Identifier: Apache-2.0
// Groups, spans and slices: every element has one owner, for any number of ranks and buckets.
#include "trireme/optim/layout.hpp"

#include <map>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../model/tiny_model.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

struct Model {
  explicit Model(bool tied) {
    ModelConfig config = tiny_config();
    config.no_weight_tying = !tied;
    const auto units = static_cast<int>(list_units(config).size());
    parts.push_back(std::make_unique<ModelPart>(cpu.ex, DType::f32, config,
                                                TensorParallel{self.get(), false}, 0, units));
  }
  TinyExec cpu;
  std::unique_ptr<Communicator> self = make_self_communicator();
  std::vector<std::unique_ptr<ModelPart>> parts;
};

}  // namespace

BOOST_DATA_TEST_CASE(every_element_has_one_owner,
                     bdata::make({1, 2, 3, 7, 64}) * bdata::make({1, 100, 5000, 500'000'000}) *
                         bdata::make({0, 50, 100'000}),
                     ranks, bucket, threshold) {
  const Model model(true);
  const FlatLayout layout(model.parts, ranks, bucket, threshold);
  std::map<const Parameter*, std::vector<int>> owners;
  for (const Parameter* p : layout.parameters()) {
    owners[p].resize(static_cast<std::size_t>(p->box.count()));
  }
  for (std::size_t g = 0; g < layout.groups().size(); ++g) {
    const FlatGroup& group = layout.groups()[g];
    std::int64_t end = 0;
    for (const FlatSpan& span : group.spans) {
      BOOST_TEST(span.offset == end);
      BOOST_TEST(span.block % 16 == 0);
      const bool fits = span.block * ranks <= bucket || span.block == 16;
      BOOST_TEST(fits, span.block << " of each of " << ranks << " ranks");
      end += span.block * ranks;
    }
    BOOST_TEST(end == group.count);
    for (int r = 0; r < ranks; ++r) {
      std::int64_t last = -1;
      for (const FlatSlice& s : layout.slices(g, r)) {
        BOOST_TEST(s.in_own > last);
        last = s.in_own + s.count - 1;
        for (std::int64_t i = 0; i < s.count; ++i) {
          ++owners[s.parameter][static_cast<std::size_t>(s.first + i)];
        }
      }
      BOOST_TEST(last < group.count / ranks);
    }
    for (const Parameter* p : group.parameters) {
      BOOST_TEST(group.stays_whole == (p->box.count() <= threshold), p->name);
    }
  }
  for (const auto& [p, counts] : owners) {
    BOOST_TEST(std::ranges::all_of(counts, [](int n) { return n == 1; }), p->name);
  }
}

BOOST_AUTO_TEST_CASE(units_know_their_groups) {
  const Model model(true);
  const FlatLayout layout(model.parts, 2, 1000, 100);
  const auto units = model.parts[0]->units().size();
  const auto& table = layout.groups_of({0, 0});
  BOOST_TEST(layout.groups()[table.front()].parameters.front()->name == "embed_in.weight");
  // A tied head uses the embedding's table, which is complete only after the embedding.
  BOOST_TEST(layout.groups_of({0, units - 1}) == table, boost::test_tools::per_element());
  BOOST_TEST(layout.groups()[table.front()].owner.unit == 0U);
  for (std::size_t u = 0; u < units; ++u) {
    for (const std::size_t g : layout.groups_of({0, u})) {
      BOOST_TEST(layout.groups()[g].owner.unit <= u);
    }
  }
}

BOOST_AUTO_TEST_CASE(blocks_of_arrays) {
  const Model model(false);
  const FlatLayout layout(model.parts, 4, 500, 0);
  for (const FlatGroup& group : layout.groups()) {
    const FlatArray whole = FlatArray::zeros(model.cpu.ex, DType::f32, group, true, 4);
    const FlatArray own = FlatArray::zeros(model.cpu.ex, DType::f32, group, false, 4);
    BOOST_TEST(whole.bytes() == 4 * own.bytes());
    for (const FlatSpan& span : group.spans) {
      BOOST_TEST(whole.block(span, 3, 4).raw() ==
                 whole.data.data<float>() + span.offset + 3 * span.block);
      BOOST_TEST(own.block(span, 3, 4).raw() == own.data.data<float>() + span.offset / 4);
      BOOST_TEST(whole.all_blocks(span, 4).count() == 4 * span.block);
      BOOST_CHECK_THROW((void)own.all_blocks(span, 4), Error);
    }
  }
}
