// SPDX-License-Identifier: Apache-2.0
// Files that lost, gained or changed bytes, or belong to another checkpoint. Such files are
// never loaded, and reading neither crashes nor hangs.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "trireme/checkpoint/saver.hpp"

#include "../../support/temporary_folder.hpp"
#include "../../support/thread_ranks.hpp"
#include "../arrays.hpp"

namespace {

namespace fs = std::filesystem;
using namespace trireme;
using namespace trireme::test;

std::vector<Array> some_model(unsigned salt) {
  return {{"model/w", DType::f32, Shape{40, 30}, salt},
          {"model/b", DType::bf16, Shape{5, 1, 7, 3}, salt},
          {"optimizer/exp_avg/w", DType::f64, Shape{40, 30}, salt},
          {"optimizer/exp_avg/b", DType::i64, Shape{11}, salt}};
}

/// The path of a checkpoint of iteration `iteration`, made by `ranks` ranks.
std::string make(const std::string& folder, const std::vector<Array>& model, int ranks,
                 std::int64_t iteration) {
  const auto parts = parts_of(model, Cut::last_axis, ranks);
  const std::string error = as_ranks(ranks, [&](Communicator& world) {
    const Memory memory(model, parts, world.rank());
    SaveOptions options;
    options.folder = folder;
    CheckpointSaver saver(options, memory.held(), std::nullopt, world);
    RunState state = some_state(iteration);
    state.deck = "num_layers: 6\n";
    saver.start(state);
    const std::string failure = saver.wait().value().failure;
    TRM_REQUIRE(failure.empty(), "{}", failure);
  });
  BOOST_REQUIRE(error == "");
  return fmt::format("{}/global_step{}", folder, iteration);
}

/// All content of a checkpoint, as one text.
std::string all_of(const std::string& path) {
  CheckpointReader reader(path);
  reader.check_files();
  std::string out = fmt::format("{} {}\n", reader.state().iteration, reader.state().deck);
  for (const std::string& name : reader.names()) {
    const Shape global = reader.global_shape(name);
    Bytes data(static_cast<std::size_t>(global.count()) * size_of(reader.dtype(name)));
    reader.read(name, Box::whole(global), View(data.data(), reader.dtype(name), global));
    out += fmt::format("{} {} ", name, global.str());
    out.append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  return out;
}

/// The message of the Error that reading throws, or the text that reading returned. Ends the
/// program if reading takes minutes.
std::string refusal(const std::function<void()>& read) {
  alarm(60);
  std::string message;
  try {
    read();
    message = "no error";
  } catch (const Error& e) {
    message = e.what();
  } catch (const std::exception& e) {
    message = fmt::format("not an Error: {}", e.what());
  }
  alarm(0);
  return message;
}

/// Both ways to read the checkpoint must refuse it and name the folder.
void check_refused(const std::string& path) {
  const std::string reading = refusal([&] { (void)all_of(path); });
  BOOST_TEST(reading.find(path) != std::string::npos, "reading: " << reading);
  const std::string verifying =
      refusal([&] { CheckpointReader(path).verify([](std::int64_t) {}); });
  BOOST_TEST(verifying.find(path) != std::string::npos, "verifying: " << verifying);
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> files_in(const std::string& path) {
  std::vector<std::string> files;
  for (const auto& f : fs::directory_iterator(path)) files.push_back(f.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Flips bits in place; the destructor flips the bits back.
class Flip {
 public:
  Flip(const std::string& path, std::int64_t at, int bits)
      : file_(path, std::ios::binary | std::ios::in | std::ios::out), at_(at) {
    file_.seekg(at);
    BOOST_REQUIRE(file_.get(old_));
    put(static_cast<char>(old_ ^ bits));
  }
  ~Flip() { put(old_); }
  Flip(const Flip&) = delete;
  Flip& operator=(const Flip&) = delete;

 private:
  void put(char c) {
    file_.seekp(at_);
    file_.put(c);
    file_.flush();
  }
  std::fstream file_;
  std::int64_t at_;
  char old_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_bit_anywhere) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", some_model(1), 3, 5);
  const std::string before = all_of(path);
  const auto files = files_in(path);
  BOOST_TEST(files.size() == 4U);
  std::mt19937 draw(1);
  for (int i = 0; i < 100; ++i) {
    for (const std::string& file : files) {
      const auto at = static_cast<std::int64_t>(draw() % fs::file_size(file));
      const int bit = static_cast<int>(draw() % 8);
      BOOST_TEST_CONTEXT("bit " << bit << " of byte " << at << " of " << file) {
        const Flip flip(file, at, 1 << bit);
        check_refused(path);
      }
    }
  }
  BOOST_TEST(all_of(path) == before);
}

BOOST_AUTO_TEST_CASE(each_byte_that_describes) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", {{"w", DType::f32, Shape{4, 6}, 1}}, 2, 5);
  std::string before = all_of(path);
  std::mt19937 draw(2);
  const auto check = [&](const std::string& file, std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; ++at) {
      const int bits = at % 2 == 0 ? 1 << (draw() % 8) : static_cast<int>(1 + draw() % 255);
      BOOST_TEST_CONTEXT("bits " << bits << " of byte " << at << " of " << file) {
        const Flip flip(file, at, bits);
        const std::string message = refusal([&] { (void)all_of(path); });
        if (message.find(path) == std::string::npos) BOOST_ERROR(message);
      }
    }
  };
  const std::string index = path + "/checkpoint.h5";
  check(index, 0, static_cast<std::int64_t>(fs::file_size(index)));
  const CheckpointReader::Shard shard = CheckpointReader(path).shards().at(0);
  std::int64_t framed = 0;
  for (const h5::Extent& e : shard.frame) {
    check(path + "/shard-00000.h5", e.offset, e.offset + e.bytes);
    framed += e.bytes;
  }
  BOOST_TEST(framed == shard.bytes - (4 * 3 * 4 + 4));  // all but 12 elements and a checksum
  BOOST_TEST(all_of(path) == before);
}

/// An incomplete copy, or a lost extent: HDF5's own checksum of zeros is zero.
BOOST_AUTO_TEST_CASE(a_hole_in_a_tensor) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", {{"w", DType::f32, Shape{64, 64}, 1}}, 1, 5);
  const std::string file = path + "/shard-00000.h5";
  const std::int64_t bytes = 64 * 64 * 4 + 4;
  std::int64_t at = 0;  // the tensor's, between two extents of the frame
  for (const h5::Extent& e : CheckpointReader(path).shards().at(0).frame) {
    if (e.offset > at) break;
    at = e.offset + e.bytes;
  }
  {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(at);
    stream << std::string(static_cast<std::size_t>(bytes), '\0');
  }
  const std::string message = refusal([&] { (void)all_of(path); });
  BOOST_TEST(message.find("tensor w") != std::string::npos, message);
  BOOST_TEST(message.find("checksum") != std::string::npos, message);
  const std::string verified = refusal([&] { CheckpointReader(path).verify([](auto) {}); });
  BOOST_TEST(verified.find("checksum") != std::string::npos, verified);
}

BOOST_AUTO_TEST_CASE(files_of_another_length) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", some_model(1), 3, 5);
  const std::string before = all_of(path);
  std::mt19937 draw(3);
  for (const std::string& file : files_in(path)) {
    const std::string bytes = bytes_of(file);
    std::vector<std::size_t> lengths{0, 1, 511, 512, 513, bytes.size() - 1, bytes.size() + 1};
    for (int i = 0; i < 10; ++i) {
      lengths.push_back(draw() % bytes.size());
      lengths.push_back(bytes.size() + 1 + draw() % 10'000);
    }
    for (const std::size_t length : lengths) {
      BOOST_TEST_CONTEXT(file << " of " << length << " bytes") {
        fs::resize_file(file, length);
        check_refused(path);
      }
      write_bytes(file, bytes);
    }
    BOOST_TEST_CONTEXT(file << " with a copy of itself behind") {
      write_bytes(file, bytes + bytes);
      check_refused(path);
    }
    BOOST_TEST_CONTEXT(file << " of zeros") {
      write_bytes(file, std::string(bytes.size(), '\0'));
      check_refused(path);
    }
    write_bytes(file, bytes);
  }
  BOOST_TEST(all_of(path) == before);
}

BOOST_AUTO_TEST_CASE(files_that_are_missing_or_something_else) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", some_model(1), 3, 5);
  const std::string before = all_of(path);
  for (const std::string& file : files_in(path)) {
    BOOST_TEST_CONTEXT(file) {
      fs::rename(file, folder / "aside");
      check_refused(path);
      fs::create_directory(file);
      check_refused(path);
      fs::remove(file);
      fs::create_symlink("/dev/zero", file);
      check_refused(path);
      fs::remove(file);
      fs::rename(folder / "aside", file);
    }
  }
  BOOST_TEST(all_of(path) == before);
}

BOOST_AUTO_TEST_CASE(files_of_other_checkpoints) {
  const TemporaryFolder folder(memory_folder());
  const std::string path = make(folder / "save", some_model(1), 3, 5);
  const std::string before = all_of(path);
  const std::vector<std::string> others{
      make(folder / "save", some_model(2), 3, 6),            // the same layout, a step later
      make(folder / "four", some_model(1), 4, 5),            // another layout
      make(folder / "names", {some_model(1).at(0)}, 3, 5)};  // another model
  const auto files = files_in(path);
  for (const std::string& file : files) {
    fs::rename(file, folder / "aside");
    for (const std::string& other : others) {
      for (const std::string& foreign : files_in(other)) {
        BOOST_TEST_CONTEXT(foreign << " as " << file) {
          fs::copy_file(foreign, file);
          check_refused(path);
          fs::remove(file);
        }
      }
    }
    for (const std::string& sister : files) {
      if (sister == file) continue;
      BOOST_TEST_CONTEXT(sister << " as " << file) {
        fs::copy_file(sister, file);
        check_refused(path);
        fs::remove(file);
      }
    }
    fs::rename(folder / "aside", file);
  }
  BOOST_TEST(all_of(path) == before);
}
