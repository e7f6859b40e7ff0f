// SPDX-License-Identifier: Apache-2.0
// Prepares inputs into a token file of bytes, and reads the file back.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "trireme/data/document_joiner.hpp"
#include "trireme/data/text_pool.hpp"

namespace trireme::test {

struct Prepared {
  std::vector<std::string> documents{};
  std::vector<std::string> masks{};  ///< '1' for each token that counts, its end included
  JoinReport report{};
  std::string file{};  ///< its bytes
};

struct PrepareCase {
  TextFormat format{};
  JoinOptions join{};
  TokenFileFormat file{};
  std::int64_t block = 1000;
  PoolOptions pool{};
  std::vector<Fault>* refused = nullptr;
};

inline std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::string write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

/// Documents of a token file of bytes, without their ends.
inline void read_documents(const std::string& path, Prepared& to) {
  const TokenFile file(path);
  for (std::int64_t d = 0; d < file.documents(); ++d) {
    const std::int64_t begin = file.document_start(d);
    const auto n = static_cast<std::size_t>(file.document_start(d + 1) - begin);
    std::vector<std::int32_t> tokens(n);
    file.read(begin, tokens);
    to.documents.push_back(ByteTokenizer().decode(tokens));
    std::vector<std::uint8_t> mask(n);
    file.read_loss_mask(begin, mask);
    std::string& text = to.masks.emplace_back();
    for (const std::uint8_t value : mask) text += static_cast<char>('0' + value);
  }
  file.verify([](std::int64_t) {});
}

/// Prepares the inputs by a pool of threads.
inline Prepared prepare_files(const std::vector<std::string>& paths, const std::string& output,
                              const PrepareCase& with = {}) {
  const ByteTokenizer tokenizer;
  const TextBlocks blocks(find_inputs(paths, with.format, with.refused), with.format, tokenizer,
                          with.block);
  TokenFileWriter writer(output, tokenizer, with.file);
  DocumentJoiner joiner(blocks, writer, with.join);
  if (with.refused != nullptr) joiner.add_refused(*with.refused);
  std::vector<std::int64_t> units;
  for (std::int64_t k = 0; k < blocks.count(); ++k) units.push_back(k);
  TextPool pool(blocks, units, with.pool);
  while (const auto delivery = pool.next()) joiner.add(delivery->unit, delivery->pieces);
  writer.finish(joiner.source_hash(), joiner.label_names());
  Prepared result;
  result.report = joiner.report();
  result.file = bytes_of(output);
  read_documents(output, result);
  return result;
}

}  // namespace trireme::test
