// SPDX-License-Identifier: Apache-2.0
// Prints the resolved deck and the model's tensors.
#include "check.hpp"

#include <algorithm>
#include <sstream>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/figures.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/model/transformer.hpp"

#include "inputs.hpp"

namespace trireme {

namespace {

struct TensorRow {
  std::string name;
  std::string shape;
  std::int64_t parameters = 0;
};

/// The tensors of one unit. The matrix of a tied output layer counts with the embedding.
std::vector<TensorRow> rows_of(const ModelConfig& config, UnitKind kind,
                               std::int64_t layer = 0) {
  std::vector<TensorRow> rows;
  visit_unit(
      config, kind,
      [&](const Parameter& p) {
        if (p.role == ParameterRole::tied_copy) return;
        std::string name = p.name;
        constexpr std::string_view kFirst = "layers.0.";
        if (name.starts_with(kFirst) && !config.is_perceptron()) {
          name.replace(0, kFirst.size(), "layers.N.");
        }
        rows.push_back({name, p.global_shape.str(), p.global_shape.count()});
      },
      layer);
  return rows;
}

struct ModelTensors {
  std::string part;
  std::int64_t units = 1;
  std::vector<TensorRow> rows;
  [[nodiscard]] std::int64_t parameters() const {
    std::int64_t n = 0;
    for (const TensorRow& row : rows) n += row.parameters;
    return n * units;
  }
};

std::vector<ModelTensors> parts_of(const ModelConfig& config) {
  std::vector<ModelTensors> parts;
  if (config.is_perceptron()) {
    for (std::int64_t i = 0; i + 1 < config.num_layers; ++i) {
      parts.push_back({fmt::format("layer {}", i), 1, rows_of(config, UnitKind::layer, i)});
    }
    parts.push_back({"output layer", 1, rows_of(config, UnitKind::head)});
    return parts;
  }
  parts = {{"embedding", 1, rows_of(config, UnitKind::embedding)},
           {fmt::format("{} layers", config.num_layers), config.num_layers,
            rows_of(config, UnitKind::layer)}};
  if (config.has_final_norm()) {
    parts.push_back({config.transforms_output() ? "output transform" : "final norm", 1,
                     rows_of(config, UnitKind::norm)});
  }
  parts.push_back({config.pools_rows()    ? "classifier"
                   : config.ties_output() ? "output layer, tied to the embedding"
                                          : "output layer",
                   1, rows_of(config, UnitKind::head)});
  return parts;
}

}  // namespace

std::vector<std::string> tensor_table(const ModelConfig& config) {
  const std::vector<ModelTensors> parts = parts_of(config);
  std::size_t widest = 0;
  std::int64_t total = 0;
  for (const ModelTensors& part : parts) {
    total += part.parameters();
    for (const TensorRow& row : part.rows) widest = std::max(widest, row.name.size());
  }
  std::vector<std::string> lines = {
      fmt::format("tensors  {} parameters ({})", grouped(total), count_text(total))};
  for (const ModelTensors& part : parts) {
    lines.push_back(fmt::format(
        "{}: {} parameters, {:.1f} %{}", part.part, grouped(part.parameters()),
        100 * static_cast<double>(part.parameters()) / static_cast<double>(total),
        part.units > 1 ? fmt::format(", {} a layer", grouped(part.parameters() / part.units))
                       : ""));
    for (const TensorRow& row : part.rows) {
      lines.push_back(fmt::format("  {:<{}}  {:<16} {:>15}", row.name, widest, row.shape,
                                  grouped(row.parameters)));
    }
  }
  return lines;
}

namespace {

/// What rank 0 does.
void check_and_print(const DeckSource& source, const Communicator& world) {
  Deck deck = read_deck(source.files, source.overrides);
  resolve(deck, world.size());
  for (const std::string& w : deck.warnings) log::warn("{}", w);
  (void)check_data(deck);
  resolve(deck, world.size());  // the vocabulary can change where layers are partitioned
  log::info("# Trireme {}, the resolved deck for {} rank{}, {}", kVersion, world.size(),
            world.size() == 1 ? "" : "s", mesh_text(mesh_shape(deck, world.size())));
  std::istringstream lines(to_yaml(deck));
  for (std::string line; std::getline(lines, line);) log::info("{}", line);
  for (const std::string& line : tensor_table(deck.model)) log::info("{}", line);
}

}  // namespace

int check_deck(const DeckSource& source, Communicator& world) {
  collectively(world, [&] {
    if (world.rank() == 0) check_and_print(source, world);
  });
  return 0;
}

}  // namespace trireme
