// SPDX-License-Identifier: Apache-2.0
// measuring
#include <cstdlib>
#include <map>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "../train/meshes.hpp"
#include "verified.hpp"

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

BOOST_AUTO_TEST_SUITE(honest)
BOOST_AUTO_TEST_CASE(measure) {
  std::map<std::string, std::pair<double, std::string>> most;
  for (const auto& mesh : parity_meshes()) {
    std::size_t turn = static_cast<std::size_t>(mesh.turn);
    for (std::size_t model = 0; model < kParityModels; ++model)
      for (const char* precision : {"fp32", "bfloat16", "fp16"}) {
        ++turn;
        Json deck = merged(
            parity_deck(model, turn % 2 == 0), mesh.deck,
            {{"gradient_accumulation_steps", turn % 3 == 0 ? 4 : (mesh.name == "pp3" ? 4 : 1)},
             {"precision", precision},
             {"zero_optimization", {{"stage", turn % 4}}}});
        deck["fp16"] = Json{{"initial_scale_power", 10}};
        if (std::string(precision) != "fp16") deck.erase("fp16");
        try {
          const VerifyReport r = verified(deck, mesh.ranks);
          for (const VerifyRow& row : r.rows) {
            auto& m = most[fmt::format("{} {} step{}", precision, name_of(row.kind), row.step)];
            if (row.difference >= m.first)
              m = {row.difference, fmt::format("{} model {} {} z{} {} {}", mesh.name, model,
                                               row.tensor, turn % 4, row.got, row.expected)};
          }
          for (auto& n : r.notes) fmt::print("{} {}\n", mesh.name, n);
        } catch (const std::exception& e) {
          fmt::print("{} {} {}: {}\n", mesh.name, model, precision, e.what());
        }
      }
    fmt::print("{}\n", mesh.name);
    std::fflush(stdout);
  }
  for (auto& [k, m] : most) fmt::print("{:<24} {:.3g}  {}\n", k, m.first, m.second);
}
BOOST_AUTO_TEST_SUITE_END()
