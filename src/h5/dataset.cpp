// SPDX-License-Identifier: Apache-2.0
// Arrays: creation, and transfer between a box of the file and a view of memory.
#include <algorithm>
#include <array>

#include "trireme/h5/file.hpp"

#include "chunks.hpp"
#include "library.hpp"
#include "space.hpp"
#include "virtual.hpp"

namespace trireme::h5 {

namespace {

constexpr hsize_t kChunkBytes = 1 << 20;
constexpr hsize_t kMostBytes = 1 << 30;  // HDF5 takes less than 4 GiB
constexpr hsize_t kManyChunks = 512;

/// About 1 MiB, or more if 1 MiB made many chunks, because HDF5 lists each chunk by a search
/// from the first. A chunk is rows of the first axis, or a piece of a row that is too long.
Lengths chunk_of(DType dtype, const Shape& shape, const DatasetOptions& options) {
  Lengths chunk = lengths_of(shape);
  hsize_t inner = size_of(dtype);  // bytes of one index of the first axis
  for (int i = 1; i < shape.rank(); ++i) inner *= chunk[static_cast<std::size_t>(i)];
  if (options.extendable || options.chunk > 0) {
    const hsize_t rows =
        options.chunk > 0 ? static_cast<hsize_t>(options.chunk) : kChunkBytes / inner;
    chunk[0] = options.extendable ? rows : std::min(rows, chunk[0]);
    return chunk;
  }
  const hsize_t most = std::clamp(inner * chunk[0] / kManyChunks, kChunkBytes, kMostBytes);
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.rank()); ++i) {
    if (inner <= most) {
      chunk[i] = std::min(chunk[i], most / inner);
      break;
    }
    if (i + 1 < static_cast<std::size_t>(shape.rank())) inner /= chunk[i + 1];
    chunk[i] = 1;
  }
  return chunk;
}

Id creation_of(DType dtype, const Shape& shape, const DatasetOptions& options) {
  Id creation = properties(H5P_DATASET_CREATE);
  checked(H5Pset_obj_track_times(creation, 0), "HDF5", "switch time stamps off");
  const bool wanted =
      options.extendable || options.checksum || options.deflate > 0 || options.chunk > 0;
  const bool possible = options.extendable || (shape.rank() > 0 && shape.count() > 0);
  if (!wanted || !possible) return creation;  // an empty or scalar array has no chunks
  const Lengths chunk = chunk_of(dtype, shape, options);
  checked(H5Pset_chunk(creation, shape.rank(), chunk.data()), "HDF5", "set chunks");
  if (options.deflate > 0) {
    checked(H5Pset_deflate(creation, static_cast<unsigned>(options.deflate)), "HDF5",
            "set compression");
  }
  if (options.checksum) checked(H5Pset_fletcher32(creation), "HDF5", "set checksums");
  return creation;
}

/// Memory as the library sees it. Contiguous memory gets the box's own shape, since HDF5 copies
/// chunks of unequal shapes element by element, 25 times slower. Other memory is rows of `cols`
/// elements, `row_stride` apart.
Id memory_space(const ConstView& view, const Box& box) {
  if (view.contiguous()) {
    return make_space(box.extent.rank() == 0 ? Shape{1} : box.extent);
  }
  const auto cols = static_cast<hsize_t>(view.cols());
  const auto rows = static_cast<hsize_t>(view.rows());
  Id space = make_space(Shape{view.rows(), view.row_stride()});
  const std::array<hsize_t, 2> start{0, 0};
  const std::array<hsize_t, 2> count{rows, cols};
  checked(
      H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
      "HDF5", "select rows");
  return space;
}

bool is_float(DType t) {
  return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16;
}

/// Whether every value of type `from` is also a value of type `to`.
bool widens(DType from, DType to) {
  if (from == to) return true;
  if (is_float(from) != is_float(to)) return false;
  if (size_of(from) >= size_of(to)) return false;
  const bool from_signed = from == DType::i32 || from == DType::i64;
  const bool to_signed = to == DType::i32 || to == DType::i64;
  return is_float(from) || !from_signed || to_signed;
}

/// Elements of a box on their way between a dataset and memory.
struct Transfer {
  hid_t dataset;
  std::string where;
  Shape whole;
  bool write;

  void box(const Box& part, const ConstView& memory) const {
    const Id space = make_space(whole);
    if (whole.rank() > 0) select(space, part, where);
    const hid_t type = memory_type(memory.dtype());
    const Id here = memory_space(memory, part);
    if (write) {
      checked(H5Dwrite(dataset, type, here, space, H5P_DEFAULT, memory.raw()), where, "write");
    } else {
      void* to = const_cast<void*>(memory.raw());  // a View in Dataset::read
      checked(H5Dread(dataset, type, here, space, H5P_DEFAULT, to), where, "read");
    }
  }

  /// Like box(), but reads or writes whole chunks of rows by class Chunks where possible.
  void rows(const Box& all, const ConstView& memory) const {
    bool whole_rows = whole.rank() > 0 && memory.contiguous();
    for (int axis = 1; axis < whole.rank(); ++axis) {
      whole_rows = whole_rows && all.extent[axis] == whole[axis];
    }
    if (!whole_rows) return box(all, memory);
    Chunks chunks(dataset, memory.dtype(), whole, where);
    if (chunks.rows() == 0) return box(all, memory);
    const std::int64_t end = all.offset[0] + all.extent[0];
    Box part = all;
    std::size_t done = 0;
    for (std::int64_t row = all.offset[0]; row < end; row += part.extent[0]) {
      if (!write) chunks.read_ahead(row / chunks.rows() * chunks.rows(), end);
      part.offset[0] = row;
      part.extent[0] = std::min(chunks.rows() - row % chunks.rows(), end - row);
      const ConstView here(static_cast<const std::byte*>(memory.raw()) + done, memory.dtype(),
                           part.extent);
      done += here.bytes();
      if (part.extent[0] < chunks.rows()) {
        box(part, here);
      } else if (write) {
        chunks.write(row, here.raw());
      } else if (!chunks.read(row, const_cast<void*>(here.raw()))) {
        box(part, here);
      }
    }
  }
};

/// The offset in the file from which the library counts the offsets of chunks.
haddr_t chunk_base(hid_t dataset, const std::string& where) {
#if H5_VERSION_GE(1, 14, 4)
  (void)dataset;
  (void)where;
  return 0;
#else  // earlier versions forget the user block (HDF5's issue 3003)
  const Id file{checked(H5Iget_file_id(dataset), where, "find its file"), H5Fclose};
  const Id creation{checked(H5Fget_create_plist(file), where, "read its file's properties"),
                    H5Pclose};
  hsize_t block = 0;
  checked(H5Pget_userblock(creation, &block), where, "read its file's properties");
  return block;
#endif
}

/// Requires elements in this file, or views on files beside it, and filters that HDF5 has
/// itself. The shape of a dataset must not be asked for before: the library would open files.
void require_own(hid_t creation, const std::string& where) {
  if (H5Pget_layout(creation) == H5D_VIRTUAL) {
    return require_sources_beside(creation, where);
  }
  TRM_REQUIRE(checked(H5Pget_external_count(creation), where, "read its properties") == 0,
              "{}: its elements are in other files, which Trireme refuses", where);
  const int filters = checked(H5Pget_nfilters(creation), where, "read its filters");
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0;
    unsigned config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter =
        checked(H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values, nullptr, 0,
                               nullptr, &config),
                where, "read its filters");
    TRM_REQUIRE(filter == H5Z_FILTER_FLETCHER32 || filter == H5Z_FILTER_DEFLATE ||
                    filter == H5Z_FILTER_SHUFFLE,
                "{}: it has filter {}, which Trireme refuses", where, filter);
  }
}

}  // namespace

Dataset::Dataset(std::shared_ptr<Handle> handle, std::string path, std::string name)
    : Object(std::move(handle), std::move(path), std::move(name)) {
  const Id creation{checked(H5Dget_create_plist(id()), where(), "read its properties"),
                    H5Pclose};
  virtual_ = H5Pget_layout(creation) == H5D_VIRTUAL;
  const Id type{checked(H5Dget_type(id()), where(), "read its element type"), H5Tclose};
  dtype_ = dtype_of(type, where());
}

Dataset Group::dataset(const std::string& name, std::int64_t cache_bytes) const {
  const auto lock = enter();
  const std::string full = name_of_member(name);
  TRM_REQUIRE(has_dataset(name), "{}: there is no dataset {}{}", path_, full,
              is_link(name) ? ": it is a link, which Trireme does not follow" : "");
  const Id access = properties(H5P_DATASET_ACCESS);
  checked(H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT,
                             static_cast<std::size_t>(cache_bytes), H5D_CHUNK_CACHE_W0_DEFAULT),
          path_, "set the chunk cache");
  const hid_t opened = checked(H5Dopen2(id(), name.c_str(), access), path_,
                               fmt::format("open dataset {}", full));
  const auto handle = std::make_shared<Handle>(opened, H5Dclose);
  const Id creation{checked(H5Dget_create_plist(opened), path_, "read its properties"),
                    H5Pclose};
  require_own(creation, fmt::format("{}: {}", path_, full));
  return {handle, path_, full};
}

Dataset Group::create_dataset(const std::string& name, DType dtype, const Shape& shape,
                              const DatasetOptions& options) {
  const auto lock = enter();
  const std::string full = name_of_member(name);
  TRM_CHECK(!options.extendable || shape.rank() == 1, "{}: only 1-D arrays grow", full);
  make_way(name);
  const hid_t made =
      H5Dcreate2(id(), name.c_str(), file_type(dtype), make_space(shape, options.extendable),
                 H5P_DEFAULT, creation_of(dtype, shape, options), H5P_DEFAULT);
  checked(made, path_, fmt::format("create dataset {}", full));
  return {std::make_shared<Handle>(made, H5Dclose), path_, full};
}

Shape Dataset::shape() const {
  const auto lock = enter();
  const Id space{checked(H5Dget_space(id()), where(), "read its shape"), H5Sclose};
  return shape_of(space, where());
}

void Dataset::transfer(const Box& box, const ConstView& memory, bool write) const {
  const Shape whole = shape();
  TRM_REQUIRE(box.inside(whole), "{}: a part at {} of extent {} is not inside of {}", where(),
              box.offset.str(), box.extent.str(), whole.str());
  TRM_CHECK(box.count() == memory.count(), "{}: {} elements of the file, {} of memory", where(),
            box.count(), memory.count());
  if (box.count() == 0) return;
  Transfer{id(), where(), whole, write}.rows(box, memory);
}

void Dataset::read(const View& to) const {
  const auto lock = enter();
  read(Box::whole(shape()), to);
}

void Dataset::read(const Box& box, const View& to) const {
  const auto lock = enter();
  TRM_REQUIRE(widens(dtype_, to.dtype()), "{}: it holds {}, which does not fit into {}",
              where(), name_of(dtype_), name_of(to.dtype()));
  TRM_REQUIRE(!virtual_, "{}: its elements are in other files, which Trireme reads one by one",
              where());
  transfer(box, to, false);
}

void Dataset::write(const ConstView& from) {
  const auto lock = enter();
  write(Box::whole(shape()), from);
}

void Dataset::write(const Box& box, const ConstView& from) {
  const auto lock = enter();
  TRM_CHECK(from.dtype() == dtype_, "{}: {} written into {}", where(), name_of(from.dtype()),
            name_of(dtype_));
  transfer(box, from, true);
}

void Dataset::append(const ConstView& from) {
  const auto lock = enter();
  const std::int64_t n = shape().count();
  resize(n + from.count());
  write(Box(Shape{n}, Shape{from.count()}), from);
}

void Dataset::resize(std::int64_t n) {
  const auto lock = enter();
  TRM_CHECK(shape().rank() == 1 && n >= 0, "{}: resized to {}", where(), n);
  const auto extent = static_cast<hsize_t>(n);
  checked(H5Dset_extent(id(), &extent), where(), "change its length");
}

std::vector<Extent> Dataset::extents() const {
  const auto lock = enter();
  checked(H5Dflush(id()), where(), "write to disk");  // gives the last chunks their offsets
  const Id creation{checked(H5Dget_create_plist(id()), where(), "read its properties"),
                    H5Pclose};
  std::vector<Extent> out;
  const auto add = [&](haddr_t offset, hsize_t bytes) {
    if (offset == HADDR_UNDEF || bytes == 0) return;  // never written
    out.push_back({static_cast<std::int64_t>(offset), static_cast<std::int64_t>(bytes)});
  };
  if (H5Pget_layout(creation) == H5D_CONTIGUOUS) {
    add(H5Dget_offset(id()), H5Dget_storage_size(id()));
  } else if (H5Pget_layout(creation) == H5D_CHUNKED) {
    const haddr_t base = chunk_base(id(), where());
    const Id all{checked(H5Dget_space(id()), where(), "read its shape"), H5Sclose};
    hsize_t count = 0;
    checked(H5Dget_num_chunks(id(), all, &count), where(), "count its chunks");
    for (hsize_t i = 0; i < count; ++i) {
      haddr_t offset = HADDR_UNDEF;
      hsize_t bytes = 0;
      checked(H5Dget_chunk_info(id(), all, i, nullptr, nullptr, &offset, &bytes), where(),
              "find its chunks");
      add(offset == HADDR_UNDEF ? offset : base + offset, bytes);
    }
  }
  return out;
}

}  // namespace trireme::h5
