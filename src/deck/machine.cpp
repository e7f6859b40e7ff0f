// SPDX-License-Identifier: Apache-2.0
// Reads machine files.
#include "trireme/deck/machine.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>

#include "trireme/core/printable.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/deck/tree.hpp"

namespace trireme {

namespace {

using deck::fail;
using deck::Value;

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;
constexpr double kMicro = 1e-6;

struct Suffix {
  std::string_view name;
  double bytes;
};
constexpr std::array<Suffix, 10> kSuffixes = {{{"", 1},
                                               {"B", 1},
                                               {"KB", 1e3},
                                               {"MB", 1e6},
                                               {"GB", 1e9},
                                               {"TB", 1e12},
                                               {"KiB", 1024.0},
                                               {"MiB", 1048576.0},
                                               {"GiB", 1073741824.0},
                                               {"TiB", 1099511627776.0}}};

/// The number that a text begins with, and what follows it.
struct Amount {
  double number = 0;
  std::string rest;
};
Amount amount_of(const std::string& text) {
  Amount a;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), a.number);
  if (error != std::errc()) return {-1, text};
  a.rest = text.substr(static_cast<std::size_t>(end - text.data()));
  a.rest.erase(0, a.rest.find_first_not_of(' '));
  return a;
}

double number_of(const Value& v, std::string_view key, double least) {
  const Amount a = v.kind == Value::Kind::scalar ? amount_of(v.text) : Amount{-1, ""};
  if (!a.rest.empty() || !std::isfinite(a.number) || a.number < least) {
    fail(v.place, "{}: {} is not a number of at least {}", key, v.str(), least);
  }
  return a.number;
}

/// Reads the keys of one dictionary, and refuses those that no reader asked for.
class Reader {
 public:
  Reader(const Value& map, std::string path) : map_(map), path_(std::move(path)) {
    if (map.kind != Value::Kind::map) fail(map.place, "{} must be a dictionary", path_);
  }
  ~Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  [[nodiscard]] const Value* find(const std::string& key) {
    known_.push_back(key);
    return map_.find(key);
  }
  [[nodiscard]] const Value& require(const std::string& key) {
    const Value* v = find(key);
    if (v == nullptr) fail(map_.place, "{}.{} is missing", path_, key);
    return *v;
  }
  /// A number above 0, in units of `unit`.
  void positive(const std::string& key, double unit, double& to) {
    const Value& v = require(key);
    const double x = number_of(v, name(key), 0);
    if (x == 0) fail(v.place, "{} must be above 0", name(key));
    to = x * unit;
  }
  void optional(const std::string& key, double unit, double& to) {
    if (const Value* v = find(key)) to = number_of(*v, name(key), 0) * unit;
  }
  void share(const std::string& key, double& to) {
    optional(key, 1, to);
    if (to > 1) fail(require(key).place, "{}: {} is above 1", name(key), to);
  }
  [[nodiscard]] std::string name(const std::string& key) const { return path_ + "." + key; }
  void finish() const {
    for (const deck::Entry& e : map_.entries) {
      if (std::ranges::find(known_, e.key) == known_.end()) {
        fail(e.place, "unknown key {}; known here: {}", name(e.key), fmt::join(known_, ", "));
      }
    }
  }

 private:
  const Value& map_;
  std::string path_;
  std::vector<std::string> known_;
};

Link read_link(Reader& links, const std::string& key) {
  Reader r(links.require(key), links.name(key));
  Link link;
  r.positive("bandwidth", kGiga, link.bandwidth);
  r.optional("latency", kMicro, link.latency);
  r.finish();
  return link;
}

}  // namespace

std::int64_t parse_bytes(const std::string& text) {
  const Amount a = amount_of(text);
  for (const Suffix& s : kSuffixes) {
    const double bytes = a.number * s.bytes;
    if (a.rest == s.name && bytes >= 0 && bytes < 9e18) {
      return static_cast<std::int64_t>(bytes);
    }
  }
  throw Error(fmt::format("\"{}\" is not a size such as 80GiB, 512MB or 1024", text));
}

Machine parse_machine(const std::string& text, const std::string& name) {
  const Value tree = deck::parse_tree(text, name);
  Reader file(tree, name);
  Reader r(file.require("machine"), "machine");
  file.finish();
  Machine m;
  if (const Value* v = r.find("name")) m.name = printable(v->text);
  if (const Value* v = r.find("device")) {
    if (v->text != "cpu" && v->text != "cuda") {
      fail(v->place, "machine.device: {} is neither cpu nor cuda", v->str());
    }
    m.has_gpus = v->text == "cuda";
  }
  Reader rates(r.require("gemm_tflops"), "machine.gemm_tflops");
  rates.positive("fp32", kTera, m.gemm_fp32);
  rates.positive("bf16", kTera, m.gemm_half);
  rates.finish();
  r.optional("attention_share", 1, m.attention_share);
  if (m.attention_share == 0) fail(tree.place, "machine.attention_share must be above 0");
  r.positive("memory_bandwidth", kGiga, m.memory_bandwidth);
  r.optional("kernel_latency", kMicro, m.kernel_seconds);
  r.share("overlap", m.overlap);
  Reader links(r.require("link"), "machine.link");
  m.node = read_link(links, "node");
  m.network = read_link(links, "network");
  links.finish();
  double ranks = 1;
  r.positive("ranks_per_node", 1, ranks);
  if (ranks != std::floor(ranks) || ranks > 1e6) {
    fail(r.require("ranks_per_node").place, "machine.ranks_per_node: {} ranks", ranks);
  }
  m.ranks_per_node = static_cast<int>(ranks);
  if (const Value* v = r.find("device_memory")) {
    try {
      m.device_memory = parse_bytes(v->text);
    } catch (const Error& e) {
      fail(v->place, "machine.device_memory: {}", e.what());
    }
  }
  r.optional("watts", 1, m.watts);
  r.finish();
  return m;
}

Machine read_machine(const std::string& path) { return parse_machine(read_file(path), path); }

}  // namespace trireme
