// SPDX-License-Identifier: Apache-2.0
// `trireme tokenize`: text to token ids and back.
#include "tokenize.hpp"

#include <charconv>
#include <istream>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

namespace {

constexpr std::size_t kBlock = 4 << 20;

using Ids = std::vector<std::int32_t>;

/// Writes the tokens of texts as the options ask.
class TokenPrinter {
 public:
  TokenPrinter(const TokenizeOptions& options, const Tokenizer& tokenizer, std::ostream& out)
      : options_(options), tokenizer_(tokenizer), out_(out) {}

  void add(const Ids& ids, std::size_t bytes) {
    bytes_ += bytes;
    tokens_ += ids.size();
    if (options_.count) return;
    line_.clear();
    for (const std::int32_t id : ids) {
      if (options_.pieces) {
        const std::string text = tokenizer_.decode({&id, 1});
        line_ += text.empty() ? fmt::format("{}\n", id)
                              : fmt::format("{} \"{}\"\n", id, printable(text));
      } else {
        if (!first_) line_ += ' ';
        line_ += fmt::format_int(id).c_str();
        first_ = false;
      }
    }
    write();
  }

  void end_text() {
    line_.clear();
    if (!options_.count) line_ = "\n";
    if (options_.pieces && !options_.separate) line_.clear();
    if (options_.count && options_.separate) {
      line_ = fmt::format("{} {}\n", bytes_, tokens_);
      bytes_ = tokens_ = 0;
    }
    first_ = true;
    write();
  }

  void finish() {
    if (options_.count && !options_.separate) {
      line_ = fmt::format(
          "{} bytes, {} tokens, {:.3f} bytes a token\n", bytes_, tokens_,
          tokens_ == 0 ? 0.0 : static_cast<double>(bytes_) / static_cast<double>(tokens_));
      write();
    }
    out_.flush();
    TRM_REQUIRE(out_.good(), "cannot write the output");
  }

 private:
  void write() {
    out_ << line_;
    TRM_REQUIRE(out_.good(), "cannot write the output");
  }

  const TokenizeOptions& options_;
  const Tokenizer& tokenizer_;
  std::ostream& out_;
  std::string line_;
  bool first_ = true;
  std::size_t bytes_ = 0;
  std::size_t tokens_ = 0;
};

/// Appends up to `bytes` of the input to `text`; false at its end.
bool read_more(std::istream& in, std::string& text, std::size_t bytes) {
  const std::size_t had = text.size();
  text.resize(had + bytes);
  in.read(text.data() + had, static_cast<std::streamsize>(bytes));
  text.resize(had + static_cast<std::size_t>(in.gcount()));
  return text.size() == had + bytes;
}

/// One text of any size.
void encode_stream(const TokenizeOptions& options, const Tokenizer& tokenizer, std::istream& in,
                   TokenPrinter& printer) {
  const Surroundings around = options.surround ? tokenizer.surroundings() : Surroundings{};
  printer.add(around.before, 0);
  std::string text;
  Ids ids;
  TextPart part = TextPart::first;
  for (bool more = true; more;) {
    more = read_more(in, text, kBlock);
    const std::size_t end = more ? tokenizer.split_point(text) : text.size();
    if (end == 0) continue;
    ids.clear();
    tokenizer.encode_part(std::string_view(text).substr(0, end), part, ids);
    printer.add(ids, end);
    text.erase(0, end);
    part = TextPart::later;
  }
  printer.add(around.after, 0);
  printer.end_text();
}

/// Texts that each end with a NUL.
void encode_texts(const TokenizeOptions& options, const Tokenizer& tokenizer, std::istream& in,
                  TokenPrinter& printer) {
  const Surroundings around = options.surround ? tokenizer.surroundings() : Surroundings{};
  std::string text;
  Ids ids;
  while (std::getline(in, text, '\0')) {
    ids = around.before;
    tokenizer.encode(text, ids);
    ids.insert(ids.end(), around.after.begin(), around.after.end());
    printer.add(ids, text.size());
    printer.end_text();
  }
}

Ids ids_from(const std::string& line) {
  Ids ids;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at < end) {
    if (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n' || *at == ',') {
      ++at;
      continue;
    }
    std::int32_t id = 0;
    const auto [behind, code] = std::from_chars(at, end, id);
    TRM_REQUIRE(code == std::errc(), "\"{}\" is no token id",
                shortened(std::string_view(at, static_cast<std::size_t>(end - at)), 20));
    ids.push_back(id);
    at = behind;
  }
  return ids;
}

void decode_stream(const TokenizeOptions& options, const Tokenizer& tokenizer, std::istream& in,
                   std::ostream& out) {
  std::string line;
  if (options.separate) {
    while (std::getline(in, line)) out << tokenizer.decode(ids_from(line)) << '\0';
  } else {
    // A decoder may look at tokens across lines, so that all ids are decoded at once.
    line.assign(std::istreambuf_iterator<char>(in), {});
    out << tokenizer.decode(ids_from(line));
  }
  out.flush();
  TRM_REQUIRE(out.good(), "cannot write the output");
}

}  // namespace

void tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out) {
  const auto tokenizer = open_tokenizer(options.source);
  if (options.decode) {
    decode_stream(options, *tokenizer, in, out);
    return;
  }
  TokenPrinter printer(options, *tokenizer, out);
  if (options.separate) {
    encode_texts(options, *tokenizer, in, printer);
  } else {
    encode_stream(options, *tokenizer, in, printer);
  }
  printer.finish();
}

}  // namespace trireme
