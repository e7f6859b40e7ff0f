// SPDX-License-Identifier: Apache-2.0
// Maps a sample's number to its tokens.
#include "trireme/data/samples.hpp"

#include "trireme/core/random.hpp"

#include "split.hpp"

namespace trireme {

namespace {

std::string described(const SamplesOptions& options, std::size_t i) {
  return options.split.empty() ? options.paths[i]
                               : fmt::format("{} ({} of split \"{}\")", options.paths[i],
                                             name_of(options.part), options.split);
}

}  // namespace

Samples::Samples(const SamplesOptions& options)
    : SampleSource(options.seq_length), seed_(options.seed), shuffle_(options.shuffle) {
  TRM_CHECK(options.seq_length > 0 && options.at_least > 0, "seq_length {}, at least {}",
            options.seq_length, options.at_least);
  TRM_REQUIRE(!options.paths.empty(), "there is no data file");
  TRM_REQUIRE(options.weights.empty() || options.weights.size() == options.paths.size(),
              "{} data files, but {} weights", options.paths.size(), options.weights.size());
  open(options);

  std::vector<double> weights = options.weights;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const auto n = static_cast<double>(sources_[i].samples);
    if (options.weights.empty()) weights.push_back(n);
    TRM_REQUIRE(n > 0 || weights[i] == 0,
                "{}: too little data: {} tokens, but a sample needs {}", described(options, i),
                sources_[i].range.count(), seq_length() + 1);
  }
  const std::int64_t needed = options.at_least * seq_length() + 1;
  TRM_REQUIRE(
      samples_ >= options.at_least,
      "{}{}: too little data: {} tokens, but a batch of {} samples of {} tokens needs {}{}",
      described(options, 0), sources_.size() > 1 ? " and others" : "", tokens_,
      options.at_least, seq_length(), needed,
      options.split.empty() ? "" : ": " + explain_split(options));
  blend_ = std::make_unique<Blend>(weights);
}

void Samples::open(const SamplesOptions& options) {
  for (const std::string& path : options.paths) {
    Source source;
    source.file = std::make_unique<TokenFile>(path, options.check);
    source.range = range_of(*source.file, options.split, options.part);
    source.samples = samples_in(source.range.count(), seq_length());
    if (sources_.empty()) vocab_size_ = source.file->vocab_size();
    TRM_REQUIRE(source.file->vocab_size() == vocab_size_,
                "{} has a vocabulary of {}, but {} one of {}", path, source.file->vocab_size(),
                options.paths[0], vocab_size_);
    samples_ += source.samples;
    tokens_ += source.range.count();
    sources_.push_back(std::move(source));
  }
}

void Samples::get(std::uint64_t k, std::span<std::int32_t> to) const {
  TRM_CHECK(static_cast<std::int64_t>(to.size()) == seq_length() + 1,
            "room for {} tokens, but a sample has {}", to.size(), seq_length() + 1);
  const Blend::Draw draw = (*blend_)(k);
  const Source& source = sources_[draw.source];
  const auto n = static_cast<std::uint64_t>(source.samples);
  auto i = static_cast<std::int64_t>(draw.index % n);
  if (shuffle_) i = Permutation(source.samples, seed_ + draw.source, draw.index / n)(i);
  source.file->read(source.range.begin + i * seq_length(), to);
}

SyntheticSamples::SyntheticSamples(std::int64_t vocab_size, std::int64_t seq_length,
                                   std::uint64_t seed)
    : SampleSource(seq_length), vocab_size_(vocab_size), seed_(seed) {
  TRM_CHECK(vocab_size > 0 && vocab_size <= INT32_MAX, "a vocabulary of {}", vocab_size);
}

void SyntheticSamples::get(std::uint64_t k, std::span<std::int32_t> to) const {
  const RngKey key{seed_, stream_of("synthetic tokens")};
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto words = philox(key, k, static_cast<std::uint32_t>(i / 4));
    const std::uint64_t word = words[i % 4];
    to[i] = static_cast<std::int32_t>((word * static_cast<std::uint64_t>(vocab_size_)) >> 32U);
  }
}

}  // namespace trireme
