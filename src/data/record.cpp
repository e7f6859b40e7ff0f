// SPDX-License-Identifier: Apache-2.0
// JSON objects as documents.
#include "record.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "trireme/core/printable.hpp"

namespace trireme {

namespace {

using simdjson::SUCCESS;
using simdjson::dom::element_type;

std::string_view kind_of(element_type type) {
  switch (type) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::BOOL:
      return "true or false";
    case element_type::NULL_VALUE:
      return "null";
    case element_type::STRING:
      return "a text";
    default:
      return "a number";
  }
}

/// "the keys here are "id" and "body"; --json-keys chooses one".
std::string keys_of(const simdjson::dom::object& object) {
  constexpr std::size_t kShown = 8;
  constexpr std::size_t kLength = 40;
  std::vector<std::string> keys;
  for (const auto& [key, value] : object) {
    if (keys.size() == kShown) {
      keys.emplace_back("...");
      break;
    }
    keys.push_back(fmt::format("\"{}\"", shortened(key, kLength)));
  }
  if (keys.empty()) return "the object is empty";
  return fmt::format("the keys here are {}; --json-keys chooses one", fmt::join(keys, ", "));
}

/// The value of a key, or of the key's parts between dots.
bool look_up(const simdjson::dom::object& object, std::string_view key,
             simdjson::dom::element& to) {
  if (object.at_key(key).get(to) == SUCCESS) return true;
  for (std::size_t dot = key.find('.'); dot != std::string_view::npos;
       dot = key.find('.', dot + 1)) {
    simdjson::dom::object inner;
    if (object.at_key(key.substr(0, dot)).get(inner) != SUCCESS) continue;
    if (look_up(inner, key.substr(dot + 1), to)) return true;
  }
  return false;
}

struct RoleName {
  std::string_view name;
  std::string_view role;
};
constexpr std::array kRoles{RoleName{"human", "user"},        RoleName{"gpt", "assistant"},
                            RoleName{"chatgpt", "assistant"}, RoleName{"bing", "assistant"},
                            RoleName{"model", "assistant"},   RoleName{"prompter", "user"}};

}  // namespace

bool RecordEncoder::failed(Trouble trouble, std::string what) {
  fault_ = Fault{trouble, 0, std::move(what)};
  return false;
}

std::optional<Fault> RecordEncoder::encode(const Object& object, TextPieces& pieces) {
  fault_.reset();
  const std::size_t tokens = pieces.tokens.size();
  const std::size_t ends = pieces.ends.size();
  const std::size_t labels = pieces.labels.size();
  bool done = false;
  switch (format_.records) {
    case RecordKind::text:
      done = text(object, pieces);
      break;
    case RecordKind::labelled:
      done = labelled(object, pieces);
      break;
    case RecordKind::chat:
      done = chat(object, pieces);
      break;
    case RecordKind::pairs:
      done = format_.chat != nullptr ? pair(object, pieces) : pair_of_texts(object, pieces);
      break;
  }
  if (done) return std::nullopt;
  pieces.tokens.resize(tokens);
  pieces.mask.resize(std::min(pieces.mask.size(), tokens));
  pieces.ends.resize(ends);
  pieces.labels.resize(labels);
  pieces.tail = {};
  return fault_;
}

bool RecordEncoder::find(const Object& object, const std::string& key, Element& to) {
  if (look_up(object, key, to)) return true;
  return failed(Trouble::key, fmt::format("there is no key \"{}\"; {}", key, keys_of(object)));
}

bool RecordEncoder::find_text(const Object& object, const std::string& key,
                              std::string_view& to) {
  Element value;
  if (!find(object, key, value)) return false;
  if (value.get(to) != SUCCESS) {
    return failed(Trouble::key, fmt::format("the value of \"{}\" is not a text, but {}", key,
                                            kind_of(value.type())));
  }
  // The line is UTF-8, so that only escapes can have put something else into a text.
  if (!simdjson::validate_utf8(to.data(), to.size())) {
    return failed(Trouble::surrogate,
                  fmt::format("the text of \"{}\" has half of a surrogate pair", key));
  }
  return true;
}

bool RecordEncoder::find_texts(const Object& object, std::string& joined,
                               std::string_view& to) {
  if (format_.keys.size() == 1) return find_text(object, format_.keys[0], to);
  for (const std::string& key : format_.keys) {
    std::string_view part;
    if (!find_text(object, key, part)) return false;
    if (!joined.empty() && !part.empty()) joined += "\n\n";
    joined += part;
  }
  to = joined;
  return true;
}

bool RecordEncoder::text(const Object& object, TextPieces& pieces) {
  std::string joined;
  std::string_view words;
  if (!find_texts(object, joined, words)) return false;
  tokenizer_.encode(words, pieces.tokens);
  pieces.tail.bytes = std::ssize(words);
  if (std::memchr(words.data(), 0, words.size()) != nullptr) pieces.tail.flags |= kHasNul;
  pieces.tail.flags |= kEndCounts;
  pieces.end_document();
  return true;
}

bool RecordEncoder::labelled(const Object& object, TextPieces& pieces) {
  Element value;
  if (!find(object, format_.label_key, value)) return false;
  std::string_view word;
  bool truth = false;
  if (value.get(word) == SUCCESS) {
    const auto known = std::ranges::find(pieces.labels, word);
    pieces.tail.label = static_cast<double>(known - pieces.labels.begin());
    if (known == pieces.labels.end()) pieces.labels.emplace_back(word);
    pieces.tail.flags |= kWordLabel;
  } else if (value.get(truth) == SUCCESS) {
    pieces.tail.label = truth ? 1 : 0;
  } else if (value.get(pieces.tail.label) != SUCCESS) {
    return failed(Trouble::record,
                  fmt::format("the label \"{}\" is neither a number nor a word, but {}",
                              format_.label_key, kind_of(value.type())));
  }
  return text(object, pieces);
}

bool RecordEncoder::read_message(const Object& object, Message& to) {
  std::string_view role;
  if (object.at_key("role").get(role) != SUCCESS &&
      object.at_key("from").get(role) != SUCCESS) {
    return failed(Trouble::record, "a message has no \"role\" or \"from\"");
  }
  const auto* known = std::ranges::find(kRoles, role, &RoleName::name);
  to.role = known != kRoles.end() ? known->role : role;
  Element content;
  if (object.at_key("content").get(content) != SUCCESS &&
      object.at_key("value").get(content) != SUCCESS) {
    return failed(Trouble::record, "a message has no \"content\" or \"value\"");
  }
  simdjson::dom::array parts;
  std::string_view words;
  if (content.get(words) == SUCCESS) {
    to.text = words;
  } else if (content.get(parts) == SUCCESS) {
    for (const Element part : parts) {
      Object inner;
      if (part.get(inner) != SUCCESS || inner.at_key("text").get(words) != SUCCESS) {
        return failed(Trouble::record, "a part of a message is not a text");
      }
      to.text += words;
    }
  } else {
    return failed(Trouble::record, fmt::format("the words of a message are not a text, but {}",
                                               kind_of(content.type())));
  }
  if (simdjson::validate_utf8(to.text.data(), to.text.size())) return true;
  return failed(Trouble::surrogate, "a message has half of a surrogate pair");
}

bool RecordEncoder::read_messages(const Element& value, std::string_view name,
                                  std::vector<Message>& to) {
  simdjson::dom::array list;
  if (value.get(list) != SUCCESS) {
    return failed(Trouble::record, fmt::format("\"{}\" is not a list of messages, but {}", name,
                                               kind_of(value.type())));
  }
  for (const Element element : list) {
    Object object;
    if (element.get(object) != SUCCESS) {
      return failed(Trouble::record, fmt::format("a message in \"{}\" is not an object, but {}",
                                                 name, kind_of(element.type())));
    }
    if (!read_message(object, to.emplace_back())) return false;
  }
  return true;
}

bool RecordEncoder::add_messages(const Object& object, const std::string& key, const char* role,
                                 std::vector<Message>& to) {
  Element value;
  if (!find(object, key, value)) return false;
  if (value.type() != element_type::STRING) return read_messages(value, key, to);
  std::string_view words;
  if (!find_text(object, key, words)) return false;
  to.push_back({role, std::string(words)});
  return true;
}

bool RecordEncoder::write_chat(const std::vector<Message>& messages, bool last_only,
                               TextPieces& pieces) {
  Conversation conversation;
  if (auto trouble = write_conversation(*format_.chat, messages, conversation)) {
    return failed(Trouble::record, std::move(*trouble));
  }
  std::vector<WordSpan> counted = conversation.answers;
  const bool all = format_.records == RecordKind::chat && format_.train_on == TrainOn::all;
  if (counted.empty() && !all) return failed(Trouble::record, "no message is the assistant's");
  if (last_only) counted = {counted.back()};
  if (all) {
    conversations_->encode_all(conversation, pieces.tokens);
  } else {
    conversations_->encode_counted(conversation, counted, pieces.tokens, pieces.mask);
  }
  pieces.tail.bytes = std::ssize(conversation.text);
  // Where no mark of the template ends an answer, the end of the document does.
  const bool answer_last = !messages.empty() && messages.back().role == "assistant";
  if (all || (answer_last && !conversation.ends_by_mark)) pieces.tail.flags |= kEndCounts;
  if (conversation.text.find('\0') != std::string::npos) pieces.tail.flags |= kHasNul;
  pieces.end_document();
  return true;
}

bool RecordEncoder::chat(const Object& object, TextPieces& pieces) {
  Element value;
  std::string_view name = "messages";
  if (object.at_key(name).get(value) != SUCCESS) {
    name = "conversations";
    if (object.at_key(name).get(value) != SUCCESS) {
      return failed(Trouble::key,
                    fmt::format("there is no key \"messages\" or \"conversations\"; {}",
                                keys_of(object)));
    }
  }
  std::vector<Message> messages;
  return read_messages(value, name, messages) &&
         write_chat(messages, format_.train_on == TrainOn::last, pieces);
}

bool RecordEncoder::pair(const Object& object, TextPieces& pieces) {
  std::vector<Message> prompt;
  Element value;
  const bool has_prompt = object.at_key("prompt").get(value) == SUCCESS;
  if (has_prompt && !add_messages(object, "prompt", "user", prompt)) return false;
  for (const char* key : {"chosen", "rejected"}) {
    // Lists of messages without a prompt, or that begin with the prompt, are whole.
    std::vector<Message> messages;
    if (!add_messages(object, key, "assistant", messages)) return false;
    if (messages.empty() || messages.back().role != "assistant") {
      return failed(Trouble::record,
                    fmt::format("the last message of \"{}\" is not the assistant's", key));
    }
    if (messages.front().role == "assistant") {
      messages.insert(messages.begin(), prompt.begin(), prompt.end());
    }
    if (!write_chat(messages, true, pieces)) return false;
  }
  return true;
}

bool RecordEncoder::pair_of_texts(const Object& object, TextPieces& pieces) {
  std::string_view prompt;
  if (!find_text(object, "prompt", prompt)) return false;
  for (const char* key : {"chosen", "rejected"}) {
    std::string_view answer;
    if (!find_text(object, key, answer)) return false;
    if (prompt.empty() && answer.empty()) return failed(Trouble::record, "the texts are empty");
    const std::string words = fmt::format("{}{}", prompt, answer);
    encode_marked(words, {{prompt.size(), words.size()}}, tokenizer_, pieces.tokens,
                  pieces.mask);
    pieces.tail.bytes = std::ssize(words);
    if (words.find('\0') != std::string::npos) pieces.tail.flags |= kHasNul;
    pieces.tail.flags |= kEndCounts;
    pieces.end_document();
  }
  return true;
}

}  // namespace trireme
