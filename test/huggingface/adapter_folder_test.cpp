// SPDX-License-Identifier: Apache-2.0
// Folders of adapters: what is refused by name, and adapters that go out and come in again.
#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/checkpoint/reader.hpp"
#include "trireme/checkpoint/weight_writer.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/huggingface/adapters.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "../support/error_of.hpp"
#include "../support/golden/machine.hpp"
#include "../support/temporary_folder.hpp"
#include "published.hpp"

namespace {

using namespace trireme;
using namespace trireme::test;
using huggingface::ModelFolder;
using Json = nlohmann::json;

void write_config(const std::string& folder, const Json& config) {
  std::ofstream(folder + "/adapter_config.json") << config.dump();
}

/// A copy of adapters beside the llama of the goldens.
Json copy_adapters(const std::string& to) {
  std::filesystem::copy(published_folder("peft_llama"), to);
  Json config = Json::parse(read_file(to + "/adapter_config.json"));
  config["base_model_name_or_path"] = published_folder("llama");
  write_config(to, config);
  return config;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_adapters_cannot_be_is_refused_by_name) {
  const TemporaryFolder folder(memory_folder());
  const std::string to = folder / "adapters";
  const Json good = copy_adapters(to);
  BOOST_TEST(ModelFolder(to).deck().model.lora.rank == 4);
  const std::tuple<const char*, Json, const char*> cases[] = {
      {"peft_type", "IA3", "peft_type is \"IA3\"; only LORA"},
      {"bias", "all", "bias is \"all\"; only none"},
      {"use_dora", true, "use_dora is true"},
      {"rank_pattern", {{"q_proj", 4}}, "rank_pattern is {\"q_proj\":4}"},
      {"modules_to_save", {"lm_head"}, "modules_to_save is [\"lm_head\"]"},
      {"a_new_field", 1, "a_new_field is 1"},
      {"init_lora_weights", "pissa", "init_lora_weights is \"pissa\""},
      {"lora_alpha", "six", "lora_alpha is \"six\", which is of another kind"},
      {"lora_alpha", 0, "lora_alpha 0"},
      {"r", 3, "is [2, 24], not [3, 24] as rank and model say"},
      {"base_model_name_or_path", "some/model", "no folder with config.json is there"},
      {"base_model_name_or_path", to, "no folder with config.json is there"},
      {"base_model_name_or_path", published_folder("gpt2"), "no adapter belongs to a matrix"}};
  for (const auto& [field, value, said] : cases) {
    Json config = good;
    config[field] = value;
    write_config(to, config);
    const std::string error = error_of([&, folder = to] { ModelFolder model(folder); });
    BOOST_TEST(error.find(said) != std::string::npos, error << " for " << said);
  }
}

BOOST_AUTO_TEST_CASE(adapters_go_out_and_come_in_again) {
  const TemporaryFolder folder(memory_folder());
  ModelFolder source(published_folder("peft_llama"));
  RunState state;
  state.deck = to_yaml(source.deck());
  write_weights(folder / "run", state, {.source = source});
  CheckpointReader reader(folder / "run/global_step0");
  const auto done = huggingface::write_adapter_folder(
      reader, source.deck(), {.to = folder / "out", .model_type = "llama", .origin = "x"});
  // Queries, keys and values get A and their rows of B each, and two matrices stand alone.
  BOOST_TEST(done.matrices == 4 * source.deck().model.num_layers);
  ModelFolder again(folder / "out");
  BOOST_TEST(std::filesystem::equivalent(again.base(), published_folder("llama")));
  BOOST_TEST(again.deck().model.lora.rank == source.deck().model.lora.rank);
  BOOST_TEST(again.deck().model.lora.scale() == source.deck().model.lora.scale());
  BOOST_TEST(again.names() == source.names());
  for (const std::string& name : source.names()) {
    BOOST_TEST(floats_of(again, name) == floats_of(source, name), name);
  }
}
