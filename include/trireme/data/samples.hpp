// SPDX-License-Identifier: Apache-2.0
// SampleSource: numbered samples of tokens, read from files or generated.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trireme/core/error.hpp"
#include "trireme/core/task.hpp"
#include "trireme/data/fill_in_the_middle.hpp"
#include "trireme/data/image_augmentation.hpp"
#include "trireme/data/packing.hpp"
#include "trireme/data/sampler.hpp"
#include "trireme/data/token_masking.hpp"
#include "trireme/data/token_source.hpp"

namespace trireme {

class MegatronFile;

/// A token's id in a sample. A token that the loss must not count as a target is stored as the
/// complement ~id, which is below 0. Such are padding, ignored labels and masked tokens.
[[nodiscard]] constexpr std::int32_t id_of(std::int32_t stored) {
  return stored < 0 ? ~stored : stored;
}
[[nodiscard]] constexpr std::int32_t uncounted(std::int32_t stored) {
  return stored < 0 ? stored : ~stored;
}

/// Samples numbered over all epochs. A number always stands for the same tokens.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  [[nodiscard]] std::int64_t seq_length() const { return layout_.inputs; }
  [[nodiscard]] const SampleLayout& layout() const { return layout_; }
  /// Reads sample k into `to`: layout().numbers() numbers, see id_of(). Where inputs and
  /// targets are apart, an input below 0 is padding.
  virtual void get(std::uint64_t k, std::span<std::int32_t> to) const = 0;

 protected:
  explicit SampleSource(std::int64_t seq_length)
      : SampleSource(sample_layout(Task::language_model, seq_length)) {}
  explicit SampleSource(const SampleLayout& layout) : layout_(layout) {}

 private:
  SampleLayout layout_;
};

/// The share of each file among the samples, where the deck gives no weights.
enum class Shares : std::uint8_t {
  size,      ///< in proportion to the file's samples
  equal,     ///< GPT-NeoX does so
  documents  ///< GPT-NeoX's weight_by_num_documents: see weights_by_documents()
};

struct SamplesOptions {
  std::vector<std::string> paths{};
  /// Megatron's indexed data beside each path, or empty. An element is the token itself, or
  /// below 0 where the loss must not count it.
  std::vector<std::string> label_paths{};
  std::vector<double> weights{};  ///< one a path; empty: by `shares`
  Shares shares = Shares::size;
  double sampler_alpha = 1;  ///< for Shares::documents
  std::string split{};       ///< shares of each file's documents, "969, 30, 1"; empty: all
  Part part = Part::train;   ///< which part of the split to read
  Task task = Task::language_model;
  MaskingRule masking{};        ///< for Task::masked_language_model
  std::int64_t seq_length = 0;  ///< inputs of a sample
  std::uint64_t seed = 0;
  bool shuffle = true;        ///< shuffle each epoch anew; otherwise in file order
  std::int64_t at_least = 1;  ///< fewest samples accepted: a global batch
  DocumentCheck check = DocumentCheck::all;
  TokenFacts given{};  ///< for files that don't say it
  PackingRule packing{};
  /// Whether targets that follow an end of document don't count, as in Megatron.
  bool mask_end_of_document = false;
  FillInTheMiddle fill_in_the_middle{};
  ImageAugmentation augmentation{};  ///< for Task::image_classification
};

/// Where a sample lies.
struct SamplePlace {
  std::size_t file = 0;
  std::int64_t sample = 0;         ///< within the file's part, before shuffling
  std::uint64_t epoch = 0;         ///< this file's
  std::vector<TokenRange> ranges;  ///< tokens of the file, in the sample's order
};

/// Samples of one part of one or several files. With Packing::packed, sample i of a file is its
/// tokens [i·T, i·T + T], counted from the part's beginning.
class Samples : public SampleSource {
 public:
  /// Throws Error on bad files and on files of different vocabularies. Where there is too
  /// little data, the Error names the tokens present and needed, and explain_split().
  explicit Samples(const SamplesOptions& options);
  ~Samples() override;
  Samples(Samples&&) noexcept;
  Samples& operator=(Samples&&) noexcept;

  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  /// Classes of labelled texts, and their names if the files have names.
  [[nodiscard]] std::int64_t classes() const { return classes_; }
  [[nodiscard]] const std::vector<std::string>& class_names() const { return class_names_; }
  /// The id that ends documents in all files; −1 if they differ or one doesn't say it.
  [[nodiscard]] std::int32_t end_of_document() const { return end_of_document_; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override;
  [[nodiscard]] SamplePlace place(std::uint64_t k) const;

  /// Samples in one pass over every file.
  [[nodiscard]] std::int64_t samples_per_epoch() const { return samples_; }
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< in this part of the files
  [[nodiscard]] std::size_t files() const { return sources_.size(); }
  [[nodiscard]] const TokenSource& file(std::size_t i) const { return *sources_[i].file; }
  /// Null without label_paths.
  [[nodiscard]] const MegatronFile* labels(std::size_t i) const {
    return sources_[i].labels.get();
  }
  [[nodiscard]] const Blend& blend() const { return *blend_; }
  /// Whether fill-in-the-middle has a tokenizer, and so splits documents between characters.
  [[nodiscard]] bool splits_characters() const { return tokenizer_ != nullptr; }
  /// The share of each file among the samples, in words; empty for one file.
  [[nodiscard]] std::string shares_text() const;

 private:
  struct Source {
    std::unique_ptr<TokenSource> file;
    std::unique_ptr<MegatronFile> labels;
    std::unique_ptr<SamplePacker> packer;
    std::vector<std::int32_t> classes{};  ///< each document's
  };
  void open(const SamplesOptions& options);
  void read_classes(Source& source);
  [[nodiscard]] std::vector<double> weights(const SamplesOptions& options) const;
  void read(const Source& source, const TokenRange& range, std::span<std::int32_t> to) const;

  std::vector<Source> sources_;
  std::unique_ptr<Blend> blend_;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = -1;
  std::int64_t samples_ = 0;
  std::int64_t tokens_ = 0;
  std::uint64_t seed_;
  bool shuffle_;
  bool mask_end_of_document_;
  FillInTheMiddle fill_in_the_middle_;
  ImageAugmentation augmentation_;
  std::unique_ptr<Tokenizer> tokenizer_;  ///< for fill_in_the_middle_, where all files have one
  Task task_;
  std::unique_ptr<TokenMasking> masking_;
  std::int64_t classes_ = 0;
  std::vector<std::string> class_names_;
};

/// Documents in this part of the files. Throws Error on bad files.
[[nodiscard]] std::int64_t count_documents(const SamplesOptions& options);
/// Samples in this part of the files, also if fewer than `at_least`. Throws Error on bad files.
[[nodiscard]] std::int64_t count_samples(const SamplesOptions& options);

/// Why a part of a split has too little data, in documents: `50 documents × 1/1000 = 0`. The
/// text goes on with a split of these files that gives every part `at_least` samples, or with
/// what else to do.
[[nodiscard]] std::string explain_split(const SamplesOptions& options);

/// Uniformly random tokens, for benchmarks.
class SyntheticSamples : public SampleSource {
 public:
  SyntheticSamples(std::int64_t vocab_size, std::int64_t seq_length, std::uint64_t seed);
  /// For a task. Labels are below `classes`. About a sixth of tokens are targets of a masked
  /// language model.
  SyntheticSamples(std::int64_t vocab_size, Task task, std::int64_t inputs,
                   std::int64_t classes, std::uint64_t seed);
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override;

 private:
  std::int64_t vocab_size_;
  Task task_;
  std::int64_t classes_;
  std::uint64_t seed_;
};

}  // namespace trireme
