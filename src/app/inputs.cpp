// SPDX-License-Identifier: Apache-2.0
// Checks the inputs of a run before the run starts.
#include "inputs.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"

#include "data_identity.hpp"

namespace trireme {

namespace {

std::vector<std::string> all_paths(const Deck& deck) {
  std::vector<std::string> paths = deck.data_path;
  for (const auto* list :
       {&deck.train_data_paths, &deck.valid_data_paths, &deck.test_data_paths}) {
    paths.insert(paths.end(), list->begin(), list->end());
  }
  return paths;
}

/// What the part reads; without paths if the deck names none.
SamplesOptions options_for(const Deck& deck, Part part, DocumentCheck check) {
  const auto pick = [&](const auto& train, const auto& valid, const auto& test) {
    return part == Part::train ? train : part == Part::valid ? valid : test;
  };
  SamplesOptions options;
  options.part = part;
  options.check = check;
  options.seq_length = deck.model.sample().inputs;
  options.task = deck.model.task;
  options.masking = {deck.mask_prob, deck.whole_word_mask,
                     static_cast<std::int32_t>(deck.mask_token_id)};
  options.seed = deck.seed;
  options.shuffle = part == Part::train;
  options.at_least = deck.train_batch_size;
  options.given = {deck.model.vocab_size, static_cast<std::int32_t>(deck.end_of_document)};
  options.packing = {deck.pack_impl, deck.allow_chopped};
  options.packing.next_token = deck.model.sample().first_target < deck.model.sample().inputs;
  if (classifies(deck.model.task)) options.packing.packing = Packing::unpacked;
  if (deck.model.task == Task::image_classification) {
    options.packing = {Packing::unpacked, true};
    if (part == Part::train) options.augmentation = deck.augmentation;
  }
  options.mask_end_of_document = deck.eod_mask_loss;
  if (deck.fim_rate > 0 && part == Part::train) {
    const auto mark = [&](std::size_t i) {
      return static_cast<std::int32_t>(deck.fim_tokens[i]);
    };
    options.fill_in_the_middle = {deck.fim_rate, deck.fim_spm_rate, mark(0), mark(1), mark(2)};
  }
  if (deck.weight_by_num_documents) options.shares = Shares::documents;
  options.sampler_alpha = deck.weighted_sampler_alpha;
  if (!deck.data_path.empty()) {
    options.paths = deck.data_path;
    options.split = deck.split.empty() ? kDefaultSplit : deck.split;
    if (split_fractions(options.split)[static_cast<std::size_t>(part)] == 0) {
      options.paths.clear();
    }
    return options;
  }
  options.paths = pick(deck.train_data_paths, deck.valid_data_paths, deck.test_data_paths);
  options.label_paths = pick(deck.train_label_data_paths, deck.valid_label_data_paths,
                             deck.test_label_data_paths);
  options.weights =
      pick(deck.train_data_weights, deck.valid_data_weights, deck.test_data_weights);
  if (options.shares == Shares::documents) {
    options.weights.clear();
  } else {
    options.shares = Shares::equal;
  }
  return options;
}

/// The model and the data must be of one kind.
void require_kind(const ModelConfig& model, const TokenSource& file) {
  const std::int64_t pixels = file.pixels();
  const bool takes_images = model.task == Task::image_classification;
  TRM_REQUIRE(takes_images || pixels == 0,
              "{}: these are images with classes, but the model reads tokens; mlp_sizes or "
              "patch_size makes a model for images",
              file.path());
  if (!takes_images) return;
  TRM_REQUIRE(pixels > 0,
              "{}: these are {}, but mlp_sizes or patch_size makes a model for images: an HDF5 "
              "file with /images and /labels, as inputs/README.md writes one",
              file.path(), file.format());
  if (model.is_vision()) {
    const std::int64_t channels = model.num_channels;
    const Shape wanted{model.image_size[0], model.image_size[1], channels};
    const Shape shape = file.image_shape();
    const bool plain = channels == 1 && shape == Shape{wanted[0], wanted[1]};
    TRM_REQUIRE(shape == wanted || plain,
                "{}: an image has the shape {}, but image_size and num_channels make {}",
                file.path(), shape.str(), wanted.str());
  }
  TRM_REQUIRE(pixels == model.sample().inputs,
              "{}: an image has {} bytes, but mlp_sizes begins with {}", file.path(), pixels,
              model.sample().inputs);
}

/// Chooses the split of a deck that has none. Parts of the default split with less than a batch
/// of data are left out, and the part before takes their share.
void choose_split(Deck& deck) {
  if (!deck.split.empty()) return;
  deck.split = kDefaultSplit;
  if (deck.data_path.empty()) return;
  auto shares = split_numbers(deck.split);
  for (const Part part : {Part::test, Part::valid}) {
    const SamplesOptions options = options_for(deck, part, DocumentCheck::none);
    if (count_samples(options) >= options.at_least) continue;
    log::warn(
        "the default split \"{}\" has less than a batch of {} data, so the run has no {} part: "
        "{}",
        kDefaultSplit, name_of(part), name_of(part), explain_split(options));
    const auto p = static_cast<std::size_t>(part);
    shares[p - 1] += std::exchange(shares[p], 0);
    deck.split = fmt::format("{}, {}, {}", shares[0], shares[1], shares[2]);
  }
}

/// The model needs to know where documents end, on ranks that read no data too.
void fill_end_of_document(Deck& deck, const Samples& samples) {
  const std::int32_t end = samples.end_of_document();
  TRM_REQUIRE(deck.end_of_document < 0 || end < 0 || deck.end_of_document == end,
              "end_of_document is {} in the deck and {} in the data; leave it out of the deck",
              deck.end_of_document, end);
  if (!deck.model.reset_attention_mask && !deck.model.reset_position_ids) return;
  TRM_REQUIRE(end >= 0,
              "{} needs to know which id ends documents, but {}; set end_of_document in the "
              "deck",
              deck.model.reset_attention_mask ? "reset_attention_mask" : "reset_position_ids",
              samples.files() > 1 ? "the data files don't say one id"
                                  : samples.file(0).path() + " doesn't say it");
  deck.end_of_document = end;
}

/// The head of a classifier has a row for each class of the data.
void fill_classes(Deck& deck, const Samples& samples) {
  if (deck.model.task != Task::sequence_classification) return;
  std::int64_t& classes = deck.model.num_labels;
  TRM_REQUIRE(classes == 0 || classes >= samples.classes(),
              "num_labels is {} in the deck, but the data have labels of {} classes; leave it "
              "out of the deck",
              classes, samples.classes());
  classes = std::max(classes, samples.classes());
  TRM_REQUIRE(classes >= 2, "the data have labels of {} class; a classifier needs 2 or more",
              classes);
  const auto& names = samples.class_names();
  if (names.empty()) return;
  constexpr std::size_t kShown = 20;
  const auto shown = std::span(names).first(std::min(names.size(), kShown));
  log::info("data     {} classes: {}{}", names.size(),
            printable(fmt::to_string(fmt::join(shown, ", "))),
            shown.size() < names.size() ? ", …" : "");
}

/// Says that a run has no part to which the split gives no document.
void warn_of_empty_part(const Deck& deck, Part part) {
  const SamplesOptions options = options_for(deck, part, DocumentCheck::none);
  if (options.paths.empty() || options.split.empty() || count_documents(options) > 0) return;
  log::warn("split \"{}\" gives the {} part no document, so that it is not evaluated: {}",
            options.split, name_of(part), explain_split(options));
}

}  // namespace

std::optional<Samples> open_samples(const Deck& deck, Part part, DocumentCheck check) {
  const SamplesOptions options = options_for(deck, part, check);
  if (options.paths.empty()) return std::nullopt;
  try {
    // NeoX leaves out a part to which a split gives no document.
    if (part != Part::train && !options.split.empty() && count_documents(options) == 0) {
      return std::nullopt;
    }
    auto samples = std::optional<Samples>(std::in_place, options);
    for (std::size_t i = 0; i < samples->files(); ++i) {
      require_kind(deck.model, samples->file(i));
    }
    return samples;
  } catch (const Error& e) {
    const std::string key = deck.data_path.empty() ? fmt::format("{}_data_paths", name_of(part))
                                                   : std::string("data_path");
    throw Error(fmt::format("{} (key {})", e.what(), key));
  }
}

bool has_data(const Deck& deck) { return std::ranges::any_of(all_paths(deck), tokens_exist); }

std::string check_training_data(Deck& deck, DocumentCheck check) {
  fill_from_tokenizer(deck, all_paths(deck));
  const auto samples = open_samples(deck, Part::train, check);
  TRM_REQUIRE(samples,
              "the deck names no training data: set data_path or train_data_paths to "
              "files made by `trireme prepare`, or to Megatron's PREFIX of PREFIX.bin");
  for (std::size_t i = 0; log::is_verbose() && i < samples->files(); ++i) {
    const TokenSource& file = samples->file(i);
    log::info("data     {}: {} tokens in {} documents", file.path(), grouped(file.tokens()),
              grouped(file.documents()));
  }
  const std::int64_t vocabulary = samples->vocab_size();
  TRM_REQUIRE(deck.model.vocab_size == 0 || deck.model.vocab_size >= vocabulary,
              "{} is {} in the deck and {} in the data; leave it out of the deck",
              deck.model.is_vision() ? "num_labels" : "vocab_size", deck.model.vocab_size,
              vocabulary);
  deck.model.vocab_size = std::max(deck.model.vocab_size, vocabulary);
  fill_end_of_document(deck, *samples);
  fill_classes(deck, *samples);
  const std::string shares = samples->shares_text();
  if (!shares.empty()) log::info("data     shares of samples: {}", shares);
  if (deck.fim_rate > 0) {
    log::info("data     fill-in-the-middle splits documents between {}",
              samples->splits_characters() ? "characters"
                                           : "tokens, because the data has no one tokenizer");
  }
  choose_split(deck);
  std::string identity;
  add_identity(identity, deck.data_path.empty() ? "train" : "all", *samples);
  return identity;
}

std::string check_data(Deck& deck, DocumentCheck check) {
  std::string identity = check_training_data(deck, check);
  for (const Part part : {Part::valid, Part::test}) {
    if (deck.eval_iters == 0) break;
    warn_of_empty_part(deck, part);
    // With data_path, all parts come from files that were checked above.
    const auto other =
        open_samples(deck, part, deck.data_path.empty() ? check : DocumentCheck::none);
    TRM_REQUIRE(!other || other->vocab_size() <= deck.model.vocab_size,
                "the training data's vocabulary is {}, but that of the {} data is {}",
                deck.model.vocab_size, name_of(part), other->vocab_size());
    TRM_REQUIRE(!other || other->classes() <= std::max<std::int64_t>(deck.model.num_labels, 0),
                "the training data have {} classes, but the {} data {}", deck.model.num_labels,
                name_of(part), other->classes());
  }
  return identity;
}

void check_inputs(Deck& deck, RunStart& start) {
  start.data = check_data(deck, DocumentCheck::all);
  start.tokenizer = tokenizer_to_keep(deck, all_paths(deck));
  start.claim.lock_existing(deck);
  start.load = LoadSource(deck, start.data);
  start.claim.check(deck, start.load);
  (void)start.load.next(deck);
  start.claim.make_ready(deck, start.load);
}

}  // namespace trireme
