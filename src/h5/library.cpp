// SPDX-License-Identifier: Apache-2.0
// Lock, errors and element types.
#include "library.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "trireme/h5/file.hpp"

namespace trireme::h5 {

namespace {

std::recursive_mutex& library_mutex() {
  static auto* mutex = new std::recursive_mutex;  // outlives static owners of handles
  return *mutex;
}

void start_library() {
  // At exit the library would close what is still open. Our owners leave only objects open that
  // can't be written (see written()).
  H5dont_atexit();
  // From HDF5 1.10.7 on, a property could turn locks off for one file. HDF5 does not hand the
  // property on to a virtual dataset's sources. HDF5 would lock a source, and miss any source
  // that this program has open without locks.
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
  // A file that others made must not run their code, nor open other files.
  H5PLset_loading_state(0);
  H5Lunregister(H5L_TYPE_EXTERNAL);
}

/// Errors become C++ Errors; by default the library prints a page on stderr for each.
void silence_thread() {
  thread_local const herr_t silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  (void)silent;
}

herr_t keep_first(unsigned n, const H5E_error2_t* error, void* text) {
  if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(text) = error->desc;
  return 0;
}

/// The errno of a failed system call, from HDF5's message; 0 if no system call failed.
int system_error_in(const std::string& reason) {
  constexpr std::string_view kNumber = "errno = ";
  const std::size_t at = reason.rfind(kNumber);
  int error = 0;
  if (at == std::string::npos ||
      std::sscanf(reason.c_str() + at + kNumber.size(), "%d, error message = '", &error) != 1) {
    return 0;
  }
  return error;
}

/// A message of HDF5 on one line. For a truncated file, the message says what is missing.
std::string shortened(std::string reason) {
  long long there = 0;
  long long whole = 0;
  if (std::sscanf(reason.c_str(),
                  "truncated file: eof = %lld, sblock->base_addr = %*[0-9], "
                  "stored_eof = %lld",
                  &there, &whole) == 2) {
    return fmt::format("truncated file: {} of its {} bytes are there", there, whole);
  }
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  return reason;
}

/// Makes a 16-bit float type from the widths of exponent and mantissa. This version of the
/// library predefines only IEEE's single and double.
hid_t make_float16(std::size_t exponent_bits, std::size_t mantissa_bits, std::size_t bias) {
  const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
  checked(type, "HDF5", "make a 16-bit type");
  const herr_t code = H5Tset_fields(type, 15, mantissa_bits, exponent_bits, 0, mantissa_bits);
  checked(code, "HDF5", "set the fields of a 16-bit type");
  checked(H5Tset_precision(type, 16), "HDF5", "set the precision of a 16-bit type");
  checked(H5Tset_size(type, 2), "HDF5", "set the size of a 16-bit type");
  checked(H5Tset_ebias(type, bias), "HDF5", "set the bias of a 16-bit type");
  return type;
}

hid_t half_type() {
  static const hid_t type = make_float16(5, 10, 15);
  return type;
}

hid_t bf16_type() {
  static const hid_t type = make_float16(8, 7, 127);
  return type;
}

bool has_exponent(hid_t type, std::size_t bits, std::size_t mantissa_bits) {
  std::size_t sign = 0;
  std::size_t exponent_at = 0;
  std::size_t exponent_bits = 0;
  std::size_t mantissa_at = 0;
  std::size_t mantissa = 0;
  if (H5Tget_fields(type, &sign, &exponent_at, &exponent_bits, &mantissa_at, &mantissa) < 0) {
    return false;
  }
  return exponent_bits == bits && mantissa == mantissa_bits;
}

/// Whether an object is written completely. An object that can't be written (disk full) stays
/// open for good. The library frees an object whose closing fails, but keeps the identifier,
/// and trips over the identifier in other files.
bool written(hid_t id) {
  switch (H5Iget_type(id)) {
    case H5I_FILE:
      return H5Fflush(id, H5F_SCOPE_GLOBAL) >= 0;
    case H5I_DATASET:
      return H5Dflush(id) >= 0;
    default:
      return true;
  }
}

}  // namespace

std::unique_lock<std::recursive_mutex> enter() {
  std::unique_lock lock(library_mutex());
  static const bool started = (start_library(), true);
  (void)started;
  silence_thread();
  return lock;
}

void fail(std::string_view where, std::string_view doing) {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
  H5Eclear2(H5E_DEFAULT);
  const int error = system_error_in(reason);
  TRM_REQUIRE_SYSTEM(error == 0, error, "{}: cannot {}", where, doing);
  throw Error(fmt::format("{}: cannot {}{}{}", where, doing, reason.empty() ? "" : ": ",
                          shortened(reason)));
}

Handle::~Handle() {
  const auto lock = enter();
  if (id >= 0 && written(id)) close(id);
}

Id properties(hid_t of_class) {
  return {checked(H5Pcreate(of_class), "HDF5", "make a property list"), H5Pclose};
}

hid_t memory_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return H5T_NATIVE_FLOAT;
    case DType::f64:
      return H5T_NATIVE_DOUBLE;
    case DType::f16:
      return half_type();
    case DType::bf16:
      return bf16_type();
    case DType::i32:
      return H5T_NATIVE_INT32;
    case DType::i64:
      return H5T_NATIVE_INT64;
    case DType::u8:
      return H5T_NATIVE_UINT8;
    case DType::u16:
      return H5T_NATIVE_UINT16;
    case DType::u32:
      return H5T_NATIVE_UINT32;
    case DType::u64:
      return H5T_NATIVE_UINT64;
  }
  TRM_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

hid_t file_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return H5T_IEEE_F32LE;
    case DType::f64:
      return H5T_IEEE_F64LE;
    case DType::f16:
      return half_type();
    case DType::bf16:
      return bf16_type();
    case DType::i32:
      return H5T_STD_I32LE;
    case DType::i64:
      return H5T_STD_I64LE;
    case DType::u8:
      return H5T_STD_U8LE;
    case DType::u16:
      return H5T_STD_U16LE;
    case DType::u32:
      return H5T_STD_U32LE;
    case DType::u64:
      return H5T_STD_U64LE;
  }
  TRM_CHECK(false, "dtype {}", static_cast<int>(dtype));
}

DType dtype_of(hid_t type, std::string_view where) {
  const H5T_class_t kind = H5Tget_class(type);
  const std::size_t size = H5Tget_size(type);
  if (kind == H5T_INTEGER) {
    const bool sign = H5Tget_sign(type) != H5T_SGN_NONE;
    if (sign && size == 4) return DType::i32;
    if (sign && size == 8) return DType::i64;
    if (!sign && size == 1) return DType::u8;
    if (!sign && size == 2) return DType::u16;
    if (!sign && size == 4) return DType::u32;
    if (!sign && size == 8) return DType::u64;
  }
  if (kind == H5T_FLOAT) {
    if (size == 8 && has_exponent(type, 11, 52)) return DType::f64;
    if (size == 4 && has_exponent(type, 8, 23)) return DType::f32;
    if (size == 2 && has_exponent(type, 5, 10)) return DType::f16;
    if (size == 2 && has_exponent(type, 8, 7)) return DType::bf16;
  }
  throw Error(fmt::format("{}: its element type is unknown to Trireme", where));
}

std::string version() {
  const auto lock = enter();
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  checked(H5get_libversion(&major, &minor, &release), "HDF5", "read its version");
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace trireme::h5
