// SPDX-License-Identifier: Apache-2.0
// Data of other programs and JSON lines, changed at random: each is read to its end, or is an
// Error.
#include <fstream>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/data/chat_template.hpp"
#include "trireme/data/token_source.hpp"

#include "../support/changed_bytes.hpp"
#include "../support/temporary_folder.hpp"
#include "foreign_files.hpp"
#include "prepare_case.hpp"

using namespace trireme;
using test::Changer;

namespace {

/// Reads all tokens of all documents.
void read_all(const std::string& path) {
  const auto source = open_tokens(path, DocumentCheck::all);
  std::vector<std::int32_t> tokens;
  for (std::int64_t d = 0; d < source->documents(); ++d) {
    const std::int64_t begin = source->document_start(d);
    const std::int64_t end = source->document_start(d + 1);
    BOOST_REQUIRE_LE(begin, end);
    BOOST_REQUIRE_LE(end, source->tokens());
    tokens.resize(static_cast<std::size_t>(end - begin));
    source->read(begin, tokens);
  }
}

const std::vector<std::string> kLines = {
    R"({"text": "One.\nTwo \u00e9 \ud83d\ude00", "meta": {"id": [1, 2.5e3, null, true]}})",
    R"({"text": "", "label": "good"})",
    R"({"text": "a", "label": -0.5})",
    R"({"messages": [{"role": "system", "content": "Be."}, {"role": "user", "content": "Hi"},)"
    R"( {"role": "assistant", "content": "Yes"}]})",
    R"({"prompt": "Q", "chosen": "good", "rejected": "bad"})",
    R"({"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],)"
    R"( "rejected": [{"role": "user", "content": "Q"},)"
    R"( {"role": "assistant", "content": ""}]})"};

}  // namespace

BOOST_AUTO_TEST_SUITE(data_fuzz)

BOOST_AUTO_TEST_CASE(a_changed_index) {
  const test::TemporaryFolder folder(test::memory_folder());
  const test::Documents documents = {{1, 2, 3}, {4}, {}, {5, 6, 7, 8, 9, 10}, {11, 12}};
  test::write_indexed<std::uint16_t>(folder / "data", documents, 8);
  read_all(folder / "data");
  const std::string index = test::bytes_of(folder / "data.idx");
  const std::string tokens = test::bytes_of(folder / "data.bin");
  test::try_changed(10000, [&](Changer& changer) {
    test::write_bytes(folder / "data.idx", changer.changed(index, index));
    const bool less = changer.below(4) == 0;
    test::write_bytes(folder / "data.bin", less ? changer.changed(tokens, tokens) : tokens);
    read_all(folder / "data");
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_changed_shard_of_llmc) {
  const test::TemporaryFolder folder(test::memory_folder());
  test::write_shard<std::uint16_t>(folder / "x.bin", 20240520, 1, {1, 2, 3, 4, 50256}, 5);
  read_all(folder / "x.bin");
  const std::string shard = test::bytes_of(folder / "x.bin");
  test::try_changed(20000, [&](Changer& changer) {
    std::string changed = shard;
    changed.replace(0, 12, changer.changed(shard.substr(0, 12), shard));
    if (changer.below(2) == 0) changed = changer.changed(changed, shard);
    test::write_bytes(folder / "x.bin", changed);
    read_all(folder / "x.bin");
    return true;
  });
}

BOOST_AUTO_TEST_CASE(changed_json_lines) {
  const test::TemporaryFolder folder(test::memory_folder());
  const std::vector<RecordKind> kinds = {RecordKind::text, RecordKind::chat, RecordKind::pairs,
                                         RecordKind::labelled};
  test::try_changed(1000, [&](Changer& changer) {
    std::string lines;
    for (std::size_t n = 1 + changer.below(4); n > 0; --n) {
      lines += kLines[changer.below(kLines.size())] + "\n";
    }
    test::PrepareCase with;
    with.format.all_jsonl = true;
    with.format.records = kinds[changer.below(kinds.size())];
    if (changer.below(2) == 0) with.format.chat = &chat_template("chatml");
    if (with.format.records == RecordKind::chat) with.format.chat = &chat_template("llama3");
    if (with.format.records == RecordKind::pairs) {
      with.file = {.kind = "pairs", .loss_mask = true};
    }
    if (with.format.records == RecordKind::labelled) with.file.kind = "labelled";
    with.join.skip_faults = changer.below(2) == 0;
    const std::string path =
        test::write_file(folder / "in.jsonl", changer.changed(lines, kLines[0]));
    (void)test::prepare_files({path}, folder / "out.h5", with);
    return true;
  });
}

BOOST_AUTO_TEST_SUITE_END()
