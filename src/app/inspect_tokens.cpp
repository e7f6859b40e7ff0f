// SPDX-License-Identifier: Apache-2.0
// Describing and verifying data files.
#include "inspect_tokens.hpp"

#include <algorithm>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/data/megatron_file.hpp"
#include "trireme/data/token_file.hpp"
#include "trireme/h5/checksum.hpp"
#include "trireme/host/progress.hpp"

namespace trireme {

namespace {

std::int64_t bytes_of(const TokenSource& data) {
  if (dynamic_cast<const MegatronFile*>(&data) == nullptr) return h5::size_of_file(data.path());
  return h5::size_of_file(data.path() + ".bin") + h5::size_of_file(data.path() + ".idx");
}

void verify_tokens(const TokenSource& data, std::int64_t bytes) {
  const double begin = now();
  std::int64_t done = 0;
  {
    Progress progress("verified", "MB", megabytes(bytes));
    data.verify([&](std::int64_t part) {
      done += part;
      progress.update(megabytes(done));
    });
  }
  const auto* file = dynamic_cast<const TokenFile*>(&data);
  TRM_REQUIRE(file == nullptr || file->version() > 1,
              "{}: all of it can be read, but format version 1 has no checksums: `trireme "
              "prepare` makes it anew with checksums",
              data.path());
  const double seconds = std::max(now() - begin, 1e-9);
  log::info("{}: {}: {:.1f} MB in {:.2f} s, {:.2f} GB/s", data.path(),
            file != nullptr ? "the file is whole"
                            : "all sizes fit and all ids are allowed (the format has no "
                              "checksums)",
            megabytes(bytes), seconds, megabytes(bytes) * 1e-3 / seconds);
}

std::string known(std::int64_t number, bool is_known) {
  return is_known ? fmt::format("{}", number) : "unknown";
}

}  // namespace

void inspect_tokens(const std::string& path, bool verify) {
  const auto data = open_tokens(path, DocumentCheck::none);
  const std::int64_t bytes = bytes_of(*data);
  if (const auto* file = dynamic_cast<const TokenFile*>(data.get())) {
    log::info("token file  {}", path);
    log::info("format      version {}{}", file->version(),
              file->version() == 1 ? ", without checksums" : "");
  } else {
    log::info("data        {}", path);
    log::info("format      {}", data->format());
  }
  log::info("tokens      {} of {} byte{}", data->tokens(), data->token_bytes(),
            data->token_bytes() == 1 ? "" : "s");
  log::info("documents   {}", data->documents());
  if (const auto* file = dynamic_cast<const TokenFile*>(data.get());
      file != nullptr && file->version() > 2) {
    log::info("kind        {}{}", file->kind(),
              file->has_loss_mask() ? ", with a loss mask" : "");
  }
  log::info("vocabulary  {}, end of document {}",
            known(data->vocab_size(), data->vocab_size() > 0),
            known(data->end_of_document(), data->end_of_document() >= 0));
  log::info("tokenizer   {}",
            data->tokenizer_kind().empty() ? "unknown" : data->tokenizer_kind());
  log::info("source      {}", data->source_hash());
  log::info("size        {} bytes ({:.1f} MB)", bytes, megabytes(bytes));
  if (verify) verify_tokens(*data, bytes);
}

}  // namespace trireme
