// SPDX-License-Identifier: Apache-2.0
// The chat templates that people use most, as the models' own tokenizer_config.json writes
// them.
#include "conversation.hpp"

#include <algorithm>
#include <array>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

namespace {

constexpr std::string_view kAlpaca =
    "Below is an instruction that describes a task. Write a response that appropriately "
    "completes the request.";

constexpr std::array kTemplates{
    ChatTemplate{.name = "chatml",
                 .marks = {"<|im_start|>", "<|im_end|>"},
                 .begin = "",
                 .system = {"<|im_start|>system\n", "", "", "<|im_end|>\n"},
                 .user = {"<|im_start|>user\n", "", "", "<|im_end|>\n"},
                 .assistant = {"<|im_start|>assistant\n", "", "<|im_end|>", "\n"}},
    ChatTemplate{.name = "llama2",
                 .marks = {"<s>", "</s>"},
                 .begin = "",
                 .system = {"<<SYS>>\n", "", "", "\n<</SYS>>\n\n"},
                 .user = {"<s>[INST] ", "", "", " [/INST]"},
                 .assistant = {"", " ", " </s>", ""},
                 .system_in_user = true,
                 .alternates = true,
                 .trims = true},
    ChatTemplate{
        .name = "llama3",
        .marks = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
                  "<|eot_id|>"},
        .begin = "<|begin_of_text|>",
        .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "", "", "<|eot_id|>"},
        .user = {"<|start_header_id|>user<|end_header_id|>\n\n", "", "", "<|eot_id|>"},
        .assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "", "<|eot_id|>",
                      ""},
        .trims = true},
    ChatTemplate{.name = "mistral",
                 .marks = {"<s>", "</s>"},
                 .begin = "<s>",
                 .system = {},
                 .user = {"[INST] ", "", "", " [/INST]"},
                 .assistant = {"", "", "</s>", ""},
                 .has_system = false,
                 .alternates = true},
    ChatTemplate{.name = "gemma",
                 .marks = {"<bos>", "<start_of_turn>", "<end_of_turn>"},
                 .begin = "<bos>",
                 .system = {},
                 .user = {"<start_of_turn>user\n", "", "", "<end_of_turn>\n"},
                 .assistant = {"<start_of_turn>model\n", "", "<end_of_turn>", "\n"},
                 .has_system = false,
                 .alternates = true,
                 .trims = true},
    ChatTemplate{.name = "zephyr",
                 .marks = {"</s>"},
                 .begin = "",
                 .system = {"<|system|>\n", "", "", "</s>\n"},
                 .user = {"<|user|>\n", "", "", "</s>\n"},
                 .assistant = {"<|assistant|>\n", "", "</s>", "\n"}},
    ChatTemplate{.name = "phi3",
                 .marks = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"},
                 .begin = "",
                 .system = {"<|system|>\n", "", "", "<|end|>\n"},
                 .user = {"<|user|>\n", "", "", "<|end|>\n"},
                 .assistant = {"<|assistant|>\n", "", "<|end|>", "\n"}},
    ChatTemplate{.name = "alpaca",
                 .begin = "",
                 .system = {"", "", "", ""},
                 .user = {"\n\n### Instruction:\n", "", "", ""},
                 .assistant = {"\n\n### Response:\n", "", "", ""},
                 .alternates = true,
                 .usual_system = kAlpaca},
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

/// What of the order of messages does not fit; nothing if all does.
std::optional<std::string> misplaced(const ChatTemplate& form,
                                     const std::vector<Message>& messages) {
  bool user_next = true;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role == "system") {
      if (!form.has_system) {
        return fmt::format("the chat template {} has no place for a system message", form.name);
      }
      if (i > 0) return "a system message stands behind others";
      continue;
    }
    if (role != "user" && role != "assistant") {
      return fmt::format("the role \"{}\" has no place in the chat template {}",
                         shortened(role, 40), form.name);
    }
    if (form.alternates && (role == "user") != user_next) {
      return fmt::format(
          "message {} is the {}'s, but the chat template {} lets user and "
          "assistant take turns",
          i + 1, role, form.name);
    }
    user_next = role != "user";
  }
  return std::nullopt;
}

/// Writes text of the template itself, and notes the marks in it.
void write_fixed(const ChatTemplate& form, std::string_view fixed, Conversation& to) {
  while (!fixed.empty()) {
    const auto* mark = std::ranges::find_if(form.marks, [&](std::string_view text) {
      return !text.empty() && fixed.starts_with(text);
    });
    const std::size_t n = mark != form.marks.end() ? mark->size() : 1;
    if (mark != form.marks.end()) to.marks.push_back({to.text.size(), to.text.size() + n});
    to.text += fixed.substr(0, n);
    fixed.remove_prefix(n);
  }
}

}  // namespace

const ChatTemplate& chat_template(std::string_view name) {
  const auto* found = std::ranges::find(kTemplates, name, &ChatTemplate::name);
  TRM_REQUIRE(found != kTemplates.end(),
              "the chat template \"{}\" is not known; choose from {}", shortened(name, 200),
              fmt::join(chat_template_names(), ", "));
  return *found;
}

std::vector<std::string> chat_template_names() {
  std::vector<std::string> names;
  for (const ChatTemplate& form : kTemplates) names.emplace_back(form.name);
  return names;
}

std::optional<std::string> write_conversation(const ChatTemplate& form,
                                              const std::vector<Message>& messages,
                                              Conversation& to) {
  if (auto trouble = misplaced(form, messages)) return trouble;
  to = {.ends_by_mark = !form.assistant.tail.empty()};
  write_fixed(form, form.begin, to);
  const auto write = [&](const ChatTurn& turn, std::string_view words, bool trims) {
    write_fixed(form, turn.before, to);
    const std::size_t begin = to.text.size();
    write_fixed(form, turn.lead, to);
    to.text += trims ? trimmed(words) : words;
    write_fixed(form, turn.tail, to);
    const WordSpan span{begin, to.text.size()};
    write_fixed(form, turn.after, to);
    return span;
  };
  std::string folded;  // the system's turn, which goes into the first user's
  const bool has_system = !messages.empty() && messages.front().role == "system";
  if (!has_system && !form.usual_system.empty()) {
    (void)write(form.system, form.usual_system, false);
  }
  for (const Message& message : messages) {
    if (message.role == "system" && form.system_in_user) {
      folded = fmt::format("{}{}{}", form.system.before, message.text, form.system.after);
    } else if (message.role == "system") {
      (void)write(form.system, message.text, form.trims);
    } else if (message.role == "user") {
      (void)write(form.user, folded + message.text, form.trims);
      folded.clear();
    } else {
      to.answers.push_back(write(form.assistant, message.text, form.trims));
    }
  }
  return std::nullopt;
}

void encode_marked(std::string_view text, const std::vector<WordSpan>& counted,
                   const Tokenizer& tokenizer, std::vector<std::int32_t>& tokens,
                   std::vector<std::uint8_t>& mask) {
  const std::size_t first = tokens.size();
  tokenizer.encode(text, tokens);
  mask.resize(tokens.size(), 0);
  // Tokens before a place in the text equal those of the text up to there, but for a token that
  // reaches over the place. Text is encoded anew from a place at which text can be divided.
  std::size_t divided = 0;  // place in the text
  std::size_t before = first;
  std::vector<std::int32_t> part;
  const auto part_at = [](std::size_t place) {
    return place == 0 ? TextPart::first : TextPart::later;
  };
  const auto token_at = [&](std::size_t place, bool behind) {
    const std::string_view left = text.substr(divided, place - divided);
    const std::size_t split = tokenizer.split_point(left);
    part.clear();
    tokenizer.encode_part(left.substr(0, split), part_at(divided), part);
    divided += split;
    before += part.size();
    part.clear();
    tokenizer.encode_part(left.substr(split), part_at(divided), part);
    const auto same =
        std::mismatch(part.begin(), part.end(),
                      tokens.begin() + static_cast<std::ptrdiff_t>(before), tokens.end());
    const bool reaches_over = same.first != part.end();
    return before + static_cast<std::size_t>(same.first - part.begin()) +
           (behind && reaches_over ? 1U : 0U);
  };
  for (const WordSpan& span : counted) {
    std::size_t begin = token_at(span.begin, false);
    const std::size_t end = std::min(token_at(span.end, true), tokens.size());
    for (; begin < end; ++begin) mask[begin] = 1;
  }
}

}  // namespace trireme
