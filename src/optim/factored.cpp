// SPDX-License-Identifier: Apache-2.0
// Adafactor and SM3: their state has a value for each row and each column of a matrix. All
// ranks of dp keep equal copies of these small arrays.
#include "trireme/ops/elementwise.hpp"
#include "trireme/ops/tensor_update.hpp"

#include "tensor_update.hpp"

namespace trireme {

namespace {

/// Arrays of rows and columns of all parameters, in one array. What ranks of tp reduce comes
/// first.
class Factors {
 public:
  explicit Factors(const TensorUpdateParts& parts) : parts_(parts) {
    rows_.resize(parts.tensors.size());
    cols_.resize(parts.tensors.size());
    std::int64_t at = 0;
    for (const bool shared : {true, false}) {
      for (std::size_t i = 0; i < parts.tensors.size(); ++i) {
        const UpdatedTensor& t = parts.tensors[i];
        if (t.cols_over_tp() == shared) rows_[i] = place(at, t.rows);
        if (!t.is_matrix()) continue;
        if (t.rows_over_tp() == shared) cols_[i] = place(at, t.columns);
      }
      if (shared) shared_ = at;
    }
    data_ = parts.ex.zeros(DType::f64, Shape{at});
  }

  [[nodiscard]] View rows(std::size_t i) const { return window(rows_[i]); }
  /// Empty for a vector.
  [[nodiscard]] View cols(std::size_t i) const {
    return parts_.tensors[i].is_matrix() ? window(cols_[i]) : View();
  }
  [[nodiscard]] View all() const { return data_; }
  /// Collective over dp and tp.
  void reduce(Reduction op) {
    if (parts_.tensors.empty()) return;
    parts_.mesh.dp->all_reduce(data_, op);
    if (shared_ > 0) parts_.mesh.tp->all_reduce(flat_window(data_, 0, shared_), op);
  }

 private:
  struct Place {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  static Place place(std::int64_t& at, std::int64_t count) {
    const Place p{at, count};
    at += count;
    return p;
  }
  [[nodiscard]] View window(const Place& p) const {
    return flat_window(data_, p.first, p.count);
  }

  const TensorUpdateParts& parts_;
  std::vector<Place> rows_;
  std::vector<Place> cols_;
  std::int64_t shared_ = 0;
  Tensor data_;
};

class Factored : public TensorUpdate {
 public:
  explicit Factored(const TensorUpdateParts& parts)
      : parts_(parts), kept_(parts_), fresh_(parts_) {}

  void visit_factors(const std::function<void(const char* kind, const Parameter&, int axis,
                                              const View& data)>& f) const override {
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      f("row", *parts_.tensors[i].parameter, 0, kept_.rows(i));
      if (!kept_.cols(i).empty()) f("col", *parts_.tensors[i].parameter, 1, kept_.cols(i));
    }
  }

 protected:
  TensorUpdateParts parts_;
  Factors kept_;   ///< the state
  Factors fresh_;  ///< sums or covers of this step
};

class Adafactor final : public Factored {
 public:
  explicit Adafactor(const TensorUpdateParts& parts) : Factored(parts), sums_(parts_) {}

  void step(double lr, const ConstView& decision) override {
    const Exec& ex = parts_.ex;
    ex.device.zero(fresh_.all().raw(), fresh_.all().bytes(), ex.stream);
    each_own([&](std::size_t i, const UpdatedTensor& t, const FlatSlice& s) {
      ops::factor_sums(ex, {.first = s.first,
                            .columns = t.columns,
                            .gradient = parts_.gradient(t, s),
                            .rows = fresh_.rows(i),
                            .cols = fresh_.cols(i),
                            .state = decision});
    });
    fresh_.reduce(Reduction::sum);
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      ops::adafactor_moments(ex, {.beta2_decay = parts_.config.beta2_decay,
                                  .global_rows = t.global_rows,
                                  .global_columns = t.global_columns,
                                  .row_sums = fresh_.rows(i),
                                  .col_sums = fresh_.cols(i),
                                  .row_var = kept_.rows(i),
                                  .col_var = kept_.cols(i),
                                  .state = decision});
    }
    sums_.clear();
    each_own([&](std::size_t i, const UpdatedTensor& t, const FlatSlice& s) {
      ops::adafactor_squares(ex, {.step = step_of(t, lr),
                                  .first = s.first,
                                  .columns = t.columns,
                                  .gradient = parts_.gradient(t, s),
                                  .value = parts_.value(t, s),
                                  .row_var = kept_.rows(i),
                                  .col_var = kept_.cols(i),
                                  .sums = sums_.of(i),
                                  .mean_of_cols = t.rows_over_tp(),
                                  .state = decision});
    });
    sums_.reduce();
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      for (const FlatSlice& s : parts_.tensors[i].updated) update(i, s, lr, decision);
    }
  }

 private:
  template <class F>
  void each_own(F&& f) const {
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      for (const FlatSlice& s : parts_.tensors[i].own) f(i, parts_.tensors[i], s);
    }
  }

  void update(std::size_t i, const FlatSlice& s, double lr, const ConstView& decision) const {
    const UpdatedTensor& t = parts_.tensors[i];
    ops::adafactor_update(parts_.ex, {.step = step_of(t, lr),
                                      .first = s.first,
                                      .columns = t.columns,
                                      .gradient = parts_.gradient(t, s),
                                      .value = parts_.value(t, s),
                                      .row_var = kept_.rows(i),
                                      .col_var = kept_.cols(i),
                                      .sums = sums_.of(i),
                                      .mean_of_cols = t.rows_over_tp(),
                                      .copy = parts_.copy(t, s),
                                      .state = decision});
  }

  [[nodiscard]] ops::AdafactorStep step_of(const UpdatedTensor& t, double lr) const {
    return {.lr = lr * t.rule.lr_scale,
            .epsilon = parts_.config.epsilon,
            .epsilon2 = parts_.config.epsilon2,
            .clip_threshold = parts_.config.clip_threshold,
            .weight_decay = t.rule.weight_decay,
            .elements = t.elements()};
  }

  TensorSums sums_;
};

class Sm3 final : public Factored {
 public:
  using Factored::Factored;

  void step(double lr, const ConstView& decision) override {
    const Exec& ex = parts_.ex;
    ops::copy(ex, kept_.all(), fresh_.all());
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      for (const FlatSlice& s : t.own) {
        ops::sm3_cover(ex, {.beta = parts_.config.beta,
                            .first = s.first,
                            .columns = t.columns,
                            .gradient = parts_.gradient(t, s),
                            .row_acc = kept_.rows(i),
                            .col_acc = kept_.cols(i),
                            .rows = fresh_.rows(i),
                            .cols = fresh_.cols(i),
                            .state = decision});
      }
    }
    fresh_.reduce(Reduction::max);
    for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
      const UpdatedTensor& t = parts_.tensors[i];
      for (const FlatSlice& s : t.updated) {
        ops::sm3_update(
            ex, {.lr = lr * t.rule.lr_scale,
                 .beta = parts_.config.beta,
                 .momentum = parts_.config.momentum,
                 .epsilon = parts_.config.epsilon,
                 .first = s.first,
                 .columns = t.columns,
                 .gradient = parts_.gradient(t, s),
                 .value = parts_.value(t, s),
                 .buffer = parts_.config.momentum == 0 ? View() : parts_.state(t.group, 0, s),
                 .row_acc = kept_.rows(i),
                 .col_acc = kept_.cols(i),
                 .copy = parts_.copy(t, s),
                 .state = decision});
      }
    }
    ops::copy(ex, fresh_.all(), kept_.all());
  }
};

}  // namespace

std::unique_ptr<TensorUpdate> make_adafactor(const TensorUpdateParts& parts) {
  return std::make_unique<Adafactor>(parts);
}

std::unique_ptr<TensorUpdate> make_sm3(const TensorUpdateParts& parts) {
  return std::make_unique<Sm3>(parts);
}

}  // namespace trireme
