// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers ByteLevel and Sequence, and the choice of a pre-tokenizer by its type.
#include "trireme/core/error.hpp"

#include "byte_alphabet.hpp"
#include "fields.hpp"
#include "split.hpp"

namespace trireme {

ByteLevel::ByteLevel(const nlohmann::json& spec, bool keep_bytes, const std::string& where)
    : keep_bytes_(keep_bytes) {
  require_fields(spec, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
  adds_space_ = flag(spec, "add_prefix_space", true, where);
  if (flag(spec, "use_regex", true, where)) {
    pattern_ = std::make_unique<Split>(kGpt2Pattern, Flavour::oniguruma, where);
  }
}

void ByteLevel::split(Pieces& pieces) const {
  if (adds_space_) {
    std::string text;
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < pieces.ends.size(); ++i) {
      const std::string_view piece = pieces.piece(i);
      const bool continues = i == 0 && pieces.section.continued;
      if (!continues && piece.front() != ' ') text += ' ';
      text += piece;
      ends.push_back(text.size());
    }
    pieces.text = std::move(text);
    pieces.ends = std::move(ends);
  }
  if (pattern_ != nullptr) pattern_->split(pieces);
  if (keep_bytes_) return;
  std::string text;
  for (std::size_t i = 0, begin = 0; i < pieces.ends.size(); ++i) {
    const std::size_t end = pieces.ends[i];
    append_as_characters(text, std::string_view(pieces.text).substr(begin, end - begin));
    begin = end;
    pieces.ends[i] = text.size();
  }
  pieces.text = std::move(text);
}

bool ByteLevel::separates(char32_t before, char32_t after) const {
  return pattern_ != nullptr && pattern_->separates(before, after);
}

std::vector<nlohmann::json> members_of(const nlohmann::json& spec, const std::string& where) {
  if (spec.is_null()) return {};
  if (text_field(spec, "type", where) != "Sequence") return {spec};
  require_fields(spec, {"type", "pretokenizers"}, where);
  const nlohmann::json& list = field(spec, "pretokenizers", where);
  TRM_REQUIRE(list.is_array(), "{}: \"pretokenizers\" must be a list", where);
  std::vector<nlohmann::json> members;
  for (const nlohmann::json& member : list) {
    for (nlohmann::json& inner : members_of(member, where)) {
      members.push_back(std::move(inner));
    }
  }
  return members;
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const nlohmann::json& spec,
                                                 const std::string& where) {
  if (spec.is_null()) return nullptr;
  const std::string type = text_field(spec, "type", where);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(spec, false, where);
  if (type == "Split") return std::make_unique<Split>(spec, where);
  if (type != "Sequence") return make_plain_pre_tokenizer(spec, where);
  std::vector<std::unique_ptr<PreTokenizer>> members;
  for (const nlohmann::json& member : members_of(spec, where)) {
    members.push_back(make_pre_tokenizer(member, where));
  }
  return std::make_unique<SequenceOfSplits>(std::move(members));
}

}  // namespace trireme
