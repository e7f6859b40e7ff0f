// SPDX-License-Identifier: Apache-2.0
// Conversations, pairs and labelled texts as documents, with the tokens that count.
#include <boost/test/unit_test.hpp>

#include "trireme/data/chat_template.hpp"
#include "trireme/data/shuffled_documents.hpp"

#include "../../src/data/conversation.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "prepare_case.hpp"

using namespace trireme;
using test::error_of;
using test::prepare_files;
using test::PrepareCase;
using test::Prepared;
using test::TemporaryFolder;
using test::write_file;
using Texts = std::vector<std::string>;

namespace {

Prepared prepared(const std::string& lines, PrepareCase with) {
  const TemporaryFolder folder;
  with.format.all_jsonl = true;
  with.file.kind = with.format.records == RecordKind::pairs      ? "pairs"
                   : with.format.records == RecordKind::labelled ? "labelled"
                                                                 : "chat";
  with.file.loss_mask = with.format.records != RecordKind::labelled;
  return prepare_files({write_file(folder / "in.jsonl", lines)}, folder / "out.h5", with);
}

/// The document with brackets around what counts; "." is the end.
std::string marked(const Prepared& result, std::size_t i) {
  const std::string text = result.documents.at(i) + ".";
  const std::string& mask = result.masks.at(i);
  BOOST_REQUIRE(mask.size() == text.size());
  std::string out;
  for (std::size_t k = 0; k < text.size(); ++k) {
    if (mask[k] == '1' && (k == 0 || mask[k - 1] == '0')) out += '[';
    if (mask[k] == '0' && k > 0 && mask[k - 1] == '1') out += ']';
    out += text[k];
  }
  return mask.back() == '1' ? out + ']' : out;
}

PrepareCase chat_as(const std::string& name, TrainOn train_on = TrainOn::assistant) {
  return {.format = {
              .records = RecordKind::chat, .chat = &chat_template(name), .train_on = train_on}};
}

constexpr const char* kTalk =
    R"({"messages": [{"role": "user", "content": " Hi "},)"
    R"( {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "So"},)"
    R"( {"role": "assistant", "content": "No"}]})"
    "\n";
constexpr const char* kShare =
    R"({"conversations": [{"from": "system", "value": "Be."},)"
    R"( {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes"}]})"
    "\n";

}  // namespace

BOOST_AUTO_TEST_CASE(templates_write_what_their_models_expect) {
  const auto text = [](const char* name, const char* line) {
    return marked(prepared(line, chat_as(name)), 0);
  };
  BOOST_TEST(text("chatml", kTalk) ==
             "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n[Yes<|im_end|>]\n"
             "<|im_start|>user\nSo<|im_end|>\n<|im_start|>assistant\n[No<|im_end|>]\n.");
  BOOST_TEST(text("llama2", kTalk) ==
             "<s>[INST] Hi [/INST][ Yes </s>]<s>[INST] So [/INST][ No </s>].");
  BOOST_TEST(text("llama2", kShare) ==
             "<s>[INST] <<SYS>>\nBe.\n<</SYS>>\n\nHi [/INST][ Yes </s>].");
  BOOST_TEST(text("llama3", kShare) ==
             "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe.<|eot_id|>"
             "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
             "<|start_header_id|>assistant<|end_header_id|>\n\n[Yes<|eot_id|>].");
  BOOST_TEST(text("mistral", kTalk) ==
             "<s>[INST]  Hi  [/INST][Yes</s>][INST] So [/INST][No</s>].");
  BOOST_TEST(
      text("gemma", kTalk) ==
      "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n[Yes<end_of_turn>]\n"
      "<start_of_turn>user\nSo<end_of_turn>\n<start_of_turn>model\n[No<end_of_turn>]\n.");
  BOOST_TEST(text("zephyr", kShare) ==
             "<|system|>\nBe.</s>\n<|user|>\nHi</s>\n<|assistant|>\n[Yes</s>]\n.");
  BOOST_TEST(text("phi3", kShare) ==
             "<|system|>\nBe.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n[Yes<|end|>]\n.");
  BOOST_TEST(text("alpaca", kShare) == "Be.\n\n### Instruction:\nHi\n\n### Response:\n[Yes.]");
  BOOST_TEST(text("alpaca", kTalk).starts_with("Below is an instruction"));
}

BOOST_AUTO_TEST_CASE(which_words_count) {
  BOOST_TEST(marked(prepared(kTalk, chat_as("mistral", TrainOn::last)), 0) ==
             "<s>[INST]  Hi  [/INST]Yes</s>[INST] So [/INST][No</s>].");
  BOOST_TEST(marked(prepared(kTalk, chat_as("mistral", TrainOn::all)), 0) ==
             "[<s>[INST]  Hi  [/INST]Yes</s>[INST] So [/INST]No</s>.]");
  const auto result = prepared(kTalk, chat_as("mistral"));
  BOOST_TEST(result.report.targets == 7 + 6);
}

BOOST_AUTO_TEST_CASE(conversations_that_do_not_fit) {
  const auto error = [](const char* name, const std::string& line) {
    return error_of([&] { (void)prepared(line + "\n", chat_as(name)); });
  };
  TRM_TEST_MENTIONS(error("gemma", kShare), "line 1: the chat template gemma has no place");
  TRM_TEST_MENTIONS(error("chatml", R"({"text": "x"})"), "no key \"messages\"");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": "x"})"), "not a list of messages");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": [1]})"), "not an object, but a number");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": [{"content": "x"}]})"), "no \"role\"");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": [{"role": "user"}]})"), "no \"content\"");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": [{"role": "tool", "content": "x"}]})"),
                    "the role \"tool\"");
  TRM_TEST_MENTIONS(error("chatml", R"({"messages": [{"role": "user", "content": "x"}]})"),
                    "no message is the assistant's");
  TRM_TEST_MENTIONS(error("llama2", R"({"messages": [{"role": "assistant", "content": "x"}]})"),
                    "take turns");
  TRM_TEST_MENTIONS(error_of([] { (void)chat_template("vulcan"); }), "choose from chatml");
}

BOOST_AUTO_TEST_CASE(parts_of_a_message_are_joined) {
  const auto result = prepared(
      R"({"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"},)"
      R"( {"type": "text", "text": "b"}]}]})",
      chat_as("chatml"));
  BOOST_TEST(result.documents[0] == "<|im_start|>assistant\nab<|im_end|>\n");
}

BOOST_AUTO_TEST_CASE(pairs_are_two_documents) {
  PrepareCase with{.format = {.records = RecordKind::pairs}, .join = {.dedup = true}};
  const std::string line = R"({"prompt": "2+2=", "chosen": "4", "rejected": "five"})"
                           "\n";
  const auto result = prepared(line + line, with);
  BOOST_REQUIRE(result.documents.size() == 2U);
  BOOST_TEST(marked(result, 0) == "2+2=[4.]");
  BOOST_TEST(marked(result, 1) == "2+2=[five.]");
  BOOST_TEST(result.report.equal == 1);
  with.format.chat = &chat_template("mistral");
  const auto chat = prepared(line, with);
  BOOST_TEST(marked(chat, 0) == "<s>[INST] 2+2= [/INST][4</s>].");
  BOOST_TEST(marked(chat, 1) == "<s>[INST] 2+2= [/INST][five</s>].");
  const auto whole = prepared(
      R"({"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],)"
      R"( "rejected": [{"role": "user", "content": "a"},)"
      R"( {"role": "assistant", "content": "c"}]})",
      with);
  BOOST_TEST(marked(whole, 1) == "<s>[INST] a [/INST][c</s>].");
  TRM_TEST_MENTIONS(
      error_of([&] { (void)prepared(R"({"prompt": "a", "chosen": "b"})", with); }),
      "no key \"rejected\"");
}

BOOST_AUTO_TEST_CASE(labels_are_numbers_or_words) {
  const TemporaryFolder folder;
  const PrepareCase with{
      .format = {.all_jsonl = true, .records = RecordKind::labelled, .label_key = "meta.label"},
      .file = {.kind = "labelled"}};
  const auto labels = [&](const std::string& lines) {
    (void)prepare_files({write_file(folder / "in.jsonl", lines)}, folder / "out.h5", with);
    const TokenFile file(folder / "out.h5");
    BOOST_TEST((file.kind() == "labelled" && file.has_labels() && !file.has_loss_mask()));
    BOOST_TEST(file.version() == 3);
    std::vector<double> read(static_cast<std::size_t>(file.documents()));
    file.read_labels(0, read);
    return read;
  };
  const auto line = [](const std::string& label) {
    return "{\"text\": \"a\", \"meta\": {\"label\": " + label + "}}\n";
  };
  BOOST_TEST(
      labels(line("3") + line("-0.5") + line("true")) == (std::vector<double>{3, -0.5, 1}),
      boost::test_tools::per_element());
  BOOST_TEST(labels(line("\"good\"") + line("\"bad\"") + line("\"good\"")) ==
                 (std::vector<double>{0, 1, 0}),
             boost::test_tools::per_element());
  TRM_TEST_MENTIONS(error_of([&] { (void)labels(line("1") + line("\"x\"")); }),
                    "are numbers and others words");
  TRM_TEST_MENTIONS(error_of([&] { (void)labels(line("null")); }), "neither a number");
}

BOOST_AUTO_TEST_CASE(nested_keys_and_several_texts) {
  const TemporaryFolder folder;
  const auto path = write_file(folder / "in.jsonl",
                               "{\"a\": {\"b\": \"one\"}, \"c\": \"two\"}\n"
                               "{\"a.b\": \"three\", \"c\": \"\"}\n");
  const auto result = prepare_files({path}, folder / "out.h5",
                                    {.format = {.keys = {"a.b", "c"}, .all_jsonl = true}});
  BOOST_TEST(result.documents == (Texts{"one\n\ntwo", "three"}),
             boost::test_tools::per_element());
}

namespace {

/// A token is a letter, or "ab" together.
class PairTokenizer : public ByteTokenizer {
 public:
  void encode_part(std::string_view text, TextPart /*part*/,
                   std::vector<std::int32_t>& to) const override {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool both = text.substr(i, 2) == "ab";
      to.push_back(both ? 255 : text[i]);
      i += both ? 1 : 0;
    }
  }
  [[nodiscard]] std::size_t split_point(std::string_view text) const override {
    return text.size() - (text.ends_with('a') ? 1 : 0);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(tokens_that_reach_into_words_count) {
  const auto mask = [](std::string_view text, std::size_t begin, std::size_t end) {
    std::vector<std::int32_t> tokens{1};
    std::vector<std::uint8_t> marks{1};
    encode_marked(text, {{begin, end}}, PairTokenizer(), tokens, marks);
    std::string out;
    for (const std::uint8_t mark : marks) out += static_cast<char>('0' + mark);
    return out;
  };
  BOOST_TEST(mask("xaby", 1, 3) == "1010");
  BOOST_TEST(mask("xaby", 2, 3) == "1010");
  BOOST_TEST(mask("xaby", 1, 2) == "1010");
  BOOST_TEST(mask("xaby", 2, 4) == "1011");
  BOOST_TEST(mask("ababab", 2, 2) == "1000");
}

namespace {

/// Has special tokens that encode() reads as text, as SentencePiece and tiktoken do.
class ControlTokenizer : public ByteTokenizer {
 public:
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override {
    if (token == "<s>") return 300;
    return token == "</s>" ? std::optional(301) : std::nullopt;
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(marks_of_a_template_are_special_tokens) {
  const ControlTokenizer tokenizer;
  Conversation talk;
  BOOST_TEST(!write_conversation(chat_template("mistral"),
                                 {{"user", "a</s>"}, {"assistant", "b"}}, talk));
  const std::string words = "[INST] a</s> [/INST]";  // the user's </s> is text
  std::vector<std::int32_t> expected{300};
  expected.insert(expected.end(), words.begin(), words.end());
  expected.insert(expected.end(), {'b', 301});
  const ConversationEncoder encoder(chat_template("mistral"), tokenizer);
  std::vector<std::int32_t> all;
  encoder.encode_all(talk, all);
  BOOST_TEST(all == expected, boost::test_tools::per_element());
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> mask;
  encoder.encode_counted(talk, talk.answers, tokens, mask);
  BOOST_TEST(tokens == expected, boost::test_tools::per_element());
  std::vector<std::uint8_t> counted(expected.size(), 0);
  counted[counted.size() - 2] = counted.back() = 1;
  BOOST_TEST(mask == counted, boost::test_tools::per_element());

  BOOST_TEST(missing_marks(chat_template("mistral"), tokenizer).empty());
  BOOST_TEST(missing_marks(chat_template("chatml"), tokenizer) ==
                 (Texts{"<|im_start|>", "<|im_end|>"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_shuffle_depends_on_seed_and_number_alone) {
  const TemporaryFolder folder;
  const auto order = [&](std::uint64_t seed, std::int64_t memory, int group) {
    ShuffledDocuments shuffled({.folder = folder / "",
                                .seed = seed,
                                .group = group,
                                .wide = seed % 2 == 0,
                                .memory = memory});
    for (int i = 0; i < 1000; ++i) {
      const std::vector<std::int32_t> tokens{1 + i / 250, i % 250};
      const std::vector<std::uint8_t> mask{1, static_cast<std::uint8_t>(i % 2)};
      shuffled.append(tokens, mask);
      if (i % 7 == 3) {
        shuffled.drop_document();
        shuffled.append(tokens, mask);
      }
      shuffled.end_document(i % 3 == 0);
    }
    TokenFileWriter writer(folder / "out.h5", ByteTokenizer(),
                           {.kind = "chat", .loss_mask = true});
    shuffled.give(writer);
    writer.finish("x");
    const TokenFile file(folder / "out.h5");
    std::vector<std::int32_t> tokens(3000);
    std::vector<std::uint8_t> mask(3000);
    file.read(0, tokens);
    file.read_loss_mask(0, mask);
    std::vector<int> numbers;
    for (std::size_t i = 0; i < 3000; i += 3) {
      numbers.push_back(250 * (tokens[i] - 1) + tokens[i + 1]);
      BOOST_REQUIRE((mask[i] == 1 && mask[i + 1] == numbers.back() % 2));
      BOOST_REQUIRE(mask[i + 2] == (numbers.back() % 3 == 0 ? 1 : 0));
    }
    return numbers;
  };
  const std::vector<int> first = order(1, 1 << 20, 1);
  BOOST_TEST((order(1, 0, 1) == first));
  BOOST_TEST((order(2, 1 << 20, 1) != first));
  std::vector<int> sorted = first;
  std::ranges::sort(sorted);
  for (int i = 0; i < 1000; ++i) BOOST_REQUIRE(sorted[static_cast<std::size_t>(i)] == i);
  std::size_t in_place = 0;
  for (std::size_t i = 0; i < 1000; ++i) in_place += first[i] == static_cast<int>(i) ? 1 : 0;
  BOOST_TEST(in_place < 15U);
  const std::vector<int> pairs = order(1, 300, 2);
  for (std::size_t i = 0; i < 1000; i += 2) BOOST_REQUIRE(pairs[i] + 1 == pairs[i + 1]);
}
