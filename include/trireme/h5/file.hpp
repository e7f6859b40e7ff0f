// SPDX-License-Identifier: Apache-2.0
// Files, HDF5 groups, datasets and attributes over the HDF5 C library.
//
// The library is not thread-safe: every call here takes one lock for the whole process. A
// reading thread and a writing thread may both use this header. File locks are not taken: locks
// fail on many parallel file systems, and other programs read metrics of a running job. The
// caller must let only one writer have a file at a time. No time stamps are stored, so that
// equal calls make equal bytes. No file makes Trireme open another: links, external storage and
// virtual sources are never followed. Filters are HDF5's own. Every failure is an Error that
// names the file, the object and HDF5's reason, and has the errno of a failed system call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trireme/tensor/box.hpp"
#include "trireme/tensor/tensor.hpp"

namespace trireme::h5 {

enum class Mode : std::uint8_t {
  read,        ///< must exist
  create,      ///< an existing file is emptied
  read_write,  ///< must exist
};

struct FileOptions {
  /// HDF5's newer format, whose metadata has checksums: damage there is an error, and never
  /// gives a wrong or endless answer. Texts in attributes and virtual datasets have no
  /// checksum: HDF5 trusts these, and damage can crash it. Put a checksum of your own on such
  /// a file (see user_block), and check this before you open the file. Reading needs HDF5
  /// 1.10 (2016). A file that is open for writing, or was when its program died, can't be
  /// opened.
  bool checksums = false;
  /// Bytes before HDF5's own, free for the caller: 0, or a power of two from 512 on.
  std::int64_t user_block = 0;
};

/// The kinds of attribute: one integer, one number, one text (UTF-8, without NUL), integers.
using Attribute = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>>;

struct DatasetOptions {
  bool extendable = false;  ///< 1-D that grows and shrinks without limit
  /// Extent of a chunk along the first axis. 0 stores the array in one piece, unless the
  /// options need chunks (extendable, checksum, deflate). A chunk is then some rows or a piece
  /// of one row: about 1 MiB, or 1/512 of the array if this is more.
  std::int64_t chunk = 0;
  bool checksum = false;  ///< Fletcher32 on each chunk, checked on reading
  int deflate = 0;        ///< zlib level 1 to 9; 0: not compressed
};

/// Where a box of a virtual dataset is: all of a dataset of another file.
struct Source {
  std::string file;     ///< relative to the folder of the virtual dataset's file
  std::string dataset;  ///< name of the dataset, which has the box's extent
  Box box;
};

/// A range of a file's bytes.
struct Extent {
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// One open HDF5 identifier, closed with its last owner. For sources in src/h5 only.
struct Handle;

/// An HDF5 object that can carry attributes. A copy is another handle on the same object.
class Object {
 public:
  /// "data.h5: /group/name", as errors name an object.
  [[nodiscard]] std::string where() const;

  /// Replaces an attribute of that name.
  void set_attribute(const std::string& name, const Attribute& value);
  void remove_attribute(const std::string& name);
  [[nodiscard]] bool has_attribute(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> attribute_names() const;  ///< sorted
  // These functions throw Error if the attribute is missing or of another kind.
  [[nodiscard]] std::int64_t integer(const std::string& name) const;
  [[nodiscard]] double number(const std::string& name) const;  ///< or an integer
  [[nodiscard]] std::string text(const std::string& name) const;
  [[nodiscard]] std::vector<std::int64_t> integers(const std::string& name) const;

 protected:
  Object() = default;
  Object(std::shared_ptr<Handle> handle, std::string path, std::string name);
  /// The library's identifier; throws Error once the object is closed.
  [[nodiscard]] std::int64_t id() const;

  std::shared_ptr<Handle> handle_;
  std::string path_;  ///< the file's
  std::string name_;  ///< within the file, "/" at the top
};

/// An array. Views are host memory. Elements are taken in row-major order, so that a flat view
/// fits a box of equal count.
class Dataset : public Object {
 public:
  Dataset() = default;

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] Shape shape() const;

  /// Whether the elements are in other files. Trireme reads those files one by one.
  [[nodiscard]] bool is_virtual() const { return virtual_; }
  /// Reads elements of the same type, or of a type that `to` holds without loss (u16 as i32).
  /// Throws Error for a virtual dataset.
  void read(const View& to) const;
  void read(const Box& box, const View& to) const;
  /// Writes elements of exactly the dataset's type.
  void write(const ConstView& from);
  void write(const Box& box, const ConstView& from);

  /// The boxes of a virtual dataset, in the order of creation; empty for other datasets. Throws
  /// Error where a box is not all of a dataset.
  [[nodiscard]] std::vector<Source> sources() const;
  /// Where the elements are in the file: a range for each stored chunk, or for the whole array.
  /// Empty for a virtual dataset, and for a dataset without elements.
  [[nodiscard]] std::vector<Extent> extents() const;

  // For extendable 1-D arrays.
  void append(const ConstView& from);
  /// Drops elements from `n` on, or adds zeros.
  void resize(std::int64_t n);

 private:
  friend class Group;
  Dataset(std::shared_ptr<Handle> handle, std::string path, std::string name);
  void transfer(const Box& box, const ConstView& memory, bool write) const;

  DType dtype_ = DType::f32;
  bool virtual_ = false;
};

class Group : public Object {
 public:
  Group() = default;

  // Names may be paths ("model/layers.0.weight"), from this group or, with "/", from the top. A
  // path through a link does not exist. An object that has several names is an Error.
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] bool has_dataset(const std::string& name) const;
  /// Direct members, by name.
  [[nodiscard]] std::vector<std::string> names() const;

  [[nodiscard]] Group group(const std::string& name) const;
  /// Also creates the HDF5 groups above `name`. An existing HDF5 group is opened.
  Group create_group(const std::string& name);

  /// Throws Error if the dataset is missing, Trireme lacks its element type, or the elements
  /// are outside of this file and its folder. The library keeps up to `cache_bytes` of chunks.
  /// With 0, a piece of an unfiltered chunk is read alone, as random access wants.
  [[nodiscard]] Dataset dataset(const std::string& name,
                                std::int64_t cache_bytes = 1 << 20) const;
  /// Also creates the HDF5 groups above `name`. Elements never written read as zero.
  Dataset create_dataset(const std::string& name, DType dtype, const Shape& shape,
                         const DatasetOptions& options = {});
  /// A dataset that shows boxes of other files' datasets as one array. Elements outside of all
  /// boxes, or in a missing file, read as NaN or as the largest integer. HDF5 looks for the
  /// files in this file's folder, also after that folder was moved, and then in the current
  /// directory. HDF5_VDS_PREFIX, if it is set, names a folder that comes first.
  Dataset create_virtual_dataset(const std::string& name, DType dtype, const Shape& shape,
                                 const std::vector<Source>& sources);
  /// Links `name` to the absolute path `target`, which need not exist. Makes the groups above.
  void create_link(const std::string& name, const std::string& target);
  /// Whether the name itself is a link, to a path or to another file.
  [[nodiscard]] bool is_link(const std::string& name) const;
  /// The path to which a link leads. Throws Error for a link to another file.
  [[nodiscard]] std::string link_target(const std::string& name) const;
  void remove(const std::string& name);
  /// Writes a 1-D dataset of UTF-8 texts. Also creates the HDF5 groups above `name`.
  void write_texts(const std::string& name, const std::vector<std::string>& texts);
  /// Reads what write_texts() wrote. Throws Error on data of another kind.
  [[nodiscard]] std::vector<std::string> read_texts(const std::string& name) const;

 protected:
  using Object::Object;
  [[nodiscard]] std::string name_of_member(const std::string& name) const;
  [[nodiscard]] std::int64_t type_of_member(const std::string& name) const;
  /// Makes the HDF5 groups above a name; throws Error if the name is taken.
  void make_way(const std::string& name);
};

/// A file, as its top HDF5 group. A file stays open until no handle on its objects is left.
class File : public Group {
 public:
  File() = default;
  /// Throws Error if the file is missing, not HDF5, cut short or not permitted.
  File(const std::string& path, Mode mode, const FileOptions& options = {});

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Hands all written data to the operating system.
  void flush();
  /// Closes now, so that errors are seen. No handle on anything in the file may be left.
  void close();
};

/// "1.10.8": the library in use.
[[nodiscard]] std::string version();

}  // namespace trireme::h5
