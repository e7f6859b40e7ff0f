// SPDX-License-Identifier: Apache-2.0
// Describing and verifying token files.
#include "inspect_tokens.hpp"

#include <algorithm>

#include "trireme/core/clock.hpp"
#include "trireme/core/log.hpp"
#include "trireme/data/token_file.hpp"
#include "trireme/h5/checksum.hpp"
#include "trireme/host/progress.hpp"

namespace trireme {

namespace {

void verify_tokens(const TokenFile& file, std::int64_t bytes) {
  const double begin = now();
  std::int64_t done = 0;
  {
    Progress progress("verified", "MB", megabytes(bytes));
    file.verify([&](std::int64_t part) {
      done += part;
      progress.update(megabytes(done));
    });
  }
  TRM_REQUIRE(file.version() > 1,
              "{}: all of it can be read, but format version 1 has no checksums: `trireme "
              "prepare` makes it anew with checksums",
              file.path());
  const double seconds = std::max(now() - begin, 1e-9);
  log::info("{}: the file is whole: {:.1f} MB in {:.2f} s, {:.2f} GB/s", file.path(),
            megabytes(bytes), seconds, megabytes(bytes) * 1e-3 / seconds);
}

}  // namespace

void inspect_tokens(const std::string& path, bool verify) {
  const TokenFile file(path, DocumentCheck::none);
  const std::int64_t bytes = h5::size_of_file(path);
  log::info("token file  {}", path);
  log::info("format      version {}{}", file.version(),
            file.version() == 1 ? ", without checksums" : "");
  log::info("tokens      {} of {} bytes", file.tokens(), file.wide() ? 4 : 2);
  log::info("documents   {}", file.documents());
  log::info("vocabulary  {}, end of document {}", file.vocab_size(), file.end_of_document());
  log::info("tokenizer   {}", file.tokenizer_kind());
  log::info("source      {}", file.source_hash());
  log::info("size        {} bytes ({:.1f} MB)", bytes, megabytes(bytes));
  if (verify) verify_tokens(file, bytes);
}

}  // namespace trireme
