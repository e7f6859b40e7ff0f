// SPDX-License-Identifier: Apache-2.0
// Published models' files changed at random: each folder opens and is read to its last tensor,
// or is an Error.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "trireme/core/regular_file.hpp"
#include "trireme/huggingface/model_folder.hpp"

#include "../../../src/huggingface/safetensors_header.hpp"
#include "../../../src/huggingface/weight_files.hpp"
#include "../../support/changed_bytes.hpp"
#include "../../support/temporary_folder.hpp"
#include "../published.hpp"

using namespace trireme;
using test::Changer;

namespace {

constexpr std::int64_t kMostBytes = 1'000'000;

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The eight bytes before a header.
std::string length_of(std::size_t bytes) {
  std::string length;
  for (unsigned i = 0; i < 8; ++i) length += static_cast<char>(bytes >> 8U * i & 0xffU);
  return length;
}

/// A file's header and what follows the header.
struct Halves {
  explicit Halves(const std::string& file) {
    std::size_t bytes = 0;
    for (std::size_t i = 8; i-- > 0;) bytes = bytes << 8U | static_cast<unsigned char>(file[i]);
    header = file.substr(8, bytes);
    tensors = file.substr(8 + bytes);
  }
  std::string header;
  std::string tensors;
};

/// Reads all tensors whose types weights may have.
void read_all(WeightSource& source) {
  for (const std::string& name : source.names()) {
    try {
      (void)source.dtype(name);
    } catch (const Error&) {
      continue;  // such as I64
    }
    (void)test::floats_of(source, name);
  }
}

const std::string kJson = "0123456789[]{},:\"-e.\\u0000 F32 BF16 I64 18446744073709551615";

}  // namespace

BOOST_AUTO_TEST_SUITE(published_fuzz)

BOOST_AUTO_TEST_CASE(a_changed_header) {
  const test::TemporaryFolder folder(test::memory_folder());
  const Halves whole(
      read_file(test::published_folder("llama") + "/model.safetensors", kMostBytes));
  test::try_changed(5000, [&](Changer& changer) {
    const std::string header =
        changer.changed(whole.header, changer.below(2) == 0 ? whole.header : kJson);
    std::string file = length_of(header.size()) + header + whole.tensors;
    if (changer.below(8) == 0) {
      file.replace(0, 8, changer.changed(file.substr(0, 8), file));
    }
    if (changer.below(8) == 0) file.resize(changer.below(file.size()));
    write(folder / "model.safetensors", file);
    huggingface::WeightFiles files(folder / "");
    read_all(files);
    return true;
  });
}

BOOST_AUTO_TEST_CASE(a_changed_folder) {
  std::vector<std::string> models;
  for (const char* name : test::kPublished) models.push_back(test::published_folder(name));
  const test::TemporaryFolder folder(test::memory_folder());
  const std::string config = folder / "config.json";
  const std::string index = folder / "model.safetensors.index.json";
  test::try_changed(500, [&](Changer& changer) {
    const std::string& from = models[changer.below(models.size())];
    const std::string& other = models[changer.below(models.size())];
    const std::string configs[] = {read_file(from + "/config.json", kMostBytes),
                                   read_file(other + "/config.json", kMostBytes)};
    const std::string& foreign = changer.below(2) == 0 ? configs[1] : kJson;
    const bool keeps = changer.below(3) == 0;
    write(config, keeps ? configs[0] : changer.changed(configs[0], foreign));
    std::string weights = read_file(from + "/model.safetensors", kMostBytes);
    if (changer.below(4) == 0) {
      const Halves halves(weights);
      const std::string header = changer.changed(halves.header, kJson);
      weights = length_of(header.size()) + header + halves.tensors;
    }
    std::filesystem::remove(folder / "model.safetensors");
    std::filesystem::remove(index);
    const bool sharded = changer.below(4) == 0;
    write(folder / (sharded ? "a.safetensors" : "model.safetensors"), weights);
    if (sharded) {
      std::string map;
      const Halves halves(weights);
      for (const auto& [name, tensor] : huggingface::parse_header(
               halves.header, static_cast<std::int64_t>(weights.size()))) {
        map += (map.empty() ? "\"" : ", \"") + name + R"(": "a.safetensors")";
      }
      write(index, changer.changed("{\"weight_map\": {" + map + "}}", kJson));
    }
    huggingface::ModelFolder model(folder / "");
    read_all(model);
    return true;
  });
}

BOOST_AUTO_TEST_SUITE_END()
