// SPDX-License-Identifier: Apache-2.0
// Files and HDF5 groups.
#include "trireme/h5/file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "trireme/core/regular_file.hpp"

#include "library.hpp"
#include "openable.hpp"

namespace trireme::h5 {

namespace {

void require_creatable(const std::string& path) {
  require_file_or_nothing(path);
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  TRM_REQUIRE_SYSTEM(file >= 0, errno, "{}: cannot create", path);
  close(file);
}

Id without_times(hid_t of_class) {
  Id creation = properties(of_class);
  checked(H5Pset_obj_track_times(creation, 0), "HDF5", "switch time stamps off");
  return creation;
}

/// Calls f("a"), f("a/b"), f("a/b/c") for "a/b/c" until f returns false; returns f's last.
template <class F>
bool for_each_prefix(const std::string& path, F f) {
  std::size_t end = 0;
  while (end < path.size()) {
    end = std::min(path.find('/', end + 1), path.size());
    if (!f(path.substr(0, end))) return false;
  }
  return true;
}

/// Removes doubled and trailing slashes. "" is the HDF5 group itself.
std::string tidy(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

hid_t create_file(const std::string& path, const FileOptions& options) {
  const std::int64_t block = options.user_block;
  TRM_CHECK(block == 0 || (block >= 512 && (block & (block - 1)) == 0), "{}: user block of {}",
            path, block);
  require_creatable(path);
  const Id creation = without_times(H5P_FILE_CREATE);
  checked(H5Pset_userblock(creation, static_cast<hsize_t>(block)), path, "set a user block");
  const Id access = properties(H5P_FILE_ACCESS);
  if (options.checksums) {
    checked(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), path,
            "set the format");
  }
  return checked(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), path, "create");
}

std::shared_ptr<Handle> open_file(const std::string& path, Mode mode,
                                  const FileOptions& options) {
  const auto lock = enter();
  hid_t opened = -1;
  if (mode == Mode::create) {
    opened = create_file(path, options);
  } else {
    require_openable(path, mode);
    TRM_REQUIRE(checked(H5Fis_hdf5(path.c_str()), path, "read") > 0,
                "{}: not an HDF5 file, or its beginning is damaged", path);
    const unsigned flags = mode == Mode::read ? H5F_ACC_RDONLY : H5F_ACC_RDWR;
    opened = checked(H5Fopen(path.c_str(), flags, H5P_DEFAULT), path, "open");
  }
  return std::make_shared<Handle>(opened, H5Fclose);
}

}  // namespace

void require_openable(const std::string& path, Mode mode) {
  require_file(path);
  TRM_REQUIRE_SYSTEM(access(path.c_str(), mode == Mode::read ? R_OK : R_OK | W_OK) == 0, errno,
                     "{}: cannot open", path);
}

Object::Object(std::shared_ptr<Handle> handle, std::string path, std::string name)
    : handle_(std::move(handle)), path_(std::move(path)), name_(std::move(name)) {}

std::string Object::where() const {
  return name_ == "/" ? path_ : fmt::format("{}: {}", path_, name_);
}

std::int64_t Object::id() const {
  TRM_CHECK(handle_ != nullptr, "an HDF5 object was used that is closed or was never opened");
  return handle_->id;
}

std::string Group::name_of_member(const std::string& name) const {
  if (name.starts_with('/')) return name;
  return fmt::format("{}/{}", name_ == "/" ? "" : name_, name);
}

bool Group::has(const std::string& name) const {
  const auto lock = enter();
  const std::string path = tidy(name);
  if (path.empty() || path == "/") return true;
  return for_each_prefix(path, [&](const std::string& part) {
    if (checked(H5Lexists(id(), part.c_str(), H5P_DEFAULT), where(), "look up a name") == 0) {
      return false;
    }
    // A path leads through groups alone. Links are never followed: they could lead out of the
    // file, or let one object pass for another.
    return part == path || type_of_member(part) == H5O_TYPE_GROUP;
  });
}

std::int64_t Group::type_of_member(const std::string& name) const {
  H5L_info_t link{};
  if (H5Lget_info(id(), name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    return H5O_TYPE_UNKNOWN;
  }
  // Look without opening the object: to open a virtual dataset, the library reads long metadata
  // of all its boxes.
  H5O_info_t info{};
#if H5_VERSION_GE(1, 12, 0)
  const herr_t code =
      H5Oget_info_by_name3(id(), name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT);
#else
  const herr_t code =
      H5Oget_info_by_name2(id(), name.c_str(), &info, H5O_INFO_BASIC, H5P_DEFAULT);
#endif
  if (code < 0) return H5O_TYPE_UNKNOWN;
  TRM_REQUIRE(info.rc == 1,
              "{}: {} is one of several names of an object, which Trireme refuses", path_,
              name_of_member(name));
  return info.type;
}

bool Group::has_dataset(const std::string& name) const {
  const auto lock = enter();
  return has(name) && type_of_member(name) == H5O_TYPE_DATASET;
}

std::vector<std::string> Group::names() const {
  const auto lock = enter();
  std::vector<std::string> names;
  const auto keep = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  // Names are sorted here. To sort them itself the library would make a table. In a damaged
  // file the library frees entries of the table that it has not filled in.
  hsize_t at = 0;
  checked(H5Literate(id(), H5_INDEX_NAME, H5_ITER_NATIVE, &at, keep, &names), where(),
          "list its members");
  std::ranges::sort(names);
  return names;
}

Group Group::group(const std::string& name) const {
  const auto lock = enter();
  const std::string full = name_of_member(name);
  TRM_REQUIRE(has(name), "{}: there is no group {}", path_, full);
  TRM_REQUIRE(!is_link(name), "{}: {} is a link, which Trireme does not follow", path_, full);
  const hid_t opened = checked(H5Gopen2(id(), name.c_str(), H5P_DEFAULT), path_,
                               fmt::format("open group {}", full));
  return {std::make_shared<Handle>(opened, H5Gclose), path_, full};
}

Group Group::create_group(const std::string& name) {
  const auto lock = enter();
  const std::string path = tidy(name);
  // Create groups one by one: groups that the library adds by itself carry time stamps.
  for_each_prefix(path, [&](const std::string& part) {
    if (has(part)) return true;
    const Id creation = without_times(H5P_GROUP_CREATE);
    const Id made{H5Gcreate2(id(), part.c_str(), H5P_DEFAULT, creation, H5P_DEFAULT), H5Gclose};
    checked(made.operator hid_t(), path_, fmt::format("create group {}", name_of_member(part)));
    return true;
  });
  return group(path);
}

void Group::make_way(const std::string& name) {
  TRM_REQUIRE(!has(name), "{}: {} exists already", path_, name_of_member(name));
  if (const auto slash = name.rfind('/'); slash != std::string::npos && slash > 0) {
    create_group(name.substr(0, slash));
  }
}

void Group::create_link(const std::string& name, const std::string& target) {
  const auto lock = enter();
  TRM_CHECK(target.starts_with('/'), "{}: a link to {}", name_of_member(name), target);
  make_way(name);
  checked(H5Lcreate_soft(target.c_str(), id(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), path_,
          fmt::format("create link {}", name_of_member(name)));
}

bool Group::is_link(const std::string& name) const {
  const auto lock = enter();
  const std::string path = tidy(name);
  if (path.empty() || path == "/" || !has(path)) return false;
  H5L_info_t info{};
  checked(H5Lget_info(id(), path.c_str(), &info, H5P_DEFAULT), path_,
          fmt::format("look at {}", name_of_member(path)));
  return info.type != H5L_TYPE_HARD;
}

std::string Group::link_target(const std::string& name) const {
  const auto lock = enter();
  const std::string full = name_of_member(name);
  H5L_info_t info{};
  checked(H5Lget_info(id(), name.c_str(), &info, H5P_DEFAULT), path_,
          fmt::format("look at {}", full));
  TRM_REQUIRE(info.type == H5L_TYPE_SOFT, "{}: {} leads to another file, which Trireme refuses",
              path_, full);
  std::string target(info.u.val_size, '\0');
  checked(H5Lget_val(id(), name.c_str(), target.data(), target.size(), H5P_DEFAULT), path_,
          fmt::format("look at {}", full));
  return target.c_str();  // the size counts the NUL at the end
}

void Group::remove(const std::string& name) {
  const auto lock = enter();
  checked(H5Ldelete(id(), name.c_str(), H5P_DEFAULT), path_,
          fmt::format("remove {}", name_of_member(name)));
}

File::File(const std::string& path, Mode mode, const FileOptions& options)
    : Group(open_file(path, mode, options), path, "/") {}

void File::flush() {
  const auto lock = enter();
  checked(H5Fflush(id(), H5F_SCOPE_GLOBAL), path_, "write to disk");
}

void File::close() {
  const auto lock = enter();
  if (handle_ == nullptr) return;
  flush();  // on a full disk, what could not be written stays open: the disk is to blame
  const auto open = H5Fget_obj_count(id(), H5F_OBJ_ALL | H5F_OBJ_LOCAL);
  TRM_CHECK(open == 1 && handle_.use_count() == 1, "{}: closed while parts of it are in use",
            path_);
  const hid_t last = std::exchange(handle_->id, -1);
  handle_ = nullptr;
  checked(H5Fclose(last), path_, "close");
}

}  // namespace trireme::h5
