// SPDX-License-Identifier: Apache-2.0
// Token ids of conversations. SentencePiece and tiktoken give a special token only to who asks
// for it by name. Text between such tokens is encoded by itself, as their own libraries do.
#include <algorithm>

#include "conversation.hpp"

namespace trireme {

std::vector<std::string> missing_marks(const ChatTemplate& form, const Tokenizer& tokenizer) {
  std::vector<std::string> missing;
  for (const std::string_view mark : form.marks) {
    if (!mark.empty() && !tokenizer.id_of(mark)) missing.emplace_back(mark);
  }
  return missing;
}

ConversationEncoder::ConversationEncoder(const ChatTemplate& form, const Tokenizer& tokenizer)
    : tokenizer_(tokenizer) {
  for (const std::string_view mark : form.marks) {
    const auto id = mark.empty() ? std::nullopt : tokenizer.id_of(mark);
    if (!id) continue;
    std::vector<std::int32_t> read;
    tokenizer.encode(mark, read);
    if (read != std::vector{*id}) ids_.emplace_back(mark, *id);
  }
}

template <class Text, class Mark>
void ConversationEncoder::divide(const Conversation& conversation, Text&& text,
                                 Mark&& mark) const {
  const std::string_view all = conversation.text;
  std::size_t at = 0;
  for (const WordSpan& span : conversation.marks) {
    const std::string_view name = all.substr(span.begin, span.end - span.begin);
    const auto known =
        std::ranges::find(ids_, name, &std::pair<std::string_view, std::int32_t>::first);
    if (known == ids_.end()) continue;  // encode() knows the mark, or no token has its name
    if (at < span.begin) text(WordSpan{at, span.begin});
    mark(span, known->second);
    at = span.end;
  }
  if (at < all.size()) text(WordSpan{at, all.size()});
}

void ConversationEncoder::encode_all(const Conversation& conversation,
                                     std::vector<std::int32_t>& tokens) const {
  const std::string_view all = conversation.text;
  divide(
      conversation,
      [&](const WordSpan& text) {
        tokenizer_.encode(all.substr(text.begin, text.end - text.begin), tokens);
      },
      [&](const WordSpan& /*mark*/, std::int32_t id) { tokens.push_back(id); });
}

void ConversationEncoder::encode_counted(const Conversation& conversation,
                                         const std::vector<WordSpan>& counted,
                                         std::vector<std::int32_t>& tokens,
                                         std::vector<std::uint8_t>& mask) const {
  const std::string_view all = conversation.text;
  // The counted spans within a part, from the part's beginning on.
  const auto within = [&](const WordSpan& part) {
    std::vector<WordSpan> spans;
    for (const WordSpan& span : counted) {
      const std::size_t begin = std::max(span.begin, part.begin);
      const std::size_t end = std::min(span.end, part.end);
      if (begin < end) spans.push_back({begin - part.begin, end - part.begin});
    }
    return spans;
  };
  divide(
      conversation,
      [&](const WordSpan& text) {
        encode_marked(all.substr(text.begin, text.end - text.begin), within(text), tokenizer_,
                      tokens, mask);
      },
      [&](const WordSpan& mark, std::int32_t id) {
        tokens.push_back(id);
        mask.push_back(within(mark).empty() ? 0 : 1);
      });
}

}  // namespace trireme
