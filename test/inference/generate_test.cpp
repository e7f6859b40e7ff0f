// SPDX-License-Identifier: Apache-2.0
// Generation with a cache against full passes, on every mesh, in batches of any lengths.
#include "trireme/inference/generate.hpp"

#include <mutex>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "ranks.hpp"

namespace {

namespace bdata = boost::unit_test::data;
using namespace trireme;
using namespace trireme::test;

/// Models that differ in all that a cache or a mesh meets.
ModelConfig model(std::size_t number) {
  ModelConfig c;
  c.num_layers = 3;
  c.hidden_size = 32;
  c.num_attention_heads = 4;
  c.num_kv_heads = 4;
  c.seq_length = 48;
  c.max_position_embeddings = 48;
  c.vocab_size = 61;
  c.intermediate_size = 64;
  c.no_weight_tying = true;
  c.init_method_std = 0.3;  // so that no two tokens are about equally probable
  c.output_layer_init_method = InitMethod::normal;
  switch (number) {
    case 0:
      c.pos_emb = PositionEmbedding::learned;
      break;
    case 1:
      c.pos_emb = PositionEmbedding::rotary;
      c.rotary_pct = 0.5;
      c.gpt_j_residual = true;
      break;
    case 2:
      c.pos_emb = PositionEmbedding::rotary;
      c.num_attention_heads = 8;
      c.num_kv_heads = 2;
      c.norm = Norm::rmsnorm;
      c.activation = Activation::swiglu;
      c.intermediate_size = 96;
      c.no_weight_tying = false;
      c.use_bias_in_attn_linear = false;
      c.use_bias_in_mlp = false;
      break;
    case 3:
      c.pos_emb = PositionEmbedding::rotary;
      c.kv_channels = 12;
      c.qk_norm = QkNorm::head;
      c.norm_placement = NormPlacement::both;
      c.sliding_window_width = 9;
      c.sliding_window_pattern = 2;
      c.rotary_emb_local_base = 500;
      c.attention_logit_softcap = 5;
      c.output_logit_softcap = 9;
      c.attention_scale = 0.4;
      c.embedding_scale = 3;
      break;
    case 4:
      c.sliding_window_width = 5;
      c.sliding_window_first_layer = 2;
      c.pos_emb = PositionEmbedding::alibi;
      c.use_bias_in_output = true;
      break;
    default:
      c.pos_emb = PositionEmbedding::none;
      c.gpt_j_residual = true;
      c.gpt_j_tied = true;
  }
  return c;
}
constexpr std::size_t kModels = 6;

const std::vector<TokenIds> kPrompts{
    {3, 14, 15, 9, 26, 5, 35, 8, 9, 7}, {2}, {27, 18, 28, 18, 2, 8}, {31, 41, 59}, {1, 60}};

/// The answers that all ranks of a mesh agree on.
std::vector<Answer> answers(const ModelConfig& config, const SmallMesh& mesh,
                            const std::vector<TokenIds>& prompts,
                            const GenerateOptions& options) {
  std::vector<Answer> first;
  std::mutex mutex;
  const std::string error = as_ranks(mesh.ranks(), [&](Communicator& world) {
    InferenceRank rank(small_deck(config, mesh), world);
    rank.inference.initialize();
    Generator generator(rank.inference);
    const auto got =
        generator.generate(world.rank() == 0 ? prompts : std::vector<TokenIds>{}, options);
    const std::scoped_lock lock(mutex);
    if (first.empty()) first = got;
    TRM_REQUIRE(got.size() == first.size(), "ranks differ in their answers' number");
    for (std::size_t i = 0; i < got.size(); ++i) {
      TRM_REQUIRE(got[i].tokens == first[i].tokens, "ranks differ in answer {}", i);
    }
  });
  BOOST_REQUIRE(error == "");
  return first;
}

void compare(const std::vector<Answer>& got, const std::vector<Answer>& expected) {
  BOOST_REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    BOOST_TEST(got[i].tokens == expected[i].tokens, boost::test_tools::per_element());
    BOOST_TEST(got[i].finished == expected[i].finished);
    BOOST_REQUIRE(got[i].log_probabilities.size() == expected[i].log_probabilities.size());
    for (std::size_t t = 0; t < got[i].log_probabilities.size(); ++t) {
      BOOST_TEST(std::abs(got[i].log_probabilities[t] - expected[i].log_probabilities[t]) <=
                 1e-5F);
    }
  }
}

}  // namespace

BOOST_DATA_TEST_CASE(a_cache_changes_nothing, bdata::xrange(kModels), number) {
  GenerateOptions options{.sampling = {.log_probabilities = true}, .maximum_tokens = 30};
  const auto cached = answers(model(number), {}, kPrompts, options);
  BOOST_REQUIRE(cached.size() == kPrompts.size());
  for (const Answer& a : cached) {
    BOOST_TEST(a.tokens.size() == 30U);
    BOOST_TEST(!a.finished);
  }
  options.cache = false;
  compare(answers(model(number), {}, kPrompts, options), cached);
  // A slot's second sequence must not see the first one's keys.
  options.cache = true;
  options.slots = 2;
  compare(answers(model(number), {}, kPrompts, options), cached);
  for (std::size_t i = 0; i < kPrompts.size(); ++i) {
    compare(answers(model(number), {}, {kPrompts[i]}, options), {cached[i]});
  }
}

BOOST_DATA_TEST_CASE(every_mesh_draws_the_same_text,
                     bdata::xrange(kModels) * bdata::make(kSmallMeshes), number, mesh) {
  const GenerateOptions options{.sampling = {.temperature = 0.8,
                                             .top_k = 20,
                                             .top_p = 0.95,
                                             .repetition_penalty = 1.1,
                                             .log_probabilities = true},
                                .seed = 7,
                                .maximum_tokens = 20,
                                .samples = 3};
  if (model(number).num_kv_heads % mesh.tp != 0) return;
  static std::map<std::size_t, std::vector<Answer>> one;
  if (mesh.ranks() == 1) one[number] = answers(model(number), mesh, kPrompts, options);
  const auto got = answers(model(number), mesh, kPrompts, options);
  compare(got, one.at(number));
  for (std::size_t p = 0; p < kPrompts.size(); ++p) {
    BOOST_TEST((got[3 * p].tokens != got[3 * p + 1].tokens));
    BOOST_TEST((got[3 * p].tokens != got[3 * p + 2].tokens));
  }
}

BOOST_AUTO_TEST_CASE(answers_end_where_they_should) {
  GenerateOptions options{.maximum_tokens = 12};
  const auto whole = answers(model(0), {}, kPrompts, options);
  // The fifth token of an answer ends all answers that have it.
  options.stop_tokens = {whole[0].tokens[4]};
  const auto stopped = answers(model(0), {}, kPrompts, options);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const auto& tokens = whole[i].tokens;
    const auto at = std::ranges::find(tokens, options.stop_tokens[0]);
    BOOST_TEST(stopped[i].tokens == TokenIds(tokens.begin(), at),
               boost::test_tools::per_element());
    BOOST_TEST(stopped[i].finished == (at != tokens.end()));
  }
  BOOST_TEST(stopped[0].finished);
  // The context ends an answer, too.
  options.maximum_tokens = 1000;
  options.stop_tokens = {};
  const auto long_ones = answers(model(0), {}, kPrompts, options);
  for (std::size_t i = 0; i < kPrompts.size(); ++i) {
    BOOST_TEST(long_ones[i].tokens.size() == 48 - kPrompts[i].size());
    BOOST_TEST(!long_ones[i].finished);
  }
}

BOOST_AUTO_TEST_CASE(a_caller_sees_each_token_and_may_end_an_answer) {
  const std::string error = as_ranks(2, [&](Communicator& world) {
    InferenceRank rank(small_deck(model(1), {.pp = 2}), world);
    rank.inference.initialize();
    Generator generator(rank.inference);
    std::vector<std::size_t> calls(kPrompts.size());
    const auto got = generator.generate(
        kPrompts, {.maximum_tokens = 9},
        [&](std::size_t number, const TokenIds& prompt, const Answer& answer) {
          TRM_REQUIRE(prompt == kPrompts[number], "another prompt was shown");
          TRM_REQUIRE(answer.tokens.size() == ++calls[number], "a token was not shown");
          return number == 2 && answer.tokens.size() == 4;
        });
    for (std::size_t i = 0; i < got.size(); ++i) {
      TRM_REQUIRE(
          got[i].tokens.size() == (i == 2 ? 4U : 9U) && calls[i] == got[i].tokens.size(),
          "answer {} has {} tokens", i, got[i].tokens.size());
      TRM_REQUIRE(got[i].finished == (i == 2), "answer {}", i);
    }
  });
  BOOST_TEST(error == "");
}

BOOST_AUTO_TEST_CASE(prompts_that_cannot_be_answered_are_named) {
  const auto refused = [](const TokenIds& prompt) {
    return as_ranks(1, [&](Communicator& world) {
      InferenceRank rank(small_deck(model(1), {}), world, 5);
      rank.inference.initialize();
      Generator generator(rank.inference);
      (void)generator.generate(std::vector<TokenIds>{{1}, prompt}, {.first_prompt = 6});
    });
  };
  const auto names = [&](const TokenIds& prompt, const char* text) {
    const std::string error = refused(prompt);
    BOOST_TEST(error.find(text) != std::string::npos, error);
  };
  BOOST_TEST(refused({1, 2, 3, 4}) == "");
  names({1, 2, 3, 4, 5}, "prompt 7 has 5 tokens, but the model takes 5 with the answer");
  names({}, "prompt 7 has no token");
  names({1, -1}, "prompt 7 holds token -1");
}
