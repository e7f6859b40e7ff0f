// SPDX-License-Identifier: Apache-2.0
// Which names in a folder are checkpoints, which are leftovers, and which may go.
#include "trireme/checkpoint/folder.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string_view>

#include "trireme/core/error.hpp"
#include "trireme/core/replacement.hpp"

#include "durable.hpp"

namespace trireme {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "global_step";
constexpr const char* kLatest = "latest";

std::string in(const std::string& save, const std::string& name) {
  return (fs::path(save) / name).string();
}

/// N of "global_stepN" + suffix; nothing for any other name.
std::optional<std::int64_t> parse(std::string_view name, std::string_view suffix = "") {
  if (!name.starts_with(kPrefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  std::int64_t n = -1;
  const auto digits = name.substr(std::min(name.size(), kPrefix.size()));
  std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (n < 0 || checkpoint_name(n) != name) return std::nullopt;
  return n;
}

bool is_folder(const std::string& path) {  // false for a link to a folder
  std::error_code code;
  return fs::is_directory(fs::symlink_status(path, code));
}

bool leads_to_folder(const std::string& path) {  // false for a link in a circle
  std::error_code code;
  return fs::is_directory(path, code);
}

/// Names in SAVE; empty if SAVE is not a folder.
std::vector<std::string> names_in(const std::string& save) {
  std::vector<std::string> names;
  std::error_code code;
  if (!fs::is_directory(save, code)) return names;
  for (fs::directory_iterator at(save, code); !code && at != fs::directory_iterator();
       at.increment(code)) {
    names.push_back(at->path().filename().string());
  }
  TRM_REQUIRE_SYSTEM(!code, code.value(), "{}: cannot list the folder", save);
  return names;
}

using ByFallingIteration = std::map<std::int64_t, std::string, std::greater<>>;

/// All names that may be loaded. A save that died while it replaced a checkpoint may have left
/// the replaced checkpoint as global_stepN.old.
ByFallingIteration complete(const std::string& save) {
  ByFallingIteration found;
  for (const std::string& name : names_in(save)) {
    if (!leads_to_folder(in(save, name))) continue;
    if (const auto n = parse(name)) found.insert_or_assign(*n, name);
    if (const auto n = parse(name, ".old")) found.try_emplace(*n, name);
  }
  return found;
}

}  // namespace

std::string checkpoint_name(std::int64_t iteration) {
  return fmt::format("{}{}", kPrefix, iteration);
}

std::optional<std::int64_t> checkpoint_iteration(const std::string& path) {
  const auto end = path.find_last_not_of('/');
  return parse(fs::path(path.substr(0, end + 1)).filename().string());
}

bool is_checkpoint(const std::string& path) {
  std::error_code code;
  if (!fs::is_directory(path, code)) return false;
  if (fs::exists(fs::path(path) / "checkpoint.h5", code)) return true;
  return checkpoint_iteration(path).has_value() && complete(path).empty() &&
         !fs::exists(fs::symlink_status(in(path, kLatest), code));
}

std::optional<std::string> latest_name(const std::string& save) {
  const std::string path = in(save, kLatest);
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) return std::nullopt;
  TRM_REQUIRE(fs::is_regular_file(status), "{}: not a file that can be read", path);

  std::string name(256, '\0');  // no file name is longer
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  TRM_REQUIRE_SYSTEM(file.is_open(), errno, "{}: cannot open", path);
  file.read(name.data(), static_cast<std::streamsize>(name.size()));
  TRM_REQUIRE_SYSTEM(!file.bad(), errno, "{}: cannot read", path);
  name.resize(static_cast<std::size_t>(file.gcount()));
  name.erase(name.find_last_not_of(" \t\r\n") + 1);
  TRM_REQUIRE(parse(name),
              "{}: damaged; it should hold the name of a checkpoint beside it, like "
              "global_step100",
              path);
  return name;
}

Candidates find_checkpoints(const std::string& save) {
  ByFallingIteration found = complete(save);
  Candidates out;
  std::optional<std::string> latest;
  try {
    latest = latest_name(save);
    const auto at = latest ? found.find(*parse(*latest)) : found.end();
    if (at != found.end()) {
      out.paths.push_back(in(save, at->second));
      found.erase(at);
    } else if (latest) {
      std::error_code code;
      const bool other = fs::exists(fs::symlink_status(in(save, *latest), code));
      out.note = fmt::format("{} names {}, but {}", in(save, kLatest), *latest,
                             other ? "the name is not a folder's" : "there is no such folder");
    } else if (!found.empty()) {
      out.note = fmt::format("there is no {}", in(save, kLatest));
    }
  } catch (const Error& e) {
    out.note = e.what();
  }
  const auto future_ends = latest ? found.lower_bound(*parse(*latest)) : found.begin();
  for (auto at = future_ends; at != found.end(); ++at) {
    out.paths.push_back(in(save, at->second));
  }
  for (auto at = future_ends; at != found.begin();) {
    out.paths.push_back(in(save, (--at)->second));
  }
  return out;
}

std::vector<std::string> find_leftovers(const std::string& save) {
  std::vector<std::string> names;
  for (const std::string& name : names_in(save)) {
    const std::string path = in(save, name);
    const auto replaced = parse(name, ".old");
    const auto base = base_of_temporary(name);
    const bool folder = (base && (parse(*base) || parse(*base, ".old"))) ||
                        (replaced && is_folder(in(save, checkpoint_name(*replaced))));
    std::error_code code;
    const bool file = base == kLatest && fs::is_regular_file(fs::symlink_status(path, code));
    if (file || (folder && is_folder(path))) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> outdated(const std::string& save, std::int64_t iteration,
                                  std::int64_t keep) {
  if (keep <= 0) return {};
  std::string latest;
  try {
    latest = latest_name(save).value_or("");
  } catch (const Error&) {
    return {};  // `latest` may mean any of the checkpoints
  }
  std::vector<std::string> names;
  std::int64_t past = 0;
  for (const auto& [n, name] : complete(save)) {
    if (n > iteration || ++past <= keep || checkpoint_name(n) == latest) continue;
    names.push_back(name);
  }
  return names;
}

void remove_checkpoint(const std::string& save, const std::string& name) {
  const auto iteration = parse(name) ? parse(name) : parse(name, ".old");
  TRM_CHECK(iteration, "{} in {} is no checkpoint", name, save);
  const std::string temporary =
      temporary_name(in(save, checkpoint_name(*iteration)), process_mark());
  checkpoint::remove_all(temporary);
  rename_path(in(save, name), temporary);
  sync_to_disk(save);  // else a power failure could bring back the name of half a folder
  checkpoint::remove_all(temporary);
}

}  // namespace trireme
