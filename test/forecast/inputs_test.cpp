// SPDX-License-Identifier: Apache-2.0
// Every deck in inputs/ plans on the ranks that the deck is made for, and has the number of
// parameters that its model is known by.
#include <filesystem>
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/forecast/run_plan.hpp"
#include "trireme/model/transformer.hpp"

using namespace trireme;

namespace fs = std::filesystem;

namespace {

struct Input {
  std::string name;
  int ranks = 0;
  std::int64_t parameters = 0;  ///< from the model's page or paper; 0: not checked
};

// Pythias: the counts on their pages, with the padded vocabulary. Llamas: test/deck.
const std::vector<Input> kInputs{{"gcide", 2, 0},
                                 {"gpt2-124m", 1, 0},
                                 {"pythia-14m", 1, 14'067'712},
                                 {"pythia-31m", 1, 30'494'720},
                                 {"pythia-70m", 1, 70'426'624},
                                 {"pythia-160m", 1, 162'322'944},
                                 {"pythia-410m", 32, 405'334'016},
                                 {"pythia-1b", 64, 1'011'781'632},
                                 {"pythia-1.4b", 1, 1'414'647'808},
                                 {"pythia-2.8b", 64, 2'775'208'960},
                                 {"pythia-6.9b", 128, 6'857'302'016},
                                 {"pythia-12b", 256, 11'846'072'320},
                                 {"neox-20b", 96, 20'554'567'680},
                                 {"llama-7b", 64, 6'738'415'616},
                                 {"llama-13b", 128, 13'015'864'320},
                                 {"llama-30b", 256, 32'528'943'616},
                                 {"llama-65b", 1024, 65'285'660'672},
                                 {"llama2-70b", 1024, 68'976'648'192},
                                 {"gpt3-175b", 1536, 174'615'846'912},
                                 {"gpt-1t", 3072, 0},
                                 // The counts of PyTorch's nn.Linear layers of these widths.
                                 {"linear-ddp", 4, 7'850},
                                 {"mlp-pipeline", 3, 535'818},
                                 // The count of transformers' ViTForImageClassification.
                                 {"vit-digits", 2, 139'018},
                                 {"bert-classify", 2, 0}};

constexpr double kGiB = 1024.0 * 1024 * 1024;

}  // namespace

BOOST_AUTO_TEST_SUITE(inputs)

BOOST_AUTO_TEST_CASE(every_deck_is_listed) {
  std::set<std::string> listed;
  for (const Input& input : kInputs) listed.insert(input.name + ".yml");
  for (const auto& file : fs::directory_iterator(TRIREME_TEST_DIR "/../inputs")) {
    if (file.path().extension() != ".yml") continue;
    BOOST_CHECK_MESSAGE(listed.contains(file.path().filename()), file.path());
  }
}

BOOST_AUTO_TEST_CASE(every_deck_plans_and_fits) {
  for (const Input& input : kInputs) {
    const std::string path = TRIREME_TEST_DIR "/../inputs/" + input.name + ".yml";
    std::vector<std::string> overrides;
    if (input.name == "gcide" || input.name == "gpt2-124m") overrides = {"vocab_size=257"};
    if (input.name == "bert-classify") {  // a JSON file of DeepSpeed gives the rest
      overrides = {"vocab_size=4096", "num_labels=5", "train_batch_size=64",
                   "optimizer.params.lr=1e-3"};
    }
    Deck deck = read_deck({path}, overrides);
    for (const std::string& w : deck.warnings) BOOST_ERROR(path << ": " << w);
    resolve(deck, input.ranks);
    if (input.parameters > 0) {
      BOOST_CHECK_MESSAGE(count_parameters(deck.model) == input.parameters,
                          path << ": " << count_parameters(deck.model));
    }
    const RunPlan plan = plan_run(deck, input.ranks, 0);
    std::int64_t most = 0;
    for (const StagePlan& stage : plan.stages) most = std::max(most, stage.reserved());
    BOOST_CHECK_MESSAGE(static_cast<double>(most) < 74 * kGiB,
                        path << " needs " << static_cast<double>(most) / kGiB << " GiB");
    BOOST_TEST_MESSAGE(input.name << ": " << static_cast<double>(most) / kGiB << " GiB");
  }
}

BOOST_AUTO_TEST_SUITE_END()
