// SPDX-License-Identifier: Apache-2.0
// Declares the options of `trireme prepare` to CLI11.
#include "trireme/data/chat_template.hpp"

#include "command_line.hpp"
#include "help/command_tree.hpp"

namespace trireme {

void CommandLine::add_prepare() {
  prepare = app.add_subcommand("prepare", "Turns text into a file of tokens");
  add_prepare_input(*prepare);
  add_prepare_documents(*prepare);
  PrepareOptions& options = prepare_options;
  prepare->add_option("--output", options.output, "Token file to write")
      ->type_name(kFileValue)
      ->required();
  prepare->add_flag("--overwrite", options.overwrite,
                    "Moves a file of the output's name to OUTPUT.before-DATE; otherwise such "
                    "a file is an error");
  add_tokenizer(*prepare, options.tokenizer);
  prepare
      ->add_option("--threads", prepare_threads,
                   "Threads of each rank; 0: OMP_NUM_THREADS, or a share of the node")
      ->check(not_negative());
  prepare->add_option("--json", options.json, "File for the report, one JSON object")
      ->type_name(kFileValue);
  add_loudness(*prepare);
}

void CommandLine::add_prepare_input(CLI::App& command) {
  PrepareOptions& options = prepare_options;
  command
      .add_option("--input", options.inputs,
                  "Files, folders with all files in them, patterns such as 'web/*.jsonl.zst', "
                  "or - for standard input. The content decides: plain text in UTF-8, or JSON "
                  "lines, packed by gzip, zstd, xz, bzip2 or not at all")
      ->type_name(kFileValue);
  command
      .add_option("--images", options.images,
                  "Images with classes, instead of --input: IDX or .npy of images and then of "
                  "labels, or .bin of CIFAR. A folder has a folder of PNG or JPEG files for "
                  "each class")
      ->type_name(kFileValue);
  command
      .add_option("--format", options.format,
                  "auto: by each file's content; text: any bytes as they are; jsonl: JSON "
                  "lines, one object a line")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "text", "jsonl"}));
  command.add_option("--json-keys,--jsonl-key", options.json_keys,
                     "Treats inputs as JSON lines; the key of the text. Dots enter objects; "
                     "texts of several keys (a.b,c) are joined by a blank line");
  command.add_option(
      "--document-separator", separator,
      "Separator between documents of plain text; \\n, \\t, \\xHH are understood");
  command.add_flag("--document-per-file", options.document_per_file,
                   "Each file is one document, also if it holds JSON");
  command
      .add_option(
          "--on-error", options.on_error,
          "stop: what cannot be used is an error; skip: it is left out, counted and named. "
          "Such are bad JSON, a missing key, other bytes than UTF-8, half a surrogate pair, a "
          "line above 256 MiB, and a file without text")
      ->capture_default_str()
      ->check(CLI::IsMember({"stop", "skip"}));
}

void CommandLine::add_prepare_documents(CLI::App& command) {
  PrepareOptions& options = prepare_options;
  const std::string templates = fmt::format("{}", fmt::join(chat_template_names(), ", "));
  auto* chat = command.add_option(
      "--chat-template", options.chat_template,
      "JSON lines are conversations (messages, conversations), written as one "
      "of: " +
          templates);
  command
      .add_option("--train-on", options.train_on,
                  "The words of a conversation that count in the loss: the assistant's, all, "
                  "or the assistant's last")
      ->capture_default_str()
      ->check(CLI::IsMember({"assistant", "all", "last"}))
      ->needs(chat);
  command.add_flag("--pairs", options.pairs,
                   "JSON lines hold prompt, chosen and rejected: two documents a line");
  command.add_option("--label-key", options.label_key,
                     "JSON lines hold texts with a label, a number or a word, of this key");
  command
      .add_option("--min-tokens", options.min_tokens,
                  "Leaves out documents of fewer tokens, the end not counted")
      ->capture_default_str();
  command
      .add_option(
          "--dedup", options.dedup,
          "exact: of documents with equal tokens (128-bit XXH3), keeps the first; takes "
          "up to 64 bytes of memory a document")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "exact"}));
  auto* append = command.add_flag_callback(
      "--append-eod", [&options] { options.append_eod = true; },
      "The end-of-document token closes each document, which is the default");
  command
      .add_flag_callback(
          "--no-append-eod", [&options] { options.append_eod = false; },
          "No token closes a document")
      ->excludes(append);
  auto* shuffle = command.add_flag("--shuffle", options.shuffle,
                                   "Writes documents in a random order that the seed decides");
  command.add_option("--seed", options.seed, "Seed of --shuffle")
      ->capture_default_str()
      ->needs(shuffle);
}

}  // namespace trireme
