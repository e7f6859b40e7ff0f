// SPDX-License-Identifier: Apache-2.0
// The files of an exported model.
#include "trireme/huggingface/export.hpp"

#include <array>
#include <filesystem>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

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

/// Copies what stands beside a tokenizer's file. Returns whether a tokenizer is among it.
bool copy_tokenizer(const fs::path& file, const fs::path& to) {
  std::error_code code;
  const fs::path from = fs::is_directory(file, code) ? file : file.parent_path();
  bool found = false;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt",
                           "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "chat_template.jinja"}) {
    if (!fs::is_regular_file(from / name, code)) continue;
    fs::copy_file(from / name, to / name, code);
    TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot be copied to {}",
                       (from / name).string(), to.string());
    found = found || std::string_view(name).starts_with("tokenizer.") ||
            std::string_view(name) == "vocab.json";
  }
  if (fs::is_regular_file(file, code) && !fs::exists(to / file.filename(), code)) {
    const fs::path name =
        file.extension() == ".json" ? fs::path("tokenizer.json") : file.filename();
    fs::copy_file(file, to / name, code);
    TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot be copied to {}", file.string(),
                       to.string());
    found = true;
  }
  return found;
}

/// Writes the tokenizer's files, as far as they are known. Says whether there are any.
bool write_tokenizer(const TokenizerToWrite& tokenizer, const fs::path& to) {
  if (!tokenizer.file.empty() && copy_tokenizer(tokenizer.file, to)) return true;
  if (tokenizer.kind != "hugging-face") return false;
  const Json definition = Json::parse(tokenizer.definition, nullptr, false);
  if (!definition.is_object() || !definition.contains("tokenizer")) return false;
  write_text(to / "tokenizer.json", definition["tokenizer"].dump() + "\n");
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"}};
  if (definition.contains("end_of_document")) {
    config["eos_token"] = definition["end_of_document"];
  }
  write_text(to / "tokenizer_config.json", config.dump(2) + "\n");
  return true;
}

/// The card says what the model is and how it was trained: by the deck.
std::string card(const std::string& model_type, DType type, const Deck& deck,
                 const ExportOptions& options) {
  return fmt::format(
      "---\nlibrary_name: transformers\ntags: [trireme, {}]\n---\n\n# {}\n\n"
      "A {} model of {} layers and width {}, in {}. Trireme wrote it from `{}`.\n\n"
      "```python\nfrom transformers import AutoModelForCausalLM\n"
      "model = AutoModelForCausalLM.from_pretrained(\"{}\")\n```\n\n"
      "The deck that it was trained with:\n\n```yaml\n{}```\n",
      model_type, fs::path(options.to).filename().string(), model_type, deck.model.num_layers,
      deck.model.hidden_size, torch_name(type), options.origin,
      fs::path(options.to).filename().string(), to_yaml(deck));
}

void write_all(const fs::path& folder, WeightSource& source, const Deck& deck,
               const TokenizerToWrite& tokenizer, const ExportOptions& options, Written written,
               Exported& done) {
  MappedSource tensors(source, tensors_from(*written.family, deck.model, source));
  write_files(folder.string(), {.source = tensors,
                                .type = done.type,
                                .most_bytes = options.most_bytes,
                                .progress = options.progress});
  Json generation{{"_from_model_config", false}};
  written.config["torch_dtype"] = torch_name(done.type);
  if (deck.end_of_document >= 0) {
    written.config["eos_token_id"] = deck.end_of_document;
    generation["eos_token_id"] = deck.end_of_document;
  }
  write_text(folder / "config.json", written.config.dump(2) + "\n");
  write_text(folder / "generation_config.json", generation.dump(2) + "\n");
  done.tokenizer = write_tokenizer(tokenizer, folder);
  write_text(folder / "README.md", card(done.model_type, done.type, deck, options));
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
