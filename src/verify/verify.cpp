// SPDX-License-Identifier: Apache-2.0
// Runs reference and layout, and compares step by step.
#include "trireme/verify/verify.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "trireme/comm/collectively.hpp"
#include "trireme/model/trained.hpp"
#include "trireme/optim/optimizer_table.hpp"
#include "trireme/optim/width_rate.hpp"

#include "reference.hpp"

namespace trireme {

namespace {

/// One name and its extents a line.
std::string to_text(const std::vector<NamedShape>& names) {
  std::string text;
  for (const NamedShape& n : names) {
    text +=
        fmt::format("{} {} {}\n", n.name, n.trains ? 1 : 0, fmt::join(n.shape.extents(), " "));
  }
  return text;
}

std::vector<NamedShape> from_text(const std::string& text) {
  std::vector<NamedShape> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    int trains = 1;
    words >> name >> trains;
    std::vector<std::int64_t> extents;
    for (std::int64_t x = 0; words >> x;) extents.push_back(x);
    names.push_back({name, Shape(extents), trains != 0});
  }
  return names;
}

/// The factor on gradients in the reference's update, as ops/step_state.hpp computes it.
double update_factor(const OptimizerConfig& optimizer, const Trainer::StepResult& step) {
  const double clip = optimizer.gradient_clipping;
  const double most = step.gradient_norm + 1e-6;
  return (clip > 0 && clip < most ? clip / most : 1) / step.loss_scale;
}

/// muP's largest factor of a parameter's learning rate, at least 1.
double largest_rate_factor(const Deck& deck) {
  double most = 1;
  visit_model(deck.model, [&](int, const Parameter& p) {
    most = std::max(most, width_rate(deck.optimizer.kind, p.width));
  });
  return most;
}

/// The layout's run on this rank, and its comparison with the reference.
class Verification {
 public:
  explicit Verification(const VerifySetup& setup)
      : setup_(setup), world_(*setup.mesh.world), deck_(setup.deck) {
    const OptimizerKind kind = deck_.optimizer.kind;
    TRM_REQUIRE(
        kind == OptimizerKind::adamw || kind == OptimizerKind::adam ||
            kind == OptimizerKind::sgd,
        "verify knows how far rounding moves the parameters of AdamW, Adam and SGD, but "
        "not those of {}: name one of the three, as in optimizer.type=AdamW",
        optimizer_row(kind).name);
    TRM_REQUIRE(!deck_.optimizer.eight_bit,
                "verify doesn't know how far moments of 8 bits move the parameters: add "
                "use_bnb_optimizer=false");
    TRM_REQUIRE(!deck_.zero.quantized_weights,
                "verify doesn't know how far quantized gathers move the parameters: add "
                "zero_optimization.zero_quantized_weights=false");
    deck_.zero.offload = {};  // changes no bit, and arrays in memory are compared
    // A graph doesn't show what its units computed.
    deck_.cuda_graphs = false;
    report_.bounds = verify_bounds(deck_.types);
    slack_.optimizer = deck_.optimizer.kind;
    rate_factor_ = largest_rate_factor(deck_);
  }

  VerifyReport run() {
    train_reference();
    VerifiedRun layout(
        setup_, deck_, setup_.mesh,
        setup_.parts ? setup_.parts() : build_parts(setup_.ex, deck_, setup_.mesh), 1);
    for (int s = 1; s <= setup_.steps; ++s) {
      const double begin = now();
      const Trainer::StepResult result = layout.step();
      compare_step(s, result, layout);
      if (setup_.progress && world_.rank() == 0) {
        setup_.progress(fmt::format("layout     step {} of {}: loss {:.6f}, {:.2f} s", s,
                                    setup_.steps, result.loss, now() - begin));
      }
    }
    finish();
    return std::move(report_);
  }

 private:
  void train_reference() {
    const Deck alone = reference_deck(deck_, setup_.mesh.shape);
    collectively(world_, [&] {
      if (world_.rank() != 0) return;
      reference_ = trireme::train_reference(setup_, alone);
      setup_.ex.device.trim();
    });
    ModelNames& names = reference_.names;
    names.outputs = from_text(world_.broadcast_text(to_text(names.outputs), 0));
    names.parameters = from_text(world_.broadcast_text(to_text(names.parameters), 0));
    reference_.steps.resize(static_cast<std::size_t>(setup_.steps));
    for (ReferenceStep& step : reference_.steps) share(step.result);
  }

  /// Broadcasts what all ranks need of a reference's step.
  void share(Trainer::StepResult& r) const {
    std::array<double, 5> facts{r.loss, r.gradient_norm, r.lr, r.loss_scale,
                                r.skipped ? 1.0 : 0.0};
    world_.broadcast(View(facts.data(), DType::f64, Shape{5}), 0);
    r.loss = facts[0];
    r.gradient_norm = facts[1];
    r.lr = facts[2];
    r.loss_scale = facts[3];
    r.skipped = facts[4] != 0;
  }

  void compare_step(int s, const Trainer::StepResult& mine, VerifiedRun& layout) {
    const ReferenceStep& step = reference_.steps[static_cast<std::size_t>(s - 1)];
    const Trainer::StepResult& expected = step.result;
    compare(VerifyKind::output, s, layout.take(VerifyKind::output));
    add_loss(s, mine.loss, expected.loss);
    if (mine.skipped != expected.skipped) {
      skips_agree_ = false;
      report_.notes.push_back(fmt::format(
          "step {}: gradients overflowed in the {} alone, which skipped the update{}", s,
          mine.skipped ? "layout" : "reference",
          mine.skipped ? " (first: " + mine.overflow + ")" : ""));
      return;
    }
    if (expected.skipped) {
      report_.notes.push_back(fmt::format(
          "step {}: gradients overflowed at loss scale {} in both runs, and are not "
          "compared; a lower initial_scale_power or more --steps may help",
          s, expected.loss_scale));
    } else {
      compare(VerifyKind::gradient, s, layout.take(VerifyKind::gradient));
      slack_.updates.push_back({rate_factor_ * expected.lr,
                                update_factor(deck_.optimizer, expected),
                                report_.bounds.of(VerifyKind::gradient, rates_),
                                pointers(step, VerifyKind::gradient)});
    }
    if (deck_.types.master != deck_.types.compute) {
      compare(VerifyKind::master, s, layout.take(VerifyKind::master));
    }
    compare(VerifyKind::value, s, layout.take(VerifyKind::value));
    if (slack_.optimizer != OptimizerKind::sgd && !expected.skipped) {
      rates_ += rate_factor_ * expected.lr;
    }
  }

  static std::vector<const HostArray*> pointers(const ReferenceStep& step, VerifyKind kind) {
    std::vector<const HostArray*> all;
    for (const HostArray& a : step.arrays[static_cast<std::size_t>(kind)]) all.push_back(&a);
    return all;
  }

  /// Those elements of a list with one for each name, or of an empty list.
  template <class T>
  static std::vector<T> chosen(const std::vector<T>& all,
                               const std::vector<std::size_t>& numbers) {
    std::vector<T> some;
    if (all.empty()) return some;
    for (const std::size_t i : numbers) some.push_back(all[i]);
    return some;
  }

  void compare(VerifyKind kind, int s, LocalBoxes mine) {
    const auto& names =
        kind == VerifyKind::output ? reference_.names.outputs : reference_.names.parameters;
    const bool of_trained = kind == VerifyKind::gradient || kind == VerifyKind::master;
    std::vector<std::size_t> numbers;  // which names are compared
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i].trains || !of_trained) numbers.push_back(i);
    }
    const auto expected =
        chosen(pointers(reference_.steps[static_cast<std::size_t>(s - 1)], kind), numbers);
    std::vector<ComparedArray> arrays;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const NamedShape& n = names[numbers[i]];
      arrays.push_back(
          {n.shape, std::move(mine[n.name]), expected.empty() ? nullptr : expected[i]});
    }
    UpdateSlack slack = slack_;
    for (PastUpdate& u : slack.updates) u.gradients = chosen(u.gradients, numbers);
    const bool updated = kind == VerifyKind::master || kind == VerifyKind::value;
    const auto found = compare_arrays(setup_.ex, world_, arrays, updated ? &slack : nullptr);
    for (std::size_t i = 0; i < found.size(); ++i) {
      const Finding& f = found[i];
      report_.rows.push_back({kind, names[numbers[i]].name, s, numbers[i], f.difference,
                              report_.bounds.of(kind, rates_), f.rank, f.box, f.at, f.got,
                              f.expected});
    }
  }

  void add_loss(int s, double got, double expected) {
    report_.rows.push_back({VerifyKind::loss,
                            "loss",
                            s,
                            0,
                            std::abs(got - expected) / std::abs(expected),
                            report_.bounds.loss,
                            0,
                            {},
                            {},
                            got,
                            expected});
  }

  void finish() {
    report_.agrees = skips_agree_ && std::ranges::none_of(report_.rows, &VerifyRow::differs);
    std::ranges::stable_sort(report_.rows, [](const VerifyRow& a, const VerifyRow& b) {
      return a.difference / a.bound > b.difference / b.bound;
    });
  }

  const VerifySetup& setup_;
  Communicator& world_;
  Deck deck_;
  Reference reference_;  ///< arrays on rank 0 alone
  UpdateSlack slack_;
  double rate_factor_ = 1;
  double rates_ = 0;  ///< sum of the learning rates of Adam's updates so far
  bool skips_agree_ = true;
  VerifyReport report_;
};

}  // namespace

const VerifyRow* VerifyReport::first(VerifyKind kind) const {
  const VerifyRow* found = nullptr;
  const auto earlier = [&](const VerifyRow& a, const VerifyRow& b) {
    if (a.step != b.step) return a.step < b.step;
    return kind == VerifyKind::gradient ? a.number > b.number : a.number < b.number;
  };
  for (const VerifyRow& row : rows) {
    if (row.kind != kind || !row.differs()) continue;
    if (found == nullptr || earlier(row, *found)) found = &row;
  }
  return found;
}

Deck reference_deck(const Deck& deck, const MeshShape& mesh) {
  Deck alone = deck;
  alone.pipe_parallel_size = 1;
  alone.model_parallel_size = 1;
  alone.virtual_pipeline_chunks = 1;
  alone.pipeline_schedule = PipelineSchedule::one_f_one_b;
  alone.sequence_parallel = false;
  alone.zero.stage = 0;
  alone.zero.reduce_once_per_step = false;
  alone.zero.offload = {};
  alone.recompute = {};
  alone.cuda_graphs = false;
  alone.gradient_accumulation_steps *= mesh.dp;
  return alone;
}

std::int64_t reference_bytes(const Deck& deck, const MeshShape& mesh, int steps) {
  const std::int64_t kept = deck.types.master != deck.types.compute ? 3 : 2;
  const std::int64_t rows =
      mesh.dp * deck.train_micro_batch_size_per_gpu * deck.model.seq_length;
  const std::int64_t outputs = (deck.model.num_layers + 2) * rows * deck.model.hidden_size;
  return steps * static_cast<std::int64_t>(sizeof(float)) *
         (kept * count_parameters(deck.model) + outputs);
}

VerifyReport verify_layout(const VerifySetup& setup) { return Verification(setup).run(); }

}  // namespace trireme
