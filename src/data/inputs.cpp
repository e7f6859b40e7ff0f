// SPDX-License-Identifier: Apache-2.0
// Input files: which there are, which are accepted, and what each holds.
#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <glob.h>
#include <sys/stat.h>

#include "content.hpp"
#include "text_file.hpp"
#include "text_stream.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHeadBytes = 4096;
constexpr std::array<std::string_view, 3> kJsonLines{".jsonl", ".ndjson", ".json"};
// Formats that begin with no bytes of their own.
constexpr std::array<std::string_view, 2> kOtherCompressed{".br", ".lzma"};
// What is unpacked keeps the name from before.
constexpr std::array<std::string_view, 5> kPacked{".gz", ".zst", ".xz", ".bz2", ".zstd"};

/// Endings are in lower case; the path's letters may be in either.
template <std::size_t N>
std::size_t ending_of(std::string path, const std::array<std::string_view, N>& endings) {
  for (char& c : path) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const std::string_view ending : endings) {
    if (path.ends_with(ending)) return ending.size();
  }
  return 0;
}

/// The files in a folder and its folders.
void add_folder(const std::string& folder, std::vector<std::string>& to) {
  std::vector<std::string> found;
  std::error_code code;
  fs::recursive_directory_iterator entry(folder, code);
  while (!code && entry != fs::recursive_directory_iterator()) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    const bool is_folder = entry->is_directory(code);
    if (code) break;
    if (hidden && is_folder) entry.disable_recursion_pending();
    if (!hidden && !is_folder) found.push_back(entry->path().string());
    entry.increment(code);
  }
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot list the folder's files", folder);
  TRM_REQUIRE(!found.empty(), "{}: the folder holds no file", folder);
  std::ranges::sort(found);
  to.insert(to.end(), found.begin(), found.end());
}

/// What a shell would make of a pattern.
std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t matches{};
  const int code = glob(pattern.c_str(), GLOB_ERR | GLOB_NOSORT, nullptr, &matches);
  std::vector<std::string> paths;
  for (std::size_t i = 0; code == 0 && i < matches.gl_pathc; ++i) {
    paths.emplace_back(matches.gl_pathv[i]);
  }
  globfree(&matches);
  TRM_REQUIRE(code == 0 || code == GLOB_NOMATCH, "{}: the pattern's folders cannot be read",
              pattern);
  TRM_REQUIRE(!paths.empty(), "{}: no file has a name of this pattern", pattern);
  std::ranges::sort(paths);
  return paths;
}

bool exists(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0;
}

/// All files that the paths stand for.
std::vector<std::string> list_files(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const std::string& path : paths) {
    const bool pattern = path.find_first_of("*?[") != std::string::npos && !exists(path);
    for (const std::string& match :
         pattern ? matches_of(path) : std::vector<std::string>{path}) {
      if (match != "-" && fs::is_directory(match, ignored)) {
        add_folder(match, files);
      } else {
        files.push_back(match);
      }
    }
  }
  TRM_REQUIRE(std::ranges::count(files, "-") <= 1,
              "standard input (-) can be read once, but is named several times");
  return files;
}

/// What the text holds, by its first bytes. A name decides only where the content does not.
/// Returns why the text can't be used, or "".
std::string look_inside(TextInput& input, const TextFormat& format, const HeadReader& head) {
  const std::string first = head(kHeadBytes);
  const std::string trouble = why_not_text(first);
  if (!trouble.empty()) return trouble + ". --format text takes any bytes as they are";
  input.start = byte_order_mark(first);
  input.jsonl = format.all_jsonl;
  if (format.all_jsonl || format.whole_files) return "";
  const auto start = static_cast<std::size_t>(input.start);
  const JsonLayout layout =
      json_layout([&](std::size_t n) { return head(n + start).substr(start); });
  if (layout == JsonLayout::array || layout == JsonLayout::one_big) {
    return fmt::format(
        "it holds {}, not JSON lines, which are one object a line; convert it with {}. "
        "--document-per-file takes it as one document",
        layout == JsonLayout::array ? "a JSON array" : "an object over many lines",
        to_json_lines(layout));
  }
  std::string name = input.path;
  if (input.compression != Compression::none) {
    name.resize(name.size() - ending_of(name, kPacked));
  }
  input.jsonl = layout == JsonLayout::lines || ending_of(name, kJsonLines) > 0;
  return "";
}

std::string look_into_file(TextInput& input, const TextFormat& format) {
  if (format.as_it_is) {
    (void)TextFile(input);  // it can be opened
    return "";
  }
  if (ending_of(input.path, kOtherCompressed) > 0) {
    return "the file is compressed; decompress it first";
  }
  const TextFile file(input);
  input.compression = compression_of(file.read(0, kHeadBytes));
  if (input.compression == Compression::none) {
    return look_inside(input, format, [&](std::size_t n) {
      return file.read(0, static_cast<std::int64_t>(n));
    });
  }
  TextStream stream(input.path);
  return look_inside(input, format, [&](std::size_t n) { return std::string(stream.peek(n)); });
}

std::string open_standard_input(TextInput& input, const TextFormat& format) {
  input.standard_input = std::make_shared<TextStream>(input.path, format.as_it_is);
  TextStream& stream = *input.standard_input;
  input.compression = stream.compression();
  if (format.as_it_is) return "";
  return look_inside(input, format, [&](std::size_t n) { return std::string(stream.peek(n)); });
}

}  // namespace

std::vector<TextInput> find_inputs(const std::vector<std::string>& paths,
                                   const TextFormat& format, std::vector<Fault>* refused) {
  TRM_REQUIRE(!paths.empty(), "there is no input file");
  std::vector<TextInput> inputs;
  for (const std::string& path : list_files(paths)) {
    TextInput input{.path = path};
    std::string trouble;
    if (path == "-") {
      trouble = open_standard_input(input, format);
    } else {
      struct stat status {};
      TRM_REQUIRE_SYSTEM(stat(path.c_str(), &status) == 0, errno, "{}: cannot open", path);
      TRM_REQUIRE(S_ISREG(status.st_mode),
                  "{}: not a regular file; only regular files can be input", path);
      input.bytes = status.st_size;
      trouble = look_into_file(input, format);
    }
    if (trouble.empty()) {
      inputs.push_back(std::move(input));
      continue;
    }
    const std::string what = fmt::format("{}: {}", path, trouble);
    TRM_REQUIRE(refused != nullptr, "{}", what);
    refused->push_back({Trouble::file, 0, what});
  }
  return inputs;
}

}  // namespace trireme
