// SPDX-License-Identifier: Apache-2.0
// Tokenizers' files changed at random: each is a tokenizer or an Error. A tokenizer encodes any
// text into ids of its vocabulary, and its definition makes an equal one.
#include <fstream>
#include <utility>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "trireme/tokenizer/tokenizer.hpp"

#include "../../src/tokenizer/base64.hpp"
#include "../../src/tokenizer/fields.hpp"
#include "../../src/tokenizer/hugging_face.hpp"
#include "../../src/tokenizer/ranks.hpp"
#include "../../src/tokenizer/sentence_piece.hpp"
#include "../support/changed_bytes.hpp"

using namespace trireme;
using nlohmann::json;
using test::Changer;

namespace {

json golden(const std::string& name) {
  std::ifstream file(TRIREME_TEST_DIR "/tokenizer/golden/" + name + ".json");
  return json::parse(file);
}

/// Texts that readers of bytes get wrong, and some English.
const std::vector<std::string> kTexts = {
    "", "The quick brown fox's 12345 jumps,\r\n\n\tover   the lazy dog.  ",
    std::string("\0\xff\xc3\x28\xed\xa0\x80\xf4\x90\x80\x80", 11),
    "\u00e9e\u0301\u4e2d\u6587\u1112\u1161\u11ab\U0001f469\u200d\U0001f467 \u2581x\u0130",
    std::string(300, ' ') + std::string(300, 'a') + "<|endoftext|></s>[UNK]"};

/// The definition without its tokens.
std::string described(const Tokenizer& tokenizer) {
  json spec = json::parse(tokenizer.definition(), nullptr, false);
  if (spec.is_discarded() || !spec.contains("tokenizer")) return tokenizer.kind();
  spec["tokenizer"]["model"].erase("vocab");
  spec["tokenizer"]["model"].erase("merges");
  return spec.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Encodes and decodes. Throws Error where the tokenizer refuses a text.
void use(const Tokenizer& tokenizer) {
  const auto same = make_tokenizer(tokenizer.kind(), tokenizer.definition());
  for (const std::string& text : kTexts) {
    std::vector<std::int32_t> ids;
    tokenizer.encode(text, ids);
    for (const std::int32_t id : ids) {
      BOOST_REQUIRE_GE(id, 0);
      BOOST_REQUIRE_LT(id, tokenizer.vocab_size());
    }
    (void)tokenizer.decode(ids);
    std::vector<std::int32_t> again;
    same->encode(text, again);
    BOOST_REQUIRE_MESSAGE(ids == again, "another tokenizer: " << described(tokenizer));
    const std::size_t split = tokenizer.split_point(text);
    if (split == 0) continue;
    again.clear();
    tokenizer.encode_part(std::string_view(text).substr(0, split), TextPart::first, again);
    tokenizer.encode_part(std::string_view(text).substr(split), TextPart::later, again);
    BOOST_REQUIRE_MESSAGE(ids == again, "text " << text.size() << " split at " << split << ": "
                                                << described(tokenizer));
  }
}

/// Hugging Face's tokenizers that were trained, and one of each other part.
std::vector<json> all_specs() {
  std::vector<json> specs;
  for (const char* name : {"byte_level", "llama2", "llama3", "added_tokens", "affixes"}) {
    json spec = golden(name)["tokenizer"];
    if (spec.is_object()) specs.push_back(std::move(spec));
  }
  for (const json& part : golden("pieces")) {
    if (!part["definition"].is_object()) continue;
    json spec = specs[specs.size() % 3];
    const std::string kind = part["part"];
    spec[kind] = part["definition"];
    if (kind == "model") spec["decoder"] = nullptr;
    if (kind == "model") {
      spec["added_tokens"] = {{{"id", part["definition"]["vocab"].size()},
                               {"content", "<|endoftext|>"},
                               {"special", true}}};
      spec = json::parse(spec.dump());  // numbers as files have them
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

/// All values of a document, the document first.
void list_values(json& value, std::vector<json*>& all) {
  all.push_back(&value);
  for (json& inner : value) {
    if (value.is_structured()) list_values(inner, all);
  }
}

json changed(Changer& changer, const std::vector<json>& specs) {
  json spec = specs[changer.below(specs.size())];
  json other = specs[changer.below(specs.size())];
  for (std::size_t changes = 1 + changer.below(3); changes > 0; --changes) {
    // Most values are tokens: change another part as often.
    json* root = &spec;
    if (spec.is_object() && !spec.empty() && changer.below(4) > 0) {
      root = &std::next(spec.begin(), static_cast<std::ptrdiff_t>(changer.below(spec.size())))
                  .value();
    }
    std::vector<json*> mine;
    std::vector<json*> theirs;
    list_values(*root, mine);
    list_values(other, theirs);
    json& value = *mine[changer.below(mine.size())];
    switch (changer.below(8)) {
      case 0:
        value = *theirs[changer.below(theirs.size())];
        break;
      case 1:
        value = nullptr;
        break;
      case 2:
        value = json::array({value, value});
        break;
      case 3:
        value = static_cast<std::int64_t>(changer.below(5)) - 2;
        break;
      case 4:
        value = std::int64_t{1} << changer.below(63);
        break;
      case 5:
        value = changer.below(2) == 0;
        break;
      case 6:
        if (value.is_structured() && !value.empty()) {
          value.erase(std::next(value.begin(),
                                static_cast<std::ptrdiff_t>(changer.below(value.size()))));
        }
        break;
      default:
        value =
            value.is_string() ? changer.changed(value.get<std::string>(), ".*+(?:[^a]|") : "";
    }
  }
  return spec;
}

/// The lines of a .tiktoken file, from the tokens' base64.
std::string tiktoken_file() {
  std::string text;
  std::int32_t rank = 0;
  const json spec = golden("tiktoken_cl100k");
  for (const json& token : spec["tokenizer"]) {
    text += token.get<std::string>() + " " + std::to_string(rank++) + "\n";
  }
  return text;
}

json tekken_file() {
  const json spec = golden("tiktoken_cl100k");
  json tekken;
  const auto count = static_cast<std::int64_t>(spec["tokenizer"].size());
  tekken["config"] = {{"pattern", "[^\\s]+|\\s+"},
                      {"default_num_special_tokens", 20},
                      {"default_vocab_size", count + 20}};
  for (const json& token : spec["tokenizer"]) {
    tekken["vocab"].push_back(
        {{"rank", tekken["vocab"].size()}, {"token_bytes", token}, {"token_str", nullptr}});
  }
  return json::parse(tekken.dump());  // numbers as files have them
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tokenizer_fuzz)

BOOST_AUTO_TEST_CASE(a_changed_tokenizer_json) {
  const std::vector<json> specs = all_specs();
  BOOST_REQUIRE_GT(specs.size(), 20U);
  for (const json& spec : specs) use(*make_hugging_face(spec, "", "t.json"));
  test::try_changed(40, [&](Changer& changer) {
    const json spec = changed(changer, specs);
    std::string text = spec.dump(-1, ' ', false, json::error_handler_t::ignore);
    if (changer.below(4) == 0) {
      text = changer.changed(text, "{\"\\u0000\": [1e999, \"\\ud800\"]}");
    }
    use(*make_hugging_face(parse_json(text, "t.json"), "", "t.json"));
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_changed_tiktoken_file) {
  const std::string file = tiktoken_file();
  use(*read_tiktoken(file, "cl100k", "", "t.tiktoken"));
  test::try_changed(1000, [&](Changer& changer) {
    const auto names = tokenizer_encodings();
    const std::string text = changer.changed(file, file);
    if (!is_tiktoken(text)) return false;
    use(*read_tiktoken(text, names[changer.below(names.size())], "", "t.tiktoken"));
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_changed_tekken_file) {
  const std::vector<json> files = {tekken_file()};
  use(*read_tekken(files[0], "", "tekken.json"));
  test::try_changed(300, [&](Changer& changer) {
    const std::string text =
        changed(changer, files).dump(-1, ' ', false, json::error_handler_t::ignore);
    use(*read_tekken(parse_json(text, "tekken.json"), "", "tekken.json"));
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_changed_sentence_piece_model) {
  std::vector<std::string> models;
  for (const json& part : golden("pieces")) {
    if (!part["definition"].is_string()) continue;
    models.push_back(from_base64(part["definition"].get<std::string>()).value());
    use(*read_sentence_piece(models.back(), "t.model"));
  }
  BOOST_REQUIRE_GT(models.size(), 2U);
  test::try_changed(2500, [&](Changer& changer) {
    const std::string bytes = changer.changed(models[changer.below(models.size())],
                                              models[changer.below(models.size())]);
    if (!is_sentence_piece(bytes)) return false;
    use(*read_sentence_piece(bytes, "t.model"));
    return true;
  });
}

BOOST_AUTO_TEST_SUITE_END()
