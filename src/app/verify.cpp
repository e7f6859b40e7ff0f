// SPDX-License-Identifier: Apache-2.0
// `trireme verify`: loads a deck, holds its layout against one rank, and prints the result.
#include "verify.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>

#include <nlohmann/json.hpp>

#include "trireme/comm/collectively.hpp"
#include "trireme/core/log.hpp"
#include "trireme/host/build_info.hpp"
#include "trireme/host/engine.hpp"
#include "trireme/host/progress.hpp"
#include "trireme/verify/verify.hpp"

#include "inputs.hpp"
#include "restore.hpp"

namespace trireme {

namespace {

constexpr std::size_t kWorst = 10;  // rows printed without --all

[[nodiscard]] bool names_data(const Deck& deck) {
  return !deck.data_path.empty() || !deck.train_data_paths.empty();
}

/// Checks on rank 0 what a verification needs. Unlike a run, it writes no files, and it can do
/// without data.
void check_deck(Deck& deck, LoadSource& load) {
  TRM_REQUIRE(!deck.model.is_perceptron(),
              "verify compares the layers of transformers; for a deck with mlp_sizes, compare "
              "the losses of two runs");
  const auto left_out = stop_growth(deck);
  if (!left_out.empty()) {
    log::info("verify compares whole steps, and leaves out {}", fmt::join(left_out, ", "));
  }
  TRM_REQUIRE(deck.model.task != Task::sequence_classification || names_data(deck) ||
                  deck.model.num_labels > 0,
              "verify makes labels of its own for a deck without data: set num_labels");
  std::string data;
  if (names_data(deck)) data = check_training_data(deck);
  load = LoadSource(deck, data);
  (void)load.next(deck);
}

/// Tokens for ranks that read some: the deck's, or synthetic ones.
class VerifyTokens {
 public:
  VerifyTokens(const Deck& deck, const Mesh& mesh) {
    collectively(*mesh.world, [&] {
      if (!names_data(deck)) {
        synthetic_.emplace(deck.model.vocab_size, deck.model.task, deck.model.sample().inputs,
                           deck.model.num_labels, deck.seed);
      } else if (BatchLayout(deck, mesh).needs_tokens()) {
        samples_ = open_samples(deck, Part::train, DocumentCheck::none);
      }
    });
  }
  [[nodiscard]] const SampleSource* source() const {
    if (synthetic_) return &*synthetic_;
    return samples_ ? &*samples_ : nullptr;
  }

 private:
  std::optional<Samples> samples_;
  std::optional<SyntheticSamples> synthetic_;
};

/// "[0:16, 8:12]".
std::string box_text(const Box& box) {
  std::string text;
  for (int a = 0; a < box.offset.rank(); ++a) {
    text += fmt::format("{}{}:{}", a == 0 ? "" : ", ", box.offset[a],
                        box.offset[a] + box.extent[a]);
  }
  return '[' + text + ']';
}

/// The rank with its coordinates, the box that it holds, and the element.
std::string where_text(const VerifyRow& row, const MeshShape& mesh) {
  if (row.kind == VerifyKind::loss) return "all ranks";
  const MeshIndex at = index_of(mesh, row.rank);
  return fmt::format("rank {} (dp {}, tp {}, pp {}), box {} at {}", row.rank, at.dp, at.tp,
                     at.pp, box_text(row.box), row.at.str());
}

void print_rows(const VerifyReport& report, const MeshShape& mesh, bool all) {
  const std::size_t count = all ? report.rows.size() : std::min(kWorst, report.rows.size());
  std::size_t width = std::string_view("tensor").size();
  for (std::size_t i = 0; i < count; ++i) width = std::max(width, report.rows[i].tensor.size());
  log::info("");
  log::info("kind      step  {:<{}}  difference    bound  where", "tensor", width);
  for (std::size_t i = 0; i < count; ++i) {
    const VerifyRow& row = report.rows[i];
    log::info("{:<8}  {:>4}  {:<{}}  {:>10.2e}  {:>7.0e}  {}", name_of(row.kind), row.step,
              row.tensor, width, row.difference, row.bound, where_text(row, mesh));
  }
  if (count < report.rows.size()) {
    log::info("… and {} that differ less; --all prints them", report.rows.size() - count);
  }
}

std::vector<const VerifyRow*> first_rows(const VerifyReport& report) {
  std::vector<const VerifyRow*> firsts;
  for (int k = 0; k < kVerifyKinds; ++k) {
    const VerifyRow* row = report.first(static_cast<VerifyKind>(k));
    if (row != nullptr) firsts.push_back(row);
  }
  std::ranges::stable_sort(firsts, {}, [](const VerifyRow* row) { return row->step; });
  return firsts;
}

/// What differs first, by kind, in the order in which a run computes.
void print_firsts(const VerifyReport& report, const MeshShape& mesh) {
  for (const VerifyRow* row : first_rows(report)) {
    const char* order = row->kind == VerifyKind::gradient ? " in backward order" : "";
    log::info("first {}{} that differs: {}, step {}: {:.6g} instead of {:.6g}, {}",
              name_of(row->kind), order, row->tensor, row->step, row->got, row->expected,
              where_text(*row, mesh));
  }
}

void print_verdict(const VerifyReport& report, const MeshShape& mesh) {
  const auto differing = std::ranges::count_if(report.rows, &VerifyRow::differs);
  if (report.agrees) {
    log::info("verdict  {} computes what one rank computes: {} comparisons within the bounds",
              mesh_text(mesh), report.rows.size());
  } else {
    log::info(
        "verdict  {} does NOT compute what one rank computes: {} of {} comparisons "
        "exceed their bounds",
        mesh_text(mesh), differing, report.rows.size());
  }
}

nlohmann::ordered_json to_json(const VerifyRow& row) {
  const auto list = [](const Shape& s) {
    return std::vector<std::int64_t>(s.extents().begin(), s.extents().end());
  };
  return {{"kind", name_of(row.kind)},
          {"tensor", row.tensor},
          {"step", row.step},
          {"difference", row.difference},
          {"bound", row.bound},
          {"differs", row.differs()},
          {"rank", row.rank},
          {"box", {{"offset", list(row.box.offset)}, {"extent", list(row.box.extent)}}},
          {"element", list(row.at)},
          {"got", row.got},
          {"expected", row.expected}};
}

/// Numbers that are not finite become null.
void write_json(const std::string& file, const VerifyReport& report, const MeshShape& mesh) {
  nlohmann::ordered_json object{{"version", kVersion},
                                {"agrees", report.agrees},
                                {"ranks", mesh.size()},
                                {"mesh", {{"dp", mesh.dp}, {"tp", mesh.tp}, {"pp", mesh.pp}}},
                                {"bounds", nlohmann::ordered_json::object()},
                                {"notes", report.notes},
                                {"first", nlohmann::ordered_json::array()},
                                {"rows", nlohmann::ordered_json::array()}};
  for (int k = 0; k < kVerifyKinds; ++k) {
    const auto kind = static_cast<VerifyKind>(k);
    object["bounds"][name_of(kind)] = report.bounds.of(kind);
  }
  for (const VerifyRow* row : first_rows(report)) object["first"].push_back(to_json(*row));
  for (const VerifyRow& row : report.rows) object["rows"].push_back(to_json(row));
  std::ofstream out(file);
  out << object.dump(2) << '\n';
  TRM_REQUIRE(out.good(), "cannot write {}", file);
}

void print_start(const Deck& deck, const Mesh& mesh, const VerifyOptions& options) {
  log::info("Trireme {}, verifying {} steps on {} rank{} against one rank", kVersion,
            options.steps, mesh.world->size(), mesh.world->size() == 1 ? "" : "s");
  print_mesh(deck, mesh.shape);
  print_model(deck, mesh.shape);
  if (!names_data(deck)) log::info("data     synthetic tokens: the deck names no data");
  if (deck.cuda_graphs) {
    log::info("graphs   off while verifying: cuda_graphs hides the outputs of units");
  }
  log::info("memory   the reference takes {:.1f} MB of host memory on rank 0",
            megabytes(reference_bytes(deck, mesh.shape, options.steps)));
}

}  // namespace

int verify(const DeckSource& source, const VerifyOptions& options, const MpiSession& mpi) {
  Communicator& world = mpi.world();
  LoadSource load;
  const Deck deck = load_deck(source, world, [&](Deck& d) { check_deck(d, load); });
  const Engine engine(deck, mpi);
  const Mesh mesh = engine.mesh(mesh_shape(deck, world.size()), world);
  const auto self = make_self_communicator();
  std::optional<Mesh> alone;
  if (world.rank() == 0) {
    alone.emplace(engine.mesh({1, 1, 1}, *self));
    print_start(deck, mesh, options);
  }
  const VerifyTokens tokens(deck, mesh);
  VerifySetup setup{.ex = engine.exec(),
                    .deck = deck,
                    .mesh = mesh,
                    .alone = alone ? &*alone : nullptr,
                    .data = tokens.source(),
                    .steps = options.steps};
  setup.progress = [](const std::string& line) { log::info("{}", line); };
  setup.start = [&](Trainer& trainer, const Mesh& on) -> VerifySetup::Position {
    LoadSource own = load;  // each run looks for the best checkpoint itself
    const RunPosition at = restore(deck, own, *on.world, trainer);
    return {at.iteration, at.samples};
  };
  const VerifyReport report = verify_layout(setup);
  if (world.rank() == 0) {
    print_rows(report, mesh.shape, options.all);
    log::info("");
    for (const std::string& note : report.notes) log::info("note     {}", note);
    print_firsts(report, mesh.shape);
    print_verdict(report, mesh.shape);
    if (!options.json.empty()) write_json(options.json, report, mesh.shape);
  }
  return report.agrees ? 0 : 1;
}

}  // namespace trireme
