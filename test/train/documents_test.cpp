// SPDX-License-Identifier: Apache-2.0
// The loss is a mean over the targets that count, whatever the mesh; and attention that ends at
// documents computes what a padded batch of these documents does.
#include <cmath>

#include <boost/test/unit_test.hpp>

#include "training.hpp"

using namespace trireme;
using namespace trireme::test;

namespace {

constexpr std::int32_t kEnd = 0;

const Json kDeck = Json::parse(R"({
  "num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 24,
  "vocab_size": 67, "pos_emb": "rotary", "train_batch_size": 8, "train_iters": 3, "lr": 0.01,
  "warmup": 0, "eval_interval": 3, "eval_iters": 2, "gradient_clipping": 1.0
})");

/// Changes samples of another source.
class Changed : public SampleSource {
 public:
  using Change =
      std::function<void(const SampleSource&, std::uint64_t, std::span<std::int32_t>)>;
  Changed(std::unique_ptr<SampleSource> from, Change change)
      : SampleSource(from->seq_length()), from_(std::move(from)), change_(std::move(change)) {}
  [[nodiscard]] std::int64_t vocab_size() const override { return from_->vocab_size(); }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override {
    change_(*from_, k, to);
  }

 private:
  std::unique_ptr<SampleSource> from_;
  Change change_;
};

TrainOptions changed(const Changed::Change& change) {
  return {.wrap = [change](std::unique_ptr<SampleSource> from) {
    return std::make_unique<Changed>(std::move(from), change);
  }};
}

/// Masks that are as uneven as can be: samples without a target, with one, and with all.
const Changed::Change kUneven = [](const SampleSource& from, std::uint64_t k,
                                   std::span<std::int32_t> to) {
  from.get(k, to);
  if (k % 4 == 0) return;
  for (std::size_t i = 1; i < to.size(); ++i) {
    if (k % 4 != 1 || i != 7) to[i] = uncounted(to[i]);
  }
};

/// Compares the first step within the bound. AdamW enlarges what rounding does to later ones.
void check_close(const Training& got, const Training& expected, double bound) {
  BOOST_TEST(got.error.empty(), got.error);
  BOOST_REQUIRE(got.steps.size() == expected.steps.size());
  for (std::size_t i = 0; i < got.steps.size(); ++i) {
    const double most = bound * (i == 0 ? 1 : 20);
    BOOST_TEST(std::abs(got.losses()[i] / expected.losses()[i] - 1) < most,
               "step " << i << ": loss " << got.losses()[i] << " and " << expected.losses()[i]);
    BOOST_TEST(std::abs(got.norms()[i] / expected.norms()[i] - 1) < 10 * most,
               "step " << i << ": norm " << got.norms()[i] << " and " << expected.norms()[i]);
  }
  for (std::size_t i = 0; i < got.valid.size(); ++i) {
    BOOST_TEST(std::abs(got.valid[i] / expected.valid[i] - 1) < 20 * bound);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(documents)

BOOST_AUTO_TEST_CASE(the_loss_is_a_mean_over_targets_that_count_on_every_mesh) {
  const Training one = train(kDeck, 1, changed(kUneven));
  BOOST_TEST(one.valid.size() == 1U);
  struct Layout {
    int ranks;
    const char* keys;
  };
  for (const Layout& layout :
       {Layout{1, R"({"train_micro_batch_size_per_gpu": 1})"},
        Layout{4, R"({"train_micro_batch_size_per_gpu": 1})"},
        Layout{2, R"({"model_parallel_size": 2, "gradient_accumulation_steps": 4})"},
        Layout{4, R"({"pipe_parallel_size": 2, "gradient_accumulation_steps": 2,
                      "zero_optimization": {"stage": 1}})"},
        Layout{2,
               R"({"zero_optimization": {"stage": 3}, "gradient_accumulation_steps": 4})"}}) {
    BOOST_TEST_CONTEXT(layout.ranks << " ranks, " << layout.keys) {
      check_close(
          train(merged(kDeck, Json::parse(layout.keys)), layout.ranks, changed(kUneven)), one,
          2e-6);
    }
  }
}

BOOST_AUTO_TEST_CASE(samples_without_a_target_are_as_if_they_were_absent) {
  const Training masked =
      train(merged(kDeck, Json::parse(R"({"train_micro_batch_size_per_gpu": 1})")), 2,
            changed([](const SampleSource& from, std::uint64_t k, std::span<std::int32_t> to) {
              from.get(k / 2, to);
              if (k % 2 == 0) return;
              for (std::int32_t& id : to) id = uncounted(id);
            }));
  const Training absent = train(merged(kDeck, Json::parse(R"({"train_batch_size": 4})")), 1);
  check_close(masked, absent, 2e-6);
}

BOOST_AUTO_TEST_CASE(a_step_without_any_target_has_no_gradient) {
  const Training none =
      train(merged(kDeck, Json::parse(R"({"eval_iters": 0})")), 1,
            changed([](const SampleSource& from, std::uint64_t k, std::span<std::int32_t> to) {
              from.get(k, to);
              for (std::int32_t& id : to) id = uncounted(id);
            }));
  BOOST_TEST(none.error.empty(), none.error);
  BOOST_TEST(none.losses() == (std::vector<double>{0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(none.norms() == (std::vector<double>{0, 0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_evaluation_without_any_target_is_an_error) {
  const auto all = [](const SampleSource& from, std::uint64_t k, std::span<std::int32_t> to) {
    from.get(k, to);
    for (std::int32_t& id : to) id = uncounted(id);
  };
  const Training none = train(kDeck, 2, changed(all));
  BOOST_TEST(none.error.find("no target that counts") != std::string::npos, none.error);
}

namespace {

/// Where the documents of a sample begin: two to four, of other lengths in each sample.
std::vector<std::size_t> starts_of(std::uint64_t k) {
  std::vector<std::size_t> starts{0, 3 + k % 5};
  if (k % 3 != 0) starts.push_back(starts.back() + 1 + k % 7);
  if (k % 2 == 0) starts.push_back(starts.back() + 2);
  return starts;
}

/// A made-up sample of documents, whose last tokens are ends.
void with_documents(const SampleSource& from, std::uint64_t k, std::span<std::int32_t> to) {
  from.get(k, to);
  for (std::int32_t& id : to) id = std::max(id, 1);
  for (const std::size_t start : starts_of(k)) {
    if (start > 0) to[start - 1] = kEnd;
  }
  // No document predicts the next one, also where a document is an end alone.
  for (const std::size_t start : starts_of(k)) to[start] = uncounted(to[start]);
}

constexpr std::uint64_t kMost = 4;  // documents in a sample

/// Sample kMost · k + d: document d of the sample above, alone, with padding.
void with_one_document(const SampleSource& from, std::uint64_t k, std::span<std::int32_t> to) {
  std::vector<std::int32_t> all(to.size());
  with_documents(from, k / kMost, all);
  std::vector<std::size_t> starts = starts_of(k / kMost);
  std::ranges::fill(to, uncounted(1));
  if (k % kMost >= starts.size()) return;
  starts.push_back(all.size());
  const auto d = static_cast<std::size_t>(k % kMost);
  std::copy(all.begin() + static_cast<std::ptrdiff_t>(starts[d]),
            all.begin() + static_cast<std::ptrdiff_t>(starts[d + 1]), to.begin());
}

/// The same with an end behind the last document, so that no padding belongs to a document.
void with_ended_documents(const SampleSource& from, std::uint64_t k,
                          std::span<std::int32_t> to) {
  with_documents(from, k, to);
  to[to.size() - 2] = kEnd;
  to.back() = uncounted(to.back());
}

void with_one_ended_document(const SampleSource& from, std::uint64_t k,
                             std::span<std::int32_t> to) {
  std::vector<std::int32_t> all(to.size());
  with_ended_documents(from, k / kMost, all);
  std::vector<std::size_t> starts = starts_of(k / kMost);
  std::ranges::fill(to, uncounted(kEnd));
  if (k % kMost >= starts.size()) return;
  starts.push_back(all.size() - 1);
  const auto d = static_cast<std::size_t>(k % kMost);
  std::copy(all.begin() + static_cast<std::ptrdiff_t>(starts[d]),
            all.begin() + static_cast<std::ptrdiff_t>(starts[d + 1]), to.begin());
}

void compare_with_padding(const std::string& keys, const std::string& layout, int ranks) {
  BOOST_TEST_CONTEXT(keys << " " << layout) {
    const Json more = Json::parse(keys);
    const Json resets = Json::parse(
        R"({"reset_attention_mask": true, "reset_position_ids": true, "end_of_document": 0})");
    const Training padded =
        train(merged(kDeck, more, Json::parse(R"({"train_batch_size": 32})")), 1,
              changed(with_one_document));
    const Training packed =
        train(merged(kDeck, more, resets, Json::parse(layout)), ranks, changed(with_documents));
    check_close(packed, padded, 1e-6);
    const Training crossing = train(merged(kDeck, more), 1, changed(with_documents));
    BOOST_TEST(std::abs(crossing.losses()[0] / padded.losses()[0] - 1) > 1e-5);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(documents_that_end_attention_equal_a_padded_batch) {
  compare_with_padding("{}", "{}", 1);
  compare_with_padding(R"({"pos_emb": "learned"})", R"({"train_micro_batch_size_per_gpu": 2})",
                       2);
  compare_with_padding(R"({"num_kv_heads": 2, "checkpoint_activations": true})",
                       R"({"pipe_parallel_size": 2, "model_parallel_size": 2,
                           "sequence_parallel": true, "gradient_accumulation_steps": 2})",
                       4);
}

/// A document of an encoder sees all of itself, and no other document.
BOOST_AUTO_TEST_CASE(documents_of_encoders_equal_a_padded_batch) {
  const Json encoder = Json::parse(
      R"({"task": "language_model", "bidirectional_attention": true,
          "reset_attention_mask": true, "reset_position_ids": true, "end_of_document": 0})");
  const Training padded =
      train(merged(kDeck, encoder, Json::parse(R"({"train_batch_size": 32})")), 1,
            changed(with_one_ended_document));
  for (const auto& [ranks, layout] :
       {std::pair{1, R"({"pos_emb": "rotary"})"},
        std::pair{4, R"({"pipe_parallel_size": 2, "model_parallel_size": 2,
                         "gradient_accumulation_steps": 2})"}}) {
    check_close(train(merged(kDeck, encoder, Json::parse(layout)), ranks,
                      changed(with_ended_documents)),
                padded, 1e-6);
  }
  const Training crossing =
      train(merged(kDeck, encoder, Json::parse(R"({"reset_attention_mask": false})")), 1,
            changed(with_ended_documents));
  BOOST_TEST(std::abs(crossing.losses()[0] / padded.losses()[0] - 1) > 1e-5);
}

BOOST_AUTO_TEST_SUITE_END()
