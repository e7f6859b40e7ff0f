// SPDX-License-Identifier: Apache-2.0
// Maps a sample's number to its tokens.
#include "trireme/data/samples.hpp"

#include <algorithm>

#include "trireme/core/random.hpp"
#include "trireme/data/megatron_file.hpp"
#include "trireme/data/token_file.hpp"
#include "trireme/tokenizer/tokenizer.hpp"

#include "split.hpp"

namespace trireme {

namespace {

std::string described(const SamplesOptions& options, std::size_t i) {
  return options.split.empty() ? options.paths[i]
                               : fmt::format("{} ({} of split \"{}\")", options.paths[i],
                                             name_of(options.part), options.split);
}

/// What the deck's packing takes from the data, for a message.
std::string left_out(std::int64_t too_long) {
  return too_long == 0
             ? ""
             : fmt::format(", and allow_chopped: false leaves out {} longer documents",
                           too_long);
}

/// The file's tokenizer, or null.
std::unique_ptr<Tokenizer> tokenizer_in(const TokenSource& file) {
  if (file.tokenizer_kind().empty()) return nullptr;
  return make_tokenizer(file.tokenizer_kind(), file.tokenizer_definition());
}

/// Labels must have the tokens' documents.
std::unique_ptr<MegatronFile> open_labels(const std::string& path, const TokenSource& source,
                                          DocumentCheck check) {
  std::string prefix = path;
  if (path.ends_with(".bin") || path.ends_with(".idx")) prefix.resize(path.size() - 4);
  auto labels = std::make_unique<MegatronFile>(prefix, check, TokenFacts{});
  TRM_REQUIRE(labels->tokens() == source.tokens() && labels->documents() == source.documents(),
              "{} has {} labels in {} documents, but {} has {} tokens in {}", path,
              labels->tokens(), labels->documents(), source.path(), source.tokens(),
              source.documents());
  for (std::int64_t d = 0; check == DocumentCheck::all && d < source.documents(); ++d) {
    TRM_REQUIRE(labels->document_start(d) == source.document_start(d),
                "{}: document {} begins at label {}, but in {} at token {}", path, d,
                labels->document_start(d), source.path(), source.document_start(d));
  }
  return labels;
}

}  // namespace

Samples::Samples(const SamplesOptions& options)
    : SampleSource(sample_layout(options.task, options.seq_length)),
      seed_(options.seed),
      shuffle_(options.shuffle),
      mask_end_of_document_(options.mask_end_of_document),
      fill_in_the_middle_(options.fill_in_the_middle),
      augmentation_(options.augmentation),
      task_(options.task) {
  TRM_CHECK(options.seq_length > 0 && options.at_least > 0, "seq_length {}, at least {}",
            options.seq_length, options.at_least);
  TRM_REQUIRE(!options.paths.empty(), "there is no data file");
  TRM_REQUIRE(options.weights.empty() || options.weights.size() == options.paths.size(),
              "{} data files, but {} weights", options.paths.size(), options.weights.size());
  TRM_REQUIRE(options.label_paths.empty() || options.label_paths.size() == options.paths.size(),
              "{} data files, but {} files of labels", options.paths.size(),
              options.label_paths.size());
  open(options);

  const std::vector<double> shares = weights(options);
  std::int64_t too_long = 0;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const SamplePacker& packer = *sources_[i].packer;
    too_long += packer.too_long();
    TRM_REQUIRE(packer.samples() > 0 || shares[i] == 0,
                "{}: too little data: {} tokens, but a sample needs {}{}",
                described(options, i), packer.tokens(), seq_length() + 1,
                left_out(packer.too_long()));
  }
  const std::int64_t needed = options.at_least * seq_length() + 1;
  TRM_REQUIRE(
      samples_ >= options.at_least,
      "{}{}: too little data: {} tokens, but a batch of {} samples of {} tokens needs {}{}{}",
      described(options, 0), sources_.size() > 1 ? " and others" : "", tokens_,
      options.at_least, seq_length(), needed, left_out(too_long),
      options.split.empty() ? "" : ": " + explain_split(options));
  blend_ = std::make_unique<Blend>(shares);
  if (fill_in_the_middle_.rate > 0) {
    const auto same = [&](const Source& s) {
      const TokenSource& first = *sources_.front().file;
      return s.file->tokenizer_kind() == first.tokenizer_kind() &&
             s.file->tokenizer_definition() == first.tokenizer_definition();
    };
    if (std::ranges::all_of(sources_, same)) tokenizer_ = tokenizer_in(*sources_.front().file);
  }
  if (task_ != Task::masked_language_model) return;
  const auto tokenizer = tokenizer_in(*sources_.front().file);
  masking_ =
      std::make_unique<TokenMasking>(options.masking, vocab_size_, tokenizer.get(), seed_);
}

Samples::~Samples() = default;
Samples::Samples(Samples&&) noexcept = default;
Samples& Samples::operator=(Samples&&) noexcept = default;

std::vector<double> Samples::weights(const SamplesOptions& options) const {
  if (!options.weights.empty()) return options.weights;
  if (options.shares == Shares::documents) {
    std::vector<std::int64_t> documents;
    for (const Source& s : sources_) documents.push_back(s.file->documents());
    return weights_by_documents(documents, options.sampler_alpha);
  }
  std::vector<double> weights(sources_.size(), 1.0);
  for (std::size_t i = 0; options.shares == Shares::size && i < weights.size(); ++i) {
    weights[i] = static_cast<double>(sources_[i].packer->samples());
  }
  return weights;
}

void Samples::read_classes(Source& source) {
  const auto* file = dynamic_cast<const TokenFile*>(source.file.get());
  TRM_REQUIRE(file != nullptr && file->has_labels(),
              "{}: its documents have no labels, which sequence_classification needs: `trireme "
              "prepare --label-key` makes a file with labels",
              source.file->path());
  std::vector<double> labels(static_cast<std::size_t>(file->documents()));
  file->read_labels(0, labels);
  constexpr double kMostClasses = 1'000'000;
  source.classes.reserve(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto label = static_cast<std::int32_t>(std::clamp(labels[i], -1.0, kMostClasses));
    TRM_REQUIRE(
        label >= 0 && label < kMostClasses && label == labels[i],
        "{}: the label of document {} is {}; classes are words, or whole numbers from 0 "
        "to {}. A task that predicts other numbers (regression) is not available",
        file->path(), i, labels[i], kMostClasses - 1);
    source.classes.push_back(label);
    classes_ = std::max<std::int64_t>(classes_, label + 1);
  }
  const auto& names = file->class_names();
  TRM_REQUIRE(sources_.empty() || names == class_names_,
              "{}: its labels stand for other words than those of {}; prepare all texts with "
              "one run of `trireme prepare`, or with numbers as labels",
              file->path(), sources_.empty() ? "" : sources_.front().file->path());
  TRM_REQUIRE(names.empty() || classes_ <= std::ssize(names),
              "{}: a label is {}, but there are {} names of labels", file->path(), classes_ - 1,
              names.size());
  class_names_ = names;
  classes_ = std::max(classes_, std::ssize(names));
}

void Samples::open(const SamplesOptions& options) {
  for (std::size_t i = 0; i < options.paths.size(); ++i) {
    const std::string& path = options.paths[i];
    Source source;
    source.file = open_tokens(path, options.check, options.given);
    const TokenSource& file = *source.file;
    TRM_REQUIRE(file.vocab_size() > 0,
                "{}: {} don't say how large the vocabulary is; set vocab_size in the deck, or "
                "vocab_file and tokenizer_type",
                path, file.format());
    const auto* tokens = dynamic_cast<const TokenFile*>(&file);
    TRM_REQUIRE(
        tokens == nullptr || tokens->kind() != "pairs",
        "{}: the file holds pairs of answers, but training here predicts the next token "
        "of text or chats",
        path);
    if (!options.label_paths.empty()) {
      source.labels = open_labels(options.label_paths[i], file, options.check);
    }
    source.packer = std::make_unique<SamplePacker>(
        file, documents_of(file, options.split, options.part), options.packing, seq_length());
    if (task_ == Task::sequence_classification) read_classes(source);
    if (task_ == Task::image_classification) class_names_ = file.class_names();
    TRM_REQUIRE(!augmentation_.changes() || file.image_shape().rank() >= 2,
                "{}: its images have no rows and columns, which augmentation shifts and flips; "
                "store /images as [images, rows, columns]",
                path);
    if (sources_.empty()) {
      vocab_size_ = file.vocab_size();
      end_of_document_ = file.end_of_document();
    }
    TRM_REQUIRE(file.vocab_size() == vocab_size_, "{} has a vocabulary of {}, but {} one of {}",
                path, file.vocab_size(), options.paths[0], vocab_size_);
    TRM_REQUIRE(!mask_end_of_document_ || file.end_of_document() >= 0,
                "{}: {} don't say which id ends a document, which eod_mask_loss needs; set "
                "end_of_document in the deck, or vocab_file",
                path, file.format());
    if (file.end_of_document() != end_of_document_) end_of_document_ = -1;
    samples_ += source.packer->samples();
    tokens_ += source.packer->tokens();
    sources_.push_back(std::move(source));
  }
}

SamplePlace Samples::place(std::uint64_t k) const {
  const Blend::Draw draw = (*blend_)(k);
  const SamplePacker& packer = *sources_[draw.source].packer;
  const auto n = static_cast<std::uint64_t>(packer.samples());
  auto i = static_cast<std::int64_t>(draw.index % n);
  if (shuffle_) i = Permutation(packer.samples(), seed_ + draw.source, draw.index / n)(i);
  return {
      .file = draw.source, .sample = i, .epoch = draw.index / n, .ranges = packer.ranges(i)};
}

void Samples::read(const Source& source, const TokenRange& range,
                   std::span<std::int32_t> to) const {
  source.file->read(range.begin, to);
  if (source.file->has_loss_mask()) {
    thread_local std::vector<std::uint8_t> counts;
    counts.resize(to.size());
    source.file->read_loss_mask(range.begin, counts);
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (counts[i] == 0) to[i] = uncounted(to[i]);
    }
  }
  if (source.labels == nullptr) return;
  thread_local std::vector<std::int32_t> labels;
  labels.resize(to.size());
  source.labels->read_numbers(range.begin, labels);
  for (std::size_t i = 0; i < to.size(); ++i) {
    TRM_REQUIRE(labels[i] < 0 || labels[i] == id_of(to[i]),
                "{}: label {} is {}, but the token there is {}; a label must be the token, or "
                "-100 where the loss leaves it out",
                source.labels->path(), range.begin + static_cast<std::int64_t>(i), labels[i],
                id_of(to[i]));
    if (labels[i] < 0) to[i] = uncounted(to[i]);
  }
}

void Samples::get(std::uint64_t k, std::span<std::int32_t> to) const {
  TRM_CHECK(static_cast<std::int64_t>(to.size()) == layout().numbers(),
            "room for {} numbers, but a sample has {}", to.size(), layout().numbers());
  const SamplePlace at = place(k);
  const Source& source = sources_[at.file];
  std::size_t filled = 0;
  for (const TokenRange& range : at.ranges) {
    const auto n = static_cast<std::size_t>(range.count());
    read(source, range, to.subspan(filled, n));
    filled += n;
  }
  std::ranges::fill(to.subspan(filled), uncounted(0));
  if (masking_ != nullptr) {
    const std::span<std::int32_t> tokens = to.first(static_cast<std::size_t>(seq_length()));
    masking_->apply(k, tokens, to.subspan(tokens.size()));
  }
  if (layout().first_target == seq_length()) {  // padding alone is below 0
    std::ranges::transform(to.first(filled), to.begin(), id_of);
  }
  if (!source.classes.empty()) {
    to.back() = source.classes[static_cast<std::size_t>(source.packer->document(at.sample))];
  }
  augmentation_.apply(seed_, k, source.file->image_shape(),
                      to.first(static_cast<std::size_t>(layout().inputs)));
  if (task_ != Task::language_model) return;
  const std::int32_t end = source.file->end_of_document();
  fill_in_the_middle_.apply(seed_, k, end, to.first(filled), tokenizer_.get());
  for (std::size_t i = to.size(); mask_end_of_document_ && --i > 0;) {
    if (id_of(to[i - 1]) == end) to[i] = uncounted(to[i]);
  }
}

std::string Samples::shares_text() const {
  if (sources_.size() < 2) return {};
  std::string text;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    text += fmt::format("{}{} {:.3g}%", i == 0 ? "" : ", ", sources_[i].file->path(),
                        100 * static_cast<double>(blend_->draws_in_period(i)) /
                            static_cast<double>(blend_->period()));
  }
  return text;
}

SyntheticSamples::SyntheticSamples(std::int64_t vocab_size, std::int64_t seq_length,
                                   std::uint64_t seed)
    : SyntheticSamples(vocab_size, Task::language_model, seq_length, 0, seed) {}

SyntheticSamples::SyntheticSamples(std::int64_t vocab_size, Task task, std::int64_t inputs,
                                   std::int64_t classes, std::uint64_t seed)
    : SampleSource(sample_layout(task, inputs)),
      vocab_size_(vocab_size),
      task_(task),
      classes_(classes),
      seed_(seed) {
  TRM_CHECK(vocab_size > 0 && vocab_size <= INT32_MAX, "a vocabulary of {}", vocab_size);
}

void SyntheticSamples::get(std::uint64_t k, std::span<std::int32_t> to) const {
  const RngKey key{seed_, stream_of("synthetic tokens")};
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto words = philox(key, k, static_cast<std::uint32_t>(i / 4));
    const std::uint64_t word = words[i % 4];
    to[i] = static_cast<std::int32_t>((word * static_cast<std::uint64_t>(vocab_size_)) >> 32U);
  }
  if (task_ == Task::sequence_classification) {
    to.back() = static_cast<std::int32_t>(to.back() % std::max<std::int64_t>(classes_, 1));
  }
  for (std::size_t i = to.size() / 2; task_ == Task::masked_language_model && i < to.size();
       ++i) {
    if (to[i] % 6 != 0) to[i] = uncounted(to[i]);
  }
}

}  // namespace trireme
