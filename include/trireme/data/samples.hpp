// SPDX-License-Identifier: Apache-2.0
// SampleSource: numbered samples of tokens, read from files or generated.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trireme/data/sampler.hpp"
#include "trireme/data/token_file.hpp"

namespace trireme {

/// Samples numbered over all epochs. A number always stands for the same tokens.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  [[nodiscard]] std::int64_t seq_length() const { return seq_length_; }
  /// Reads sample k into `to`: seq_length() + 1 tokens. The first seq_length() are the inputs;
  /// the last seq_length() are the targets.
  virtual void get(std::uint64_t k, std::span<std::int32_t> to) const = 0;

 protected:
  explicit SampleSource(std::int64_t seq_length) : seq_length_(seq_length) {}

 private:
  std::int64_t seq_length_;
};

struct SamplesOptions {
  std::vector<std::string> paths{};
  std::vector<double> weights{};  ///< one a path; empty: in proportion to the number of samples
  std::string split{};  ///< shares of each file's documents, "969, 30, 1"; empty: whole files
  Part part = Part::train;  ///< which part of the split to read
  std::int64_t seq_length = 0;
  std::uint64_t seed = 0;
  bool shuffle = true;        ///< shuffle each epoch anew; otherwise in file order
  std::int64_t at_least = 1;  ///< fewest samples accepted: a global batch
  DocumentCheck check = DocumentCheck::all;
};

/// Samples of one part of one or several token files. Sample i of a file is its tokens [i·T,
/// i·T + T], counted from the part's beginning.
class Samples : public SampleSource {
 public:
  /// Throws Error on bad files and on files of different vocabularies. Where there is too
  /// little data, the Error names the tokens present and needed, and explain_split().
  explicit Samples(const SamplesOptions& options);

  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override;

  /// Samples in one pass over every file.
  [[nodiscard]] std::int64_t samples_per_epoch() const { return samples_; }
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }  ///< in this part of the files
  [[nodiscard]] std::size_t files() const { return sources_.size(); }
  [[nodiscard]] const TokenFile& file(std::size_t i) const { return *sources_[i].file; }
  [[nodiscard]] const Blend& blend() const { return *blend_; }

 private:
  struct Source {
    std::unique_ptr<TokenFile> file;
    TokenRange range;
    std::int64_t samples = 0;
  };
  void open(const SamplesOptions& options);

  std::vector<Source> sources_;
  std::unique_ptr<Blend> blend_;
  std::int64_t vocab_size_ = 0;
  std::int64_t samples_ = 0;
  std::int64_t tokens_ = 0;
  std::uint64_t seed_;
  bool shuffle_;
};

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
  [[nodiscard]] std::int64_t vocab_size() const override { return vocab_size_; }
  void get(std::uint64_t k, std::span<std::int32_t> to) const override;

 private:
  std::int64_t vocab_size_;
  std::uint64_t seed_;
};

}  // namespace trireme
