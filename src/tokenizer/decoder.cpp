// SPDX-License-Identifier: Apache-2.0
// Decoders of a tokenizer.json: from tokens back to text.
#include "decoder.hpp"

#include <array>
#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "trireme/core/error.hpp"

#include "byte_alphabet.hpp"
#include "metaspace.hpp"
#include "part_fields.hpp"
#include "utf8.hpp"

namespace trireme {

using nlohmann::json;

namespace {

using Tokens = std::vector<std::string>;

std::string replaced(const std::string& text, std::string_view from, std::string_view to) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t found = text.find(from); found != std::string::npos;
       found = text.find(from, done)) {
    result.append(text, done, found - done);
    result += to;
    done = found + from.size();
  }
  return result.append(text, done);
}

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

bool is_utf8(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = valid_utf8_at(bytes, at);
    if (size == 0) return false;
    at += size;
  }
  return true;
}

/// A decoder that is one function.
template <class Change>
class Step final : public Decoder {
 public:
  explicit Step(Change change) : change_(std::move(change)) {}
  void apply(Tokens& tokens) const override { change_(tokens); }

 private:
  Change change_;
};

template <class Change>
std::unique_ptr<Decoder> step(Change change) {
  return std::make_unique<Step<Change>>(std::move(change));
}

std::unique_ptr<Decoder> make_byte_level(const json& spec, const std::string& where) {
  // The fields concern encoding.
  const Fields fields(spec, where, {"add_prefix_space", "trim_offsets", "use_regex"});
  return step([](Tokens& tokens) {
    std::string bytes;
    for (const std::string& token : tokens) {
      // Earlier decoders leave any bytes. A token with other characters stands for itself.
      const auto made = is_utf8(token) ? bytes_of_characters(token) : std::nullopt;
      bytes += made.value_or(token);
    }
    tokens = {std::move(bytes)};
  });
}

// What WordPiece's decoder takes for spaces that the tokenizer put in.
std::string without_extra_spaces(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kRules{{
      {" .", "."},
      {" ?", "?"},
      {" !", "!"},
      {" ,", ","},
      {" ' ", "'"},
      {" n't", "n't"},
      {" 'm", "'m"},
      {" do not", " don't"},
      {" 's", "'s"},
      {" 've", "'ve"},
      {" 're", "'re"},
  }};
  for (const auto& [from, to] : kRules) text = replaced(text, from, to);
  return text;
}

std::unique_ptr<Decoder> make_word_piece(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"prefix", "cleanup"});
  return step(
      [prefix = fields.text("prefix"), cleanup = fields.boolean("cleanup")](Tokens& tokens) {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
          if (i > 0 && tokens[i].starts_with(prefix)) {
            tokens[i].erase(0, prefix.size());
          } else if (i > 0) {
            tokens[i] = fmt::format(" {}", tokens[i]);
          }
          if (cleanup) tokens[i] = without_extra_spaces(std::move(tokens[i]));
        }
      });
}

std::unique_ptr<Decoder> make_metaspace_decoder(const json& spec, const std::string& where) {
  return step([fields = MetaspaceFields(spec, where)](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool dropped = i == 0 && fields.prepend != MetaspaceFields::Prepend::never;
      tokens[i] = replaced(tokens[i], fields.replacement, dropped ? "" : " ");
    }
  });
}

// The byte that a token such as <0x0A> stands for. The peers also take one digit after a plus.
std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const std::size_t first = token[3] == '+' ? 4 : 3;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(token.data() + first, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

std::unique_ptr<Decoder> make_byte_fallback(const json& spec, const std::string& where) {
  const Fields none(spec, where, {});
  return step([](Tokens& tokens) {
    Tokens made;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (is_utf8(bytes)) {
        made.push_back(bytes);
      } else {
        made.insert(made.end(), bytes.size(), "\xef\xbf\xbd");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of_token(token)) {
        bytes += *byte;
      } else {
        flush();
        made.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(made);
  });
}

std::unique_ptr<Decoder> make_fuse(const json& spec, const std::string& where) {
  const Fields none(spec, where, {});
  return step([](Tokens& tokens) { tokens = {joined(tokens)}; });
}

std::unique_ptr<Decoder> make_strip_decoder(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"content", "start", "stop"});
  std::string content;
  append_utf8(content, fields.character("content"));
  return step([content, start = fields.whole_number("start"),
               stop = fields.whole_number("stop")](Tokens& tokens) {
    for (std::string& token : tokens) {
      for (std::int64_t i = 0; i < start && token.starts_with(content); ++i) {
        token.erase(0, content.size());
      }
      for (std::int64_t i = 0; i < stop && token.ends_with(content); ++i) {
        token.resize(token.size() - content.size());
      }
    }
  });
}

std::unique_ptr<Decoder> make_replace_decoder(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"pattern", "content"});
  const Fields pattern(fields.any("pattern"), fields.where("pattern"), {"String", "Regex"});
  if (pattern.has("Regex")) pattern.refuse("Regex", "is not supported in a decoder");
  const std::string from = pattern.text("String");
  if (from.empty()) pattern.refuse("String", "is empty: nothing can be replaced");
  return step([from, to = fields.text("content")](Tokens& tokens) {
    for (std::string& token : tokens) token = replaced(token, from, to);
  });
}

std::unique_ptr<Decoder> make_bpe_decoder(const json& spec, const std::string& where) {
  const Fields fields(spec, where, {"suffix"});
  const std::string suffix = fields.text("suffix");
  if (suffix.empty()) fields.refuse("suffix", "is empty: words have no end");
  return step([suffix](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replaced(tokens[i], suffix, i + 1 == tokens.size() ? "" : " ");
    }
  });
}

std::unique_ptr<Decoder> make_decoder_sequence(const json& spec, const std::string& where) {
  const Nesting nesting(where);
  const Fields fields(spec, where, {"decoders"});
  const json& list = fields.array("decoders");
  std::vector<std::shared_ptr<const Decoder>> steps;
  for (std::size_t i = 0; i < list.size(); ++i) {
    TRM_REQUIRE(!list[i].is_null(), "{}.decoders[{}]: an object is needed", where, i);
    steps.push_back(make_decoder(list[i], fmt::format("{}.decoders[{}]", where, i)));
  }
  return step([steps = std::move(steps)](Tokens& tokens) {
    for (const auto& each : steps) each->apply(tokens);
  });
}

using Make = std::unique_ptr<Decoder> (*)(const json&, const std::string&);
constexpr std::array<std::pair<std::string_view, Make>, 9> kTypes{{
    {"ByteLevel", make_byte_level},
    {"WordPiece", make_word_piece},
    {"Metaspace", make_metaspace_decoder},
    {"ByteFallback", make_byte_fallback},
    {"Fuse", make_fuse},
    {"Strip", make_strip_decoder},
    {"Replace", make_replace_decoder},
    {"BPEDecoder", make_bpe_decoder},
    {"Sequence", make_decoder_sequence},
}};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const json& spec, const std::string& where) {
  if (spec.is_null()) return nullptr;
  const std::string type = type_of(spec, where);
  for (const auto& [name, make] : kTypes) {
    if (type == name) return make(spec, where);
  }
  TRM_REQUIRE(type != "CTC",
              "{}: the decoder \"CTC\" is for the output of speech recognition, and not "
              "supported",
              where);
  refuse_type(
      type, where,
      "ByteLevel, WordPiece, Metaspace, ByteFallback, Fuse, Strip, Replace, BPEDecoder, "
      "Sequence");
}

}  // namespace trireme
