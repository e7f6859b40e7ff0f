// SPDX-License-Identifier: Apache-2.0
// What a split gives to each part, and which split gives enough.
#include "split.hpp"

#include <numeric>

#include "trireme/core/error.hpp"
#include "trireme/data/samples.hpp"

namespace trireme {

namespace {

/// Splits that people would choose, from the largest training part to the smallest.
constexpr std::array<const char*, 4> kUsual{"97, 2, 1", "90, 5, 5", "80, 10, 10", "60, 20, 20"};

using Files = std::vector<std::unique_ptr<TokenSource>>;

Files open_all(const SamplesOptions& options) {
  Files files;
  for (const std::string& path : options.paths) {
    files.push_back(open_tokens(path, DocumentCheck::none, options.given));
  }
  return files;
}

std::int64_t count(const Files& files, const std::string& split, Part part,
                   const SamplesOptions& options) {
  return std::accumulate(files.begin(), files.end(), std::int64_t{0},
                         [&](std::int64_t sum, const auto& file) {
                           const SamplePacker packer(*file, documents_of(*file, split, part),
                                                     options.packing, options.seq_length);
                           return sum + packer.samples();
                         });
}

/// The first usual split whose every part has enough samples; empty if none has.
std::string usable_split(const Files& files, const SamplesOptions& options) {
  for (const char* split : kUsual) {
    const auto enough = [&](Part part) {
      return count(files, split, part, options) >= options.at_least;
    };
    if (enough(Part::train) && enough(Part::valid) && enough(Part::test)) return split;
  }
  return {};
}

}  // namespace

DocumentRange documents_of(const TokenSource& source, const std::string& split, Part part) {
  if (split.empty()) return {0, source.documents()};
  const auto starts = split_documents(parse_split(split), source.documents());
  const auto p = static_cast<std::size_t>(part);
  return {starts[p], starts[p + 1]};
}

std::int64_t count_samples(const SamplesOptions& options) {
  return count(open_all(options), options.split, options.part, options);
}

std::int64_t count_documents(const SamplesOptions& options) {
  std::int64_t documents = 0;
  for (const auto& file : open_all(options)) {
    documents += documents_of(*file, options.split, options.part).count();
  }
  return documents;
}

std::string explain_split(const SamplesOptions& options) {
  const auto p = static_cast<std::size_t>(options.part);
  const auto numbers = split_numbers(options.split);
  const Files files = open_all(options);
  std::int64_t documents = 0;
  std::int64_t here = 0;
  for (const auto& file : files) {
    const auto starts = split_documents(parse_split(options.split), file->documents());
    documents += file->documents();
    here += starts[p + 1] - starts[p];
  }
  const std::string counted =
      fmt::format("{} document{} × {}/{} = {}", documents, documents == 1 ? "" : "s",
                  numbers[p], numbers[0] + numbers[1] + numbers[2], here);
  const std::string none = options.part == Part::train
                               ? std::string()
                               : fmt::format(", or 0 for no {} part", name_of(options.part));
  const std::string better = usable_split(files, options);
  if (!better.empty()) return fmt::format("{}; use split: \"{}\"{}", counted, better, none);
  if (documents < 3) {
    return fmt::format(
        "{}; `trireme prepare --document-separator` makes more documents of a "
        "text{}",
        counted, none);
  }
  return fmt::format("{}; use more text, or a smaller batch or seq_length{}", counted, none);
}

}  // namespace trireme
