// SPDX-License-Identifier: Apache-2.0
// Tokenizer: the interface between text and token ids. A new kind is a class and a line in
// make_tokenizer().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// Immutable, so threads may share it.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// The name by which make_tokenizer() knows this kind, such as "bytes".
  [[nodiscard]] virtual std::string kind() const = 0;
  /// A text from which make_tokenizer(), given kind() too, makes an equal tokenizer.
  [[nodiscard]] virtual std::string definition() const = 0;
  /// The number of ids, which are 0 to vocab_size() − 1.
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  /// The id that ends a document. encode() never yields this id.
  [[nodiscard]] virtual std::int32_t end_of_document() const = 0;

  /// Appends the ids of `text`, which may hold any bytes.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& to) const = 0;
  /// The last offset in `text`, 0 to its size, at which text can safely be split. Both pieces,
  /// encoded by themselves, give the ids of the whole, whatever text precedes and follows.
  /// Returns 0 if there is no such offset. Texts larger than memory are encoded in such pieces.
  [[nodiscard]] virtual std::size_t split_point(std::string_view text) const = 0;
  /// The bytes that `ids` stand for; end_of_document() adds none. Throws Error on other ids.
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
};

/// One id for each byte value, and id 256 for the end of a document.
class ByteTokenizer : public Tokenizer {
 public:
  [[nodiscard]] std::string kind() const override { return "bytes"; }
  [[nodiscard]] std::string definition() const override { return ""; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 257; }
  [[nodiscard]] std::int32_t end_of_document() const override { return 256; }
  void encode(std::string_view text, std::vector<std::int32_t>& to) const override;
  [[nodiscard]] std::size_t split_point(std::string_view text) const override {
    return text.size();
  }
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const override;
};

/// Throws Error that lists the known kinds if `kind` is none of them.
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind,
                                                        const std::string& definition);

}  // namespace trireme
