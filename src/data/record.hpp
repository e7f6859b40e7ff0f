// SPDX-License-Identifier: Apache-2.0
// JSON objects as documents: texts, conversations, pairs and labelled texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "trireme/data/prepare.hpp"

#include "conversation.hpp"

namespace trireme {

/// Encodes one object after another.
class RecordEncoder {
 public:
  RecordEncoder(const TextFormat& format, const Tokenizer& tokenizer)
      : format_(format), tokenizer_(tokenizer) {
    if (format.chat != nullptr) conversations_.emplace(*format.chat, tokenizer);
  }

  /// Appends the documents of an object. Returns what is wrong with it; `pieces` then holds no
  /// part of the object.
  [[nodiscard]] std::optional<Fault> encode(const simdjson::dom::object& object,
                                            TextPieces& pieces);

 private:
  using Object = simdjson::dom::object;
  using Element = simdjson::dom::element;

  // Each sets fault_ and returns false where it fails.
  bool text(const Object& object, TextPieces& pieces);
  bool labelled(const Object& object, TextPieces& pieces);
  bool chat(const Object& object, TextPieces& pieces);
  bool pair(const Object& object, TextPieces& pieces);
  bool pair_of_texts(const Object& object, TextPieces& pieces);
  bool find(const Object& object, const std::string& key, Element& to);
  bool find_text(const Object& object, const std::string& key, std::string_view& to);
  bool find_texts(const Object& object, std::string& joined, std::string_view& to);
  bool read_messages(const Element& value, std::string_view name, std::vector<Message>& to);
  bool read_message(const Object& object, Message& to);
  /// Appends what `key` adds to a conversation: messages, or one text of this role.
  bool add_messages(const Object& object, const std::string& key, const char* role,
                    std::vector<Message>& to);
  bool write_chat(const std::vector<Message>& messages, bool last_only, TextPieces& pieces);
  bool failed(Trouble trouble, std::string what);

  const TextFormat& format_;
  const Tokenizer& tokenizer_;
  std::optional<ConversationEncoder> conversations_;  ///< set if there is a template
  std::optional<Fault> fault_;
};

}  // namespace trireme
