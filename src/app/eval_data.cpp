// SPDX-License-Identifier: Apache-2.0
// Opens the data of `trireme eval`.
#include "eval_data.hpp"

#include <filesystem>

#include "trireme/core/printable.hpp"
#include "trireme/tasks/text_loss.hpp"

#include "deck_tokenizer.hpp"
#include "prepare.hpp"

namespace trireme {

namespace {

bool names_tokens(const std::string& path) {
  std::error_code code;
  for (const char* ending : {".h5", ".bin", ".idx"}) {
    if (path.ends_with(ending)) return true;
  }
  return !std::filesystem::exists(path, code) && std::filesystem::exists(path + ".bin", code);
}

}  // namespace

std::unique_ptr<TokenSource> open_eval_data(const std::string& path, const EvalOptions& options,
                                            const Deck& deck, const Tokenizer* tokenizer,
                                            int threads) {
  if (!names_tokens(path)) {
    TRM_REQUIRE(tokenizer != nullptr,
                "{}: this is text, but the model has no tokenizer; name one by the deck's key "
                "vocab_file (--set vocab_file=FILE), or evaluate a token file",
                printable(path));
    return tasks::read_text({path},
                            text_format_of({.json_keys = options.json_keys,
                                            .separator = unescape(options.separator)}),
                            *tokenizer, threads);
  }
  auto source =
      open_tokens(path, DocumentCheck::all,
                  {deck.model.vocab_size, static_cast<std::int32_t>(deck.end_of_document)});
  TRM_REQUIRE(source->vocab_size() <= deck.model.vocab_size,
              "{}: the tokens are of a vocabulary of {} ids, but the model's has {}",
              printable(path), source->vocab_size(), deck.model.vocab_size);
  TRM_REQUIRE(
      tokenizer == nullptr || source->tokenizer_kind().empty() ||
          same_tokenizer(source->tokenizer_kind(), source->tokenizer_definition(),
                         tokenizer->kind(), tokenizer->definition()),
      "{}: the tokens are those of another tokenizer, \"{}\" of {} ids, than the model's, "
      "\"{}\" of {} ids; evaluate the text itself",
      printable(path), source->tokenizer_kind(), source->vocab_size(), tokenizer->kind(),
      tokenizer->vocab_size());
  return source;
}

}  // namespace trireme
