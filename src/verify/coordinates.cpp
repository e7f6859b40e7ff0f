// SPDX-License-Identifier: Apache-2.0
// Trains models of several widths, and measures the outputs of their units.
#include "trireme/verify/coordinates.hpp"

#include <cmath>

#include "trireme/deck/stage_bounds.hpp"
#include "trireme/model/mup.hpp"
#include "trireme/train/trainer.hpp"

#include "compare.hpp"

namespace trireme {

namespace {

/// Adds up sizes of outputs, and counts elements, by the unit's number in the model.
class SizeRecorder final : public UnitObserver {
 public:
  SizeRecorder(const Exec& ex, const Deck& deck, const Mesh& mesh)
      : ex_(ex),
        mesh_(mesh),
        bounds_(stage_bounds(deck)),
        units_(static_cast<std::size_t>(bounds_.back())),
        sums_(2 * units_) {}

  void use_parts(const std::vector<std::unique_ptr<ModelPart>>& parts) { parts_ = &parts; }

  void observe(const UnitUse& use, Module& /*unit*/, const Tensor& output) override {
    if (!use.training) return;
    if (output.defined()) add(number(use), output);
    if (number(use) + 2 == units_) before_head_ = output;
  }

  /// The head's values are bound here, as they are during its pass.
  void after(const UnitUse& use, Module& /*unit*/) override {
    const bool head = number(use) + 1 == units_ && use.pass == UnitUse::Pass::forward;
    if (!head || !use.training || !before_head_.defined()) return;
    add(units_ - 1, (*parts_)[use.part]->head_logits(ex_, before_head_));
    before_head_ = {};
  }

  /// The mean sizes by unit, over all ranks; below 0 for a unit without output. Collective.
  std::vector<double> take() {
    mesh_.world->all_reduce(
        View(sums_.data(), DType::f64, Shape{static_cast<std::int64_t>(sums_.size())}),
        Reduction::sum);
    std::vector<double> means;
    for (std::size_t u = 0; u < units_; ++u) {
      means.push_back(sums_[2 * u + 1] > 0 ? sums_[2 * u] / sums_[2 * u + 1] : -1);
    }
    std::ranges::fill(sums_, 0);
    return means;
  }

 private:
  [[nodiscard]] std::size_t number(const UnitUse& use) const {
    const int part = model_part(mesh_.at.pp, static_cast<int>(use.part), mesh_.shape.pp);
    return static_cast<std::size_t>(bounds_[static_cast<std::size_t>(part)]) + use.unit;
  }

  void add(std::size_t unit, const Tensor& x) {
    double sum = 0;
    for (const float element : to_host(ex_, x)) sum += std::abs(static_cast<double>(element));
    sums_[2 * unit] += sum;
    sums_[2 * unit + 1] += static_cast<double>(x.count());
  }

  const Exec& ex_;
  const Mesh& mesh_;
  std::vector<int> bounds_;
  std::size_t units_;
  std::vector<double> sums_;  ///< Σ |x| and the number of elements, by unit
  Tensor before_head_;
  const std::vector<std::unique_ptr<ModelPart>>* parts_ = nullptr;
};

std::string unit_name(std::size_t unit, std::size_t units) {
  if (unit == 0) return "embed_in";
  if (unit + 1 == units) return "logits";
  if (unit + 2 == units) return "final_layer_norm";
  return fmt::format("layers.{}", unit - 1);
}

void measure(const CoordinateSetup& setup, const Deck& deck, std::vector<CoordinateRow>& rows) {
  PhaseClock clock;
  SizeRecorder recorder(setup.ex, deck, setup.mesh);
  Trainer trainer(setup.ex, deck, setup.mesh, clock);
  recorder.use_parts(trainer.parts());
  trainer.add_observer(recorder);
  const SyntheticSamples data(deck.model.vocab_size, deck.model.seq_length, deck.seed);
  const auto tokens = trainer.layout().needs_tokens()
                          ? read_samples(data, trainer.layout().runs(0))
                          : std::vector<std::int32_t>();
  for (int updates = 0; updates <= kCoordinateUpdates; ++updates) {
    trainer.step(updates + 1, 0, tokens);
    trainer.wait_for_values();
    static_cast<void>(trainer.collect());
    trainer.report();
    const std::vector<double> sizes = recorder.take();
    for (std::size_t u = 0; u < sizes.size(); ++u) {
      if (sizes[u] < 0) continue;
      rows.push_back({deck.model.mup.enabled, deck.model.hidden_size, updates,
                      unit_name(u, sizes.size()), sizes[u]});
    }
  }
  setup.ex.device.trim();
}

}  // namespace

Deck coordinate_deck(const Deck& deck, std::int64_t times, bool mup) {
  const ModelConfig base = mup_base_model(deck.model);
  Deck wide = deck;
  ModelConfig& model = wide.model;
  model = base;
  model.hidden_size *= times;
  model.intermediate_size *= times;
  if (base.num_attention_heads == deck.model.num_attention_heads) {
    model.kv_channels *= times;
  } else {
    model.kv_channels = base.head_dim();
    model.num_attention_heads *= times;
    model.num_kv_heads *= times;
  }
  if (mup) {
    model.mup = deck.model.mup;
    const MupConfig widths = mup_widths_of(base);
    model.mup.hidden_size = widths.hidden_size;
    model.mup.num_attention_heads = widths.num_attention_heads;
    model.mup.num_kv_heads = widths.num_kv_heads;
    model.mup.kv_channels = widths.kv_channels;
    model.mup.mlp_width = widths.mlp_width;
  }
  wide.train_iters = kCoordinateUpdates + 1;
  wide.train_samples = 0;
  wide.schedule = {};
  wide.schedule.lr = deck.optimizer.peak_lr;
  wide.schedule.warmup = 0;
  wide.schedule.lr_decay_iters = wide.train_iters;
  wide.schedule.lr_decay_style = DecayStyle::constant;
  wide.coord_check = false;
  wide.cuda_graphs = false;  // they hide outputs
  wide.ema = {};
  wide.noise_scale = {};
  stop_growth(wide);
  return wide;
}

std::vector<CoordinateRow> measure_coordinates(const CoordinateSetup& setup) {
  TRM_REQUIRE(setup.deck.model.task == Task::language_model,
              "coord_check: true measures language models: leave out task");
  std::vector<CoordinateRow> rows;
  for (const bool mup : {true, false}) {
    for (const std::int64_t times : setup.widths) {
      Deck deck = coordinate_deck(setup.deck, times, mup);
      resolve(deck, setup.mesh.world->size());
      if (setup.progress && setup.mesh.world->rank() == 0) {
        setup.progress(fmt::format("{} parametrization, hidden_size {}",
                                   mup ? "muP's" : "the standard", deck.model.hidden_size));
      }
      measure(setup, deck, rows);
    }
  }
  return rows;
}

double growth_exponent(std::span<const CoordinateRow> rows, bool mup, int updates,
                       const std::string& unit) {
  double n = 0;
  double x = 0;
  double y = 0;
  double xx = 0;
  double xy = 0;
  for (const CoordinateRow& row : rows) {
    if (row.mup != mup || row.updates != updates || row.unit != unit) continue;
    const double width = std::log(static_cast<double>(row.width));
    const double size = std::log(row.size);
    n += 1;
    x += width;
    y += size;
    xx += width * width;
    xy += width * size;
  }
  const double spread = n * xx - x * x;
  return n < 2 || spread == 0 ? 0 : (n * xy - x * y) / spread;
}

}  // namespace trireme
