// SPDX-License-Identifier: Apache-2.0
// The files of an exported model.
#include "trireme/huggingface/export.hpp"

#include <filesystem>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

#include "config.hpp"
#include "mapped_source.hpp"
#include "safetensors_writer.hpp"
#include "tensor_names.hpp"

namespace trireme::huggingface {

namespace {

namespace fs = std::filesystem;

std::string torch_name(DType type) {
  switch (type) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    default:
      return "float32";
  }
}

void write_text(const fs::path& path, const std::string& text) {
  replace_text(path.string(), text, Durability::power);
}

void copy_to(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::copy_file(from, to, code);
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot be copied to {}", from.string(),
                     to.string());
}

/// The file of this name: in `place`, if that is a folder, or else `place` itself. Empty if
/// there is none.
fs::path file_named(const std::string& place, const char* name) {
  std::error_code code;
  fs::path path = place;
  if (fs::is_directory(path, code)) path /= name;
  return path.filename() == name && fs::is_regular_file(path, code) ? path : fs::path();
}

/// Copies what says more of the tokenizer in `place` than its definition does.
void copy_settings(const std::string& place, const fs::path& to) {
  std::error_code code;
  const bool folder = fs::is_directory(place, code);
  // Beside a file of another name stands what may belong to another tokenizer.
  if (!folder && file_named(place, "tokenizer.json").empty()) return;
  const fs::path from = folder ? fs::path(place) : fs::path(place).parent_path();
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "chat_template.jinja"}) {
    if (fs::is_regular_file(from / name, code)) copy_to(from / name, to / name);
  }
}

/// Adds what Hugging Face's library can't do without, and this program can.
Json as_published(Json spec) {
  if (!spec.contains("version")) spec["version"] = "1.0";
  if (!spec.contains("added_tokens") || !spec["added_tokens"].is_array()) return spec;
  for (Json& token : spec["added_tokens"]) {
    if (!token.is_object()) continue;
    for (const char* name : {"single_word", "lstrip", "rstrip", "special"}) {
      if (!token.contains(name)) token[name] = false;
    }
    if (!token.contains("normalized")) token["normalized"] = token["special"] == false;
  }
  return spec;
}

/// Writes a definition of the kind "hugging-face", and the settings of the equal tokenizer in
/// `place`.
bool write_definition(const std::string& text, const std::string& place, const fs::path& to) {
  const Json definition = Json::parse(text, nullptr, false);
  if (!definition.is_object() || !definition.contains("tokenizer")) return false;
  write_text(to / "tokenizer.json", as_published(definition["tokenizer"]).dump() + "\n");
  copy_settings(place, to);
  std::error_code code;
  if (fs::exists(to / "tokenizer_config.json", code)) return true;
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"}};
  if (definition.contains("end_of_document")) {
    config["eos_token"] = definition["end_of_document"];
  }
  write_text(to / "tokenizer_config.json", config.dump(2) + "\n");
  return true;
}

/// Writes the tokenizer's files, as far as they are known. Says whether there are any.
bool write_tokenizer(const TokenizerToWrite& tokenizer, const fs::path& to) {
  if (tokenizer.kind == "hugging-face") {
    return write_definition(tokenizer.definition, tokenizer.file, to);
  }
  if (tokenizer.kind == ByteTokenizer().kind()) {
    const Json spec = Json::parse(byte_tokenizer_json(kPublishedEnd));
    return write_definition(
        Json{{"tokenizer", spec}, {"end_of_document", kPublishedEnd}}.dump(), "", to);
  }
  // What other kinds keep isn't what their files hold, so that a file is copied.
  std::vector<const char*> names;
  if (tokenizer.kind.empty()) names = {"tokenizer.json"};
  if (tokenizer.kind == "sentencepiece") names = {"tokenizer.model"};
  if (tokenizer.kind == "ranks") names = {"tekken.json", "tokenizer.model"};
  for (const char* name : names) {
    const fs::path path = file_named(tokenizer.file, name);
    if (path.empty()) continue;
    copy_to(path, to / name);
    if (tokenizer.kind.empty()) copy_settings(tokenizer.file, to);
    return true;
  }
  std::error_code code;
  if (tokenizer.kind != "sentencepiece" || !fs::is_regular_file(tokenizer.file, code)) {
    return false;
  }
  copy_to(tokenizer.file, to / "tokenizer.model");
  return true;
}

/// The card says what the model is and how it was trained: by the deck.
std::string card(const Family& family, DType type, const Deck& deck,
                 const ExportOptions& options) {
  return fmt::format(
      "---\nlibrary_name: transformers\ntags: [trireme, {}]\n---\n\n# {}\n\n"
      "A {} model of {} layers and width {}, in {}. Trireme wrote it from `{}`.\n\n"
      "```python\nfrom transformers import {}\nmodel = {}.from_pretrained(\"{}\")\n```\n\n"
      "The deck that it was trained with:\n\n```yaml\n{}```\n",
      family.model_type, fs::path(options.to).filename().string(), family.model_type,
      deck.model.num_layers, deck.model.hidden_size, torch_name(type), options.origin,
      family.auto_class, family.auto_class, fs::path(options.to).filename().string(),
      to_yaml(deck));
}

void write_all(const fs::path& folder, WeightSource& source, const Deck& deck,
               const TokenizerToWrite& tokenizer, const ExportOptions& options, Written written,
               Exported& done) {
  done.tokenizer = write_tokenizer(tokenizer, folder);  // first: an error loses no work
  MappedSource tensors(source, tensors_from(*written.family, deck.model, source));
  write_files(folder.string(), {.source = tensors,
                                .type = done.type,
                                .most_bytes = options.most_bytes,
                                .progress = options.progress});
  OrderedJson generation{{"_from_model_config", false}};
  written.config["torch_dtype"] = torch_name(done.type);
  const ByteTokenizer bytes;
  const bool of_bytes = tokenizer.kind == bytes.kind();
  const std::int64_t end = of_bytes ? bytes.end_of_document() : deck.end_of_document;
  if (of_bytes) written.config["bos_token_id"] = nullptr;  // else a family's default id
  if (end >= 0) {
    written.config["eos_token_id"] = end;
    generation["eos_token_id"] = end;
  }
  write_text(folder / "config.json", written.config.dump(2) + "\n");
  if (!deck.model.bidirectional_attention) {
    write_text(folder / "generation_config.json", generation.dump(2) + "\n");
  }
  write_text(folder / "README.md", card(*written.family, done.type, deck, options));
}

}  // namespace

Exported write_model_folder(WeightSource& source, const Deck& deck,
                            const TokenizerToWrite& tokenizer, const ExportOptions& options) {
  std::error_code code;
  TRM_REQUIRE(!fs::exists(options.to, code),
              "{}: there is something already; name a folder that doesn't exist", options.to);
  Written written = write_config(deck, options.model_type);
  Exported done{.model_type = std::string(written.family->model_type),
                .type = options.type.value_or(source.dtype("model/embed_in.weight"))};
  const fs::path temporary = temporary_name(options.to, process_mark());
  try {
    fs::create_directories(temporary, code);
    TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot create the folder", temporary.string());
    write_all(temporary, source, deck, tokenizer, options, std::move(written), done);
    sync_to_disk(temporary.string());
    rename_path(temporary.string(), options.to);
  } catch (...) {
    fs::remove_all(temporary, code);
    throw;
  }
  return done;
}

}  // namespace trireme::huggingface
