// SPDX-License-Identifier: Apache-2.0
// Copies, seals and damage of metrics.h5.
#include "metrics_file.hpp"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "trireme/core/replacement.hpp"
#include "trireme/h5/checksum.hpp"

namespace trireme::metrics_file {

namespace {

namespace fs = std::filesystem;

constexpr h5::Seal kSeal{"metrics file", 1, 512};

/// A smaller file is copied at each change, which takes at most some hundredths of a second.
constexpr std::uintmax_t kCopied = std::uintmax_t{64} << 20U;

/// More bytes than a new chunk of each column takes.
constexpr std::uintmax_t kGrowth = std::uintmax_t{1} << 19U;

/// Requires space for `bytes` more in the folder of `path`: a file that is changed halfway is
/// worse than one that waits.
void require_space(const std::string& path, std::uintmax_t bytes) {
  std::error_code error;
  const auto space = fs::space(fs::absolute(path).parent_path(), error);
  TRM_REQUIRE_SYSTEM(error || space.available >= bytes + kGrowth, ENOSPC, "{}: cannot write",
                     path);
}

/// Copies a file of an earlier version behind room for a seal. HDF5 looks for its own beginning
/// there too.
void copy_behind_seal(const std::string& from, const std::string& to) {
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  errno = 0;
  out << std::string(static_cast<std::size_t>(kSeal.bytes), ' ')
      << std::ifstream(from, std::ios::binary).rdbuf();
  out.close();
  TRM_REQUIRE_SYSTEM(out.good(), errno, "{}: cannot copy to {}", from, to);
}

void copy_file(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  TRM_REQUIRE_SYSTEM(!error, error.value(), "{}: cannot copy to {}", from, to);
}

void edit(const std::string& path, const Change& change) {
  h5::File file(path, h5::Mode::read_write);
  change(file);
  file.close();
}

void write_new(const std::string& path, const Change& fill) {
  h5::File file(path, h5::Mode::create, {.user_block = kSeal.bytes});
  fill(file);
  file.close();
  h5::write_seal(path, kSeal);
}

std::string free_name(const std::string& path) {
  std::string name = path + ".damaged";
  std::error_code error;
  for (int i = 2; fs::exists(fs::symlink_status(name, error)); ++i) {
    name = fmt::format("{}.damaged-{}", path, i);
  }
  return name;
}

}  // namespace

void create(const std::string& path, const Change& fill) {
  Replacement copy(path);
  write_new(copy.temporary(), fill);
  copy.commit(Durability::process);
}

std::string set_aside_and_create(const std::string& path, const Change& fill) {
  Replacement copy(path);
  write_new(copy.temporary(), fill);
  std::string aside;
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) {
    aside = free_name(path);
    rename_path(path, aside);
  }
  copy.commit(Durability::process);
  return aside;
}

void change(const std::string& path, const Change& even, const Change& change) {
  const h5::SealState seal = h5::check_seal(path, kSeal);
  const auto whole = [&](h5::File& file) {
    if (seal != h5::SealState::whole) even(file);
    change(file);
  };
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  if (seal != h5::SealState::none && bytes >= kCopied) {
    require_space(path, 0);
    h5::break_seal(path, kSeal);
    edit(path, whole);
    h5::write_seal(path, kSeal);
    return;
  }
  Replacement copy(path);
  require_space(copy.temporary(), bytes);
  if (seal == h5::SealState::none) {
    copy_behind_seal(path, copy.temporary());
  } else {
    copy_file(path, copy.temporary());
  }
  edit(copy.temporary(), whole);
  h5::write_seal(copy.temporary(), kSeal);
  copy.commit(Durability::process);  // waiting for the disk would hold up training
}

bool is_damage(const std::string& path, const Error& reason) {
  std::error_code error;
  if (reason.system_error() == 0) return fs::exists(fs::symlink_status(path, error));
  return reason.system_error() == ENOENT && !fs::exists(path, error) &&
         fs::is_directory(fs::absolute(path).parent_path(), error);
}

}  // namespace trireme::metrics_file
