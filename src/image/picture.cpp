// SPDX-License-Identifier: Apache-2.0
// Decodes pictures with libpng and libjpeg, both of which are optional.
#include "picture.hpp"

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <string_view>

#ifdef TRIREME_PNG
#include <png.h>
#endif
#ifdef TRIREME_JPEG
#include <jpeglib.h>
#endif

#include "trireme/core/error.hpp"

#include "packed_bytes.hpp"

namespace trireme {

namespace {

using Bytes = std::vector<std::uint8_t>;

void require_size(const std::string& path, std::int64_t rows, std::int64_t columns) {
  TRM_REQUIRE(rows > 0 && columns > 0 && rows <= kMostPictureBytes / 3 / columns,
              "{}: {} × {} pixels; {} bytes are possible", path, rows, columns,
              kMostPictureBytes);
}

#ifdef TRIREME_PNG
Picture read_png(const std::string& path, const Bytes& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const auto require = [&](int done) {
    const std::string why = image.message;
    if (done == 0) png_image_free(&image);
    TRM_REQUIRE(done != 0, "{}: cannot decode this PNG file: {}", path, why);
  };
  require(png_image_begin_read_from_memory(&image, file.data(), file.size()));
  Picture p{.rows = image.height, .columns = image.width};
  const bool colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  p.channels = colour ? 3 : 1;
  const auto error = failure_of([&] { require_size(path, p.rows, p.columns); });
  if (error) {
    png_image_free(&image);
    throw *error;
  }
  p.bytes.resize(PNG_IMAGE_SIZE(image));
  const png_color black{0, 0, 0};
  require(png_image_finish_read(&image, &black, p.bytes.data(), 0, nullptr));
  return p;
}
#else
Picture read_png(const std::string& path, const Bytes&) {
  throw Error(
      fmt::format("{}: this program was built without libpng, which decodes PNG files", path));
}
#endif

#ifdef TRIREME_JPEG
/// libjpeg reports errors by a call that must not return.
struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> text;
};

void leave(j_common_ptr about) {
  auto* errors = reinterpret_cast<JpegErrors*>(about->err);
  errors->manager.format_message(about, errors->text.data());
  std::longjmp(errors->back, 1);
}

/// Fills in `p`. False: errors.text says why not. No object with a destructor lives here.
bool decode_jpeg(const Bytes& file, JpegErrors& errors, Picture& p) {
  jpeg_decompress_struct reader;
  reader.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = leave;
  errors.manager.output_message = [](j_common_ptr) {};
  if (setjmp(errors.back) != 0) {
    jpeg_destroy_decompress(&reader);
    return false;
  }
  jpeg_create_decompress(&reader);
  jpeg_mem_src(&reader, file.data(), file.size());
  (void)jpeg_read_header(&reader, TRUE);
  reader.out_color_space = reader.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  p.rows = reader.image_height;
  p.columns = reader.image_width;
  p.channels = reader.num_components == 1 ? 1 : 3;
  const bool fits = p.rows > 0 && p.columns > 0 && p.rows <= kMostPictureBytes / 3 / p.columns;
  if (fits) {
    (void)jpeg_start_decompress(&reader);
    p.bytes.resize(static_cast<std::size_t>(p.rows * p.columns * p.channels));
    while (reader.output_scanline < reader.output_height) {
      JSAMPROW row = p.bytes.data() + static_cast<std::size_t>(reader.output_scanline) *
                                          static_cast<std::size_t>(p.columns * p.channels);
      (void)jpeg_read_scanlines(&reader, &row, 1);
    }
    (void)jpeg_finish_decompress(&reader);
  }
  jpeg_destroy_decompress(&reader);
  return true;
}

Picture read_jpeg(const std::string& path, const Bytes& file) {
  Picture p;
  JpegErrors errors{};
  TRM_REQUIRE(decode_jpeg(file, errors, p), "{}: cannot decode this JPEG file: {}", path,
              errors.text.data());
  require_size(path, p.rows, p.columns);
  TRM_REQUIRE(errors.manager.num_warnings == 0, "{}: this JPEG file is damaged", path);
  return p;
}
#else
Picture read_jpeg(const std::string& path, const Bytes&) {
  throw Error(fmt::format(
      "{}: this program was built without libjpeg, which decodes JPEG files", path));
}
#endif

bool begins(const Bytes& bytes, std::string_view text) {
  return bytes.size() >= text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin(),
                    [](char c, std::uint8_t b) { return static_cast<std::uint8_t>(c) == b; });
}

}  // namespace

Picture read_picture(const std::string& path) {
  const Bytes bytes = unpacked_bytes(path, kMostPictureBytes);
  if (begins(bytes, "\x89PNG\r\n\x1a\n")) return read_png(path, bytes);
  if (begins(bytes, "\xff\xd8\xff")) return read_jpeg(path, bytes);
  throw Error(fmt::format("{}: expected a PNG or JPEG file", path));
}

}  // namespace trireme
