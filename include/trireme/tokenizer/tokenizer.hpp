// SPDX-License-Identifier: Apache-2.0
// Tokenizer: the interface between text and token ids. A new kind is a class and a line in
// make_tokenizer().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

/// Which part of a document a text is. Some tokenizers put a space in front of a document.
enum class TextPart : std::uint8_t {
  first,  ///< begins with the document's first byte
  later,  ///< continues a document whose beginning was encoded before
};

/// What a tokenizer puts around a document, such as its first token.
struct Surroundings {
  std::vector<std::int32_t> before{};
  std::vector<std::int32_t> after{};
};

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
  /// The id that ends a document. encode() yields this id only where the text spells it. Only
  /// tokenizers such as Hugging Face's look for spellings.
  [[nodiscard]] virtual std::int32_t end_of_document() const = 0;

  /// Appends the ids of `text`, which may hold any bytes. A tokenizer that needs UTF-8 reads
  /// each invalid sequence as U+FFFD.
  virtual void encode_part(std::string_view text, TextPart part,
                           std::vector<std::int32_t>& to) const = 0;
  /// Appends the ids of a whole document, without its surroundings().
  void encode(std::string_view text, std::vector<std::int32_t>& to) const {
    encode_part(text, TextPart::first, to);
  }
  /// What the tokenizer's file asks to put around a document. encode() does not do so.
  [[nodiscard]] virtual Surroundings surroundings() const { return {}; }
  /// The id of a token, such as "<|im_start|>", or nothing.
  [[nodiscard]] virtual std::optional<std::int32_t> id_of(std::string_view token) const = 0;
  /// The last offset in `text`, 0 to its size, at which text can safely be split. Both pieces,
  /// encoded by themselves, give the ids of the whole, whatever text precedes and follows. The
  /// second piece is TextPart::later. Returns 0 if there is no such offset. Texts larger than
  /// memory are encoded in such pieces.
  [[nodiscard]] virtual std::size_t split_point(std::string_view text) const = 0;
  /// The bytes that `ids` stand for. Special tokens, such as end_of_document(), stand for none.
  /// Throws Error on an id outside of the vocabulary.
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  /// decode() without the ids that stand for no text here. A model's vocabulary is often
  /// larger than its tokenizer's, and a model may draw any id.
  [[nodiscard]] std::string decode_known(std::span<const std::int32_t> ids) const;
};

/// One id for each byte value, and id 256 for the end of a document.
class ByteTokenizer : public Tokenizer {
 public:
  [[nodiscard]] std::string kind() const override { return "bytes"; }
  [[nodiscard]] std::string definition() const override { return ""; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 257; }
  [[nodiscard]] std::int32_t end_of_document() const override { return 256; }
  void encode_part(std::string_view text, TextPart part,
                   std::vector<std::int32_t>& to) const override;
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view token) const override;
  [[nodiscard]] std::size_t split_point(std::string_view text) const override {
    return text.size();
  }
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const override;
};

/// ByteTokenizer as the text of Hugging Face's tokenizer.json. Each text has the same ids,
/// except for text that spells `end_of_document`: there it is that token.
[[nodiscard]] std::string byte_tokenizer_json(const std::string& end_of_document);
/// The end of a document in the models of bytes that this program publishes.
inline constexpr const char* kPublishedEnd = "<|endoftext|>";

/// NeoX's CharLevelTokenizer: one id for each byte value, of a vocabulary of 512, and id 0 for
/// the end of a document.
class CharacterTokenizer : public ByteTokenizer {
 public:
  [[nodiscard]] std::string kind() const override { return "characters"; }
  [[nodiscard]] std::int64_t vocab_size() const override { return 512; }
  [[nodiscard]] std::int32_t end_of_document() const override { return 0; }
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const override;
};

/// Makes the tokenizer whose kind() and definition() these are. Throws Error that lists the
/// known kinds if `kind` is none of them.
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(const std::string& kind,
                                                        const std::string& definition);

/// Where a tokenizer comes from.
struct TokenizerSource {
  /// "bytes", "characters", or a file or folder, whose content tells what it is: Hugging Face's
  /// tokenizer.json, GPT-2's vocab.json, a .tiktoken file, Mistral's tekken.json,
  /// SentencePiece.
  std::string name = "bytes";
  std::string merges{};           ///< GPT-2's merges.txt; "": in the folder of vocab.json
  std::string encoding{};         ///< whose pattern a .tiktoken file needs, such as "llama3"
  std::string end_of_document{};  ///< a token; "": what the files say, or a usual one
  /// Text that spells a special token of a .tiktoken file or a tekken.json is this token. Other
  /// files say so themselves.
  bool allow_special = false;
};

/// Names for TokenizerSource::encoding.
[[nodiscard]] std::vector<std::string> tokenizer_encodings();

/// Throws Error that names the file and what is wrong or not supported there.
[[nodiscard]] std::unique_ptr<Tokenizer> open_tokenizer(const TokenizerSource& source);

}  // namespace trireme
