// SPDX-License-Identifier: Apache-2.0
// Prints muP's coordinate check, and writes the base model's widths.
#include "coordinates.hpp"

#include <algorithm>
#include <cerrno>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/core/regular_file.hpp"
#include "trireme/core/replacement.hpp"
#include "trireme/deck/load.hpp"
#include "trireme/deck/mup_file.hpp"
#include "trireme/deck/tokenizer.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/verify/coordinates.hpp"

#include "inputs.hpp"
#include "stop.hpp"

namespace trireme {

namespace {

const char* name_of(bool mup) { return mup ? "muP" : "standard"; }

std::vector<std::string> units_of(const std::vector<CoordinateRow>& rows) {
  std::vector<std::string> units;
  for (const CoordinateRow& row : rows) {
    if (std::ranges::find(units, row.unit) == units.end()) units.push_back(row.unit);
  }
  return units;
}

/// The sizes of each unit before the first update and after the last, with the exponents of
/// their growth.
void print_sizes(const std::vector<CoordinateRow>& rows, bool mup, int updates) {
  std::string header;
  std::vector<std::string> lines;
  for (const std::string& unit : units_of(rows)) {
    header.clear();
    std::string line;
    for (const CoordinateRow& row : rows) {
      if (row.mup != mup || row.updates != updates || row.unit != unit) continue;
      header += fmt::format(" {:>10}", row.width);
      line += fmt::format(" {:>10.4g}", row.size);
    }
    lines.push_back(fmt::format("{:<18}{}   {:+.2f}", unit, line,
                                growth_exponent(rows, mup, updates, unit)));
  }
  log::info("");
  log::info("{}, mean size after {} updates; growth is the exponent e of size ∝ width^e",
            name_of(mup), updates);
  log::info("{:<18}{}   growth", "hidden_size", header);
  for (const std::string& line : lines) log::info("{}", line);
}

/// The unit that grows most between two updates.
void print_worst(const std::vector<CoordinateRow>& rows, bool mup) {
  std::string worst;
  double most = -1e300;
  for (const std::string& unit : units_of(rows)) {
    const double e = growth_exponent(rows, mup, kCoordinateUpdates, unit);
    if (e > most) {
      most = e;
      worst = unit;
    }
  }
  log::info("verdict  {}: {} grows most, as width^{:.2f}", name_of(mup), worst, most);
}

std::string table_of(const std::vector<CoordinateRow>& rows) {
  std::string text = "parametrization,hidden_size,updates,unit,mean_size\n";
  for (const CoordinateRow& row : rows) {
    text += fmt::format("{},{},{},{},{}\n", name_of(row.mup), row.width, row.updates, row.unit,
                        row.size);
  }
  return text;
}

void write_table(const std::string& folder, const std::vector<CoordinateRow>& rows) {
  if (folder.empty()) return;
  const std::string path = folder + "/coord_check.csv";
  const int error = make_folder_of(path);
  TRM_REQUIRE_SYSTEM(error == 0, error, "cannot make the folder of {}", path);
  replace_text(path, table_of(rows), Durability::process);
  log::info("written  {}", path);
}

}  // namespace

void begin_mup(Deck& deck) {
  take_vocabulary(deck);
  if (deck.model.vocab_size == 0) {
    static_cast<void>(check_training_data(deck, DocumentCheck::none));
  }
  if (!deck.save_base_shapes) return;
  write_base_shapes(deck);
  log::info("written  the widths of this model: {}", deck.base_shapes_file);
}

int end_mup(const Deck& deck, const MpiSession& mpi) {
  restore_stop_signals();  // there is no run that is stopped
  if (!deck.coord_check) return 0;
  Communicator& world = mpi.world();
  const Engine engine(deck, mpi);
  const Mesh mesh = engine.mesh(mesh_shape(deck, world.size()), world);
  if (world.rank() == 0) {
    log::info("coordinate check with one synthetic batch, at a constant lr of {}",
              deck.optimizer.peak_lr);
    print_mesh(deck, mesh.shape);
  }
  CoordinateSetup setup{.ex = engine.exec(), .deck = deck, .mesh = mesh};
  setup.progress = [](const std::string& line) { log::info("{}", line); };
  const std::vector<CoordinateRow> rows = measure_coordinates(setup);
  collectively(world, [&] {
    if (world.rank() != 0) return;
    for (const bool mup : {false, true}) {
      for (const int updates : {0, kCoordinateUpdates}) print_sizes(rows, mup, updates);
    }
    log::info("");
    for (const bool mup : {false, true}) print_worst(rows, mup);
    write_table(deck.run_folder(), rows);
  });
  return 0;
}

}  // namespace trireme
