// SPDX-License-Identifier: Apache-2.0
// Attributes. Texts have variable length. HDF5 stores such texts outside the object's header,
// which holds at most 64 KiB: too little for decks and tokenizers.
#include <algorithm>
#include <vector>

#include "trireme/h5/file.hpp"

#include "library.hpp"

namespace trireme::h5 {

namespace {

Id text_type() {
  Id type{checked(H5Tcopy(H5T_C_S1), "HDF5", "make a text type"), H5Tclose};
  checked(H5Tset_size(type, H5T_VARIABLE), "HDF5", "make a text type");
  checked(H5Tset_cset(type, H5T_CSET_UTF8), "HDF5", "make a text type");
  return type;
}

struct Writer {
  hid_t object;
  const std::string& name;
  const std::string& where;

  void put(hid_t file_type, hid_t memory_type, const Id& space, const void* data) const {
    const auto doing = fmt::format("write attribute {}", name);
    checked(space.operator hid_t(), where, doing);
    const Id attribute{
        H5Acreate2(object, name.c_str(), file_type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose};
    checked(attribute.operator hid_t(), where, doing);
    checked(H5Awrite(attribute, memory_type, data), where, doing);
  }
  void operator()(std::int64_t value) const {
    put(H5T_STD_I64LE, H5T_NATIVE_INT64, {H5Screate(H5S_SCALAR), H5Sclose}, &value);
  }
  void operator()(double value) const {
    put(H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, {H5Screate(H5S_SCALAR), H5Sclose}, &value);
  }
  void operator()(const std::string& value) const {
    TRM_REQUIRE(value.find('\0') == std::string::npos,
                "{}: attribute {} would hold a NUL character", where, name);
    const Id type = text_type();
    const char* text = value.c_str();
    put(type, type, {H5Screate(H5S_SCALAR), H5Sclose}, &text);
  }
  void operator()(const std::vector<std::int64_t>& values) const {
    const hsize_t n = values.size();
    put(H5T_STD_I64LE, H5T_NATIVE_INT64, {H5Screate_simple(1, &n, nullptr), H5Sclose},
        values.empty() ? &n : static_cast<const void*>(values.data()));  // must not be null
  }
};

/// An attribute opened for reading, with its type and number of elements.
struct Reader {
  Reader(hid_t object, const std::string& attribute_name, std::string object_name)
      : where(std::move(object_name)),
        name(attribute_name),
        attribute(open(object, name, where), H5Aclose),
        type(checked(H5Aget_type(attribute), where, "read an attribute's type"), H5Tclose),
        kind(H5Tget_class(type)) {
    const Id space{H5Aget_space(attribute), H5Sclose};
    count = checked(H5Sget_simple_extent_npoints(space), where, "read an attribute's shape");
  }

  static hid_t open(hid_t object, const std::string& name, const std::string& where) {
    TRM_REQUIRE(H5Aexists(object, name.c_str()) > 0, "{}: there is no attribute {}", where,
                name);
    return checked(H5Aopen(object, name.c_str(), H5P_DEFAULT), where,
                   fmt::format("open attribute {}", name));
  }
  void expect(bool fits, std::string_view what) const {
    TRM_REQUIRE(fits, "{}: attribute {} is not {}", where, name, what);
  }
  void get(hid_t memory_type, void* to) const {
    checked(H5Aread(attribute, memory_type, to), where, fmt::format("read attribute {}", name));
  }

  std::string where;
  std::string name;
  Id attribute;
  Id type;
  H5T_class_t kind;
  hssize_t count = 0;
};

}  // namespace

void Object::set_attribute(const std::string& name, const Attribute& value) {
  const auto lock = enter();
  if (has_attribute(name)) remove_attribute(name);
  std::visit(Writer{id(), name, where()}, value);
}

void Object::remove_attribute(const std::string& name) {
  const auto lock = enter();
  checked(H5Adelete(id(), name.c_str()), where(), fmt::format("remove attribute {}", name));
}

bool Object::has_attribute(const std::string& name) const {
  const auto lock = enter();
  return checked(H5Aexists(id(), name.c_str()), where(),
                 fmt::format("look for attribute {}", name)) > 0;
}

std::vector<std::string> Object::attribute_names() const {
  const auto lock = enter();
  std::vector<std::string> names;
  const auto keep = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  hsize_t at = 0;  // native order, as in Group::names
  checked(H5Aiterate2(id(), H5_INDEX_NAME, H5_ITER_NATIVE, &at, keep, &names), where(),
          "list attributes");
  std::ranges::sort(names);
  return names;
}

std::int64_t Object::integer(const std::string& name) const {
  const auto lock = enter();
  const Reader reader(id(), name, where());
  reader.expect(reader.kind == H5T_INTEGER && reader.count == 1, "an integer");
  std::int64_t value = 0;
  reader.get(H5T_NATIVE_INT64, &value);
  return value;
}

double Object::number(const std::string& name) const {
  const auto lock = enter();
  const Reader reader(id(), name, where());
  reader.expect((reader.kind == H5T_FLOAT || reader.kind == H5T_INTEGER) && reader.count == 1,
                "a number");
  double value = 0;
  reader.get(H5T_NATIVE_DOUBLE, &value);
  return value;
}

std::string Object::text(const std::string& name) const {
  const auto lock = enter();
  const Reader reader(id(), name, where());
  reader.expect(reader.kind == H5T_STRING && reader.count == 1, "a text");
  if (H5Tis_variable_str(reader.type) > 0) {
    char* text = nullptr;
    reader.get(reader.type, static_cast<void*>(&text));
    const std::unique_ptr<char, herr_t (*)(void*)> owner(text, H5free_memory);
    return text == nullptr ? std::string() : std::string(text);
  }
  std::string text(H5Tget_size(reader.type), '\0');
  reader.get(reader.type, text.data());
  text.resize(std::min(text.size(), text.find('\0')));
  return text;
}

std::vector<std::int64_t> Object::integers(const std::string& name) const {
  const auto lock = enter();
  const Reader reader(id(), name, where());
  reader.expect(reader.kind == H5T_INTEGER && reader.count >= 0, "a list of integers");
  std::vector<std::int64_t> values(static_cast<std::size_t>(reader.count));
  if (!values.empty()) reader.get(H5T_NATIVE_INT64, values.data());
  return values;
}

}  // namespace trireme::h5
