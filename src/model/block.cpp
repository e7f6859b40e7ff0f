// SPDX-License-Identifier: Apache-2.0
// Transformer layers.
#include "block.hpp"

#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

/// The stream with the last branch's output added. The sum lies in the memory of `add`.
Tensor joined(const Exec& ex, const ResidualStream& s) {
  if (!s.add.defined()) return s.x;
  if (s.dropout.probability > 0) {
    ops::apply_dropout(ex, {.x = s.add, .dropout = s.dropout, .add = s.x, .y = s.add});
  } else {
    ops::add(ex, s.x, s.add, s.add);
  }
  return s.add;
}

/// x · factor, in memory of its own; x itself for the factor 1.
Tensor times(const Exec& ex, const Tensor& x, double factor) {
  if (factor == 1) return x;
  Tensor y = ex.make(x.dtype(), x.shape());
  ops::scale(ex, {.x = x, .factor = factor, .y = y});
  return y;
}

}  // namespace

Sublayer::Sublayer(std::vector<Part> parts, Norms norms, double dropout,
                   const TensorParallel& tp)
    : parts_(std::move(parts)),
      norms_(std::move(norms.before)),
      after_(std::move(norms.after)),
      of_sum_(std::move(norms.of_sum)),
      dropout_(dropout),
      tp_(tp),
      in_(tp.in()),
      out_(tp.out()) {}

Dropout Sublayer::dropout_of(const Exec& ex, std::size_t part, const MicroBatch& mb) const {
  // After a norm of the result, dropout sees this rank's rows alone.
  const bool cut = after_.has_value() && tp_.rows_are_cut();
  const std::int64_t skipped = cut ? tp_.local_rows(mb.rows()) * tp_.rank() : 0;
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of(parts_[part].name + ".hidden_dropout")},
          .first_row = mb.first_row() + static_cast<std::uint64_t>(skipped)};
}

Tensor Sublayer::drop(const Exec& ex, std::size_t part, const Tensor& x, const MicroBatch& mb,
                      bool in_place) const {
  const Dropout spec = dropout_of(ex, part, mb);
  if (spec.probability == 0) return x;
  Tensor y = in_place ? x : ex.make(x.dtype(), x.shape());
  ops::apply_dropout(ex, {.x = x, .dropout = spec, .y = y});
  return y;
}

void Sublayer::feed(const Exec& ex, ResidualStream& in, Tape& tape, const Feed& f) const {
  std::vector<Tensor> statistics(norms_.size());
  Tensor shared;
  if (one_norm() && in.add.defined()) {
    // No one else holds the branch's output, so that the sum may overwrite this output.
    shared = norms_[0].forward(ex, in.x, {in.add, in.dropout}, in.add, statistics[0]);
    in = {std::move(in.add), {}, {}};
  } else {
    in = {joined(ex, in), {}, {}};
    shared = one_norm() ? norms_[0].forward(ex, in.x, statistics[0]) : in.x;
  }
  shared = in_.forward(ex, std::move(shared));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const bool own = !norms_.empty() && !one_norm();
    f(i, own ? norms_[i].forward(ex, shared, statistics[i]) : shared);
  }
  tape.put(in.x);
  for (const Tensor& s : statistics) tape.put(s);
}

ResidualStream Sublayer::forward(const Exec& ex, ResidualStream in, Tape& tape, double factor) {
  // The next norm can apply dropout itself if no other branch and no collective comes between.
  const bool dropped_later = after_ || (parts_.size() == 1 && !out_.communicates());
  Tensor sum;
  feed(ex, in, tape, [&](std::size_t i, const Tensor& input) {
    Tensor y = parts_[i].branch->forward(ex, input, tape);
    if (!dropped_later) y = drop(ex, i, y, tape.micro_batch(), true);
    if (sum.defined()) {
      ops::add(ex, sum, y, sum);
    } else {
      sum = y;
    }
  });
  sum = out_.forward(ex, std::move(sum));
  if (after_) {
    tape.put(sum);
    Tensor statistics;
    sum = after_->forward(ex, sum, statistics);
    tape.put(statistics);
  }
  if (factor != 1) ops::scale(ex, {.x = sum, .factor = factor, .y = sum});
  const Dropout later = dropped_later ? dropout_of(ex, 0, tape.micro_batch()) : Dropout{};
  if (!of_sum_) return {in.x, std::move(sum), later};
  Tensor statistics;
  Tensor y = of_sum_->forward(ex, in.x, {sum, later}, sum, statistics);
  tape.put(sum);
  tape.put(statistics);
  return {std::move(y), {}, {}};
}

void Sublayer::record(const Exec& ex, ResidualStream in, Tape& tape, double factor) {
  if (after_ || of_sum_) {  // the tape keeps the branches' result
    (void)forward(ex, std::move(in), tape, factor);
    return;
  }
  feed(ex, in, tape,
       [&](std::size_t i, const Tensor& input) { parts_[i].branch->record(ex, input, tape); });
}

Tensor Sublayer::backward(const Exec& ex, const Tensor& dy, Tape& tape, double factor) {
  const Tensor dsum = of_sum_ ? backward_sum(ex, dy, tape) : dy;
  const Tensor dadd = times(ex, dsum, factor);
  const Tensor d = out_.backward(ex, after_ ? backward_result(ex, dadd, tape) : dadd);
  return one_norm() ? backward_one_norm(ex, d, dsum, tape)
                    : backward_own_norms(ex, d, dsum, tape);
}

Tensor Sublayer::backward_sum(const Exec& ex, const Tensor& dy, Tape& tape) {
  const Tensor statistics = tape.take();
  const Tensor sum = tape.take();
  return of_sum_->backward(ex, dy, sum, statistics);
}

Tensor Sublayer::backward_result(const Exec& ex, const Tensor& dy, Tape& tape) {
  const Tensor statistics = tape.take();
  const Tensor result = tape.take();
  return after_->backward(ex, drop(ex, 0, dy, tape.micro_batch(), false), result, statistics);
}

Tensor Sublayer::drop_branch(const Exec& ex, std::size_t part, const Tensor& d,
                             const MicroBatch& mb) const {
  // Forward applied dropout to the addends before it summed them over tp. All ranks have one
  // mask, so that dropout of the sum has an equal result.
  return after_ ? d : drop(ex, part, d, mb, false);
}

Tensor Sublayer::backward_one_norm(const Exec& ex, const Tensor& d, const Tensor& dy,
                                   Tape& tape) {
  Tensor statistics = tape.take();
  const Tensor x = tape.take();
  Tensor dinput;
  {
    const Tensor input = in_.forward(ex, norms_[0].forward(ex, x, statistics));
    for (std::size_t i = parts_.size(); i-- > 0;) {
      const Tensor part = parts_[i].branch->backward(
          ex, drop_branch(ex, i, d, tape.micro_batch()), input, tape);
      if (dinput.defined()) {
        ops::add(ex, dinput, part, dinput);
      } else {
        dinput = part;
      }
    }
  }
  dinput = in_.backward(ex, std::move(dinput));
  return norms_[0].backward(ex, dinput, x, statistics, dy);
}

Tensor Sublayer::backward_own_norms(const Exec& ex, const Tensor& d, const Tensor& dy,
                                    Tape& tape) {
  std::vector<Tensor> statistics(norms_.size());
  for (std::size_t i = norms_.size(); i-- > 0;) statistics[i] = tape.take();
  const Tensor x = tape.take();
  Tensor dshared;
  {
    const Tensor shared = in_.forward(ex, x);
    for (std::size_t i = parts_.size(); i-- > 0;) {
      const Tensor input =
          norms_.empty() ? shared : norms_[i].forward(ex, shared, statistics[i]);
      const Tensor part = parts_[i].branch->backward(
          ex, drop_branch(ex, i, d, tape.micro_batch()), input, tape);
      if (norms_.empty()) {
        dshared = part;
        continue;
      }
      dshared = norms_[i].backward(ex, part, shared, statistics[i],
                                   dshared.defined() ? ConstView(dshared) : ConstView());
    }
  }
  dshared = in_.backward(ex, std::move(dshared));
  ops::add(ex, dshared, dy, dshared);
  return dshared;
}

void Sublayer::visit(const ParameterVisitor& f) {
  for (Normalization& n : norms_) n.visit(f);
  for (Part& p : parts_) p.branch->visit(f);
  if (after_) after_->visit(f);
  if (of_sum_) of_sum_->visit(f);
}

Block::Block(std::int64_t layer, const ModelConfig& config, const TensorParallel& tp,
             const Tensor& rotary, bool attention_again)
    : name_(fmt::format("layers.{}", layer)),
      depth_(static_cast<double>(layer + 1) / static_cast<double>(config.num_layers)) {
  const auto attention = [&] {
    const std::string n = name_ + ".attention";
    AttentionSetting setting{layer, rotary, config.window_of(layer), attention_again};
    return Sublayer::Part{n, std::make_unique<Attention>(n, config, tp, std::move(setting))};
  };
  const auto mlp = [&] {
    const std::string n = name_ + ".mlp";
    return Sublayer::Part{n, std::make_unique<Mlp>(n, config, tp)};
  };
  const bool own_norms = config.gpt_j_residual && !config.gpt_j_tied;
  const bool partial = own_norms ? tp.size() > 1 : tp.rows_are_cut();
  const auto norm = [&](const char* which) {
    return Normalization(name_ + which, config, partial);
  };
  const auto add = [&](std::vector<Sublayer::Part> parts, Sublayer::Norms norms) {
    sublayers_.emplace_back(std::move(parts), std::move(norms), config.hidden_dropout, tp);
  };
  const auto one = [](Sublayer::Part part) {
    std::vector<Sublayer::Part> parts;
    parts.push_back(std::move(part));
    return parts;
  };
  if (!config.gpt_j_residual) {
    const auto placed = [&](const char* before, const char* after) {
      const NormPlacement where = config.norm_placement;
      const bool both = where == NormPlacement::both;
      Sublayer::Norms norms;
      if (both || where == NormPlacement::before) norms.before.push_back(norm(before));
      if (both || where == NormPlacement::after) norms.after = norm(after);
      if (where == NormPlacement::after_sum) norms.of_sum = norm(after);
      return norms;
    };
    add(one(attention()), placed(".input_layernorm", ".post_attention_output_norm"));
    add(one(mlp()), placed(".post_attention_layernorm", ".post_mlp_output_norm"));
    return;
  }
  std::vector<Sublayer::Part> both = one(attention());
  both.push_back(mlp());
  std::vector<Normalization> norms{norm(".input_layernorm")};
  if (own_norms) norms.push_back(norm(".post_attention_layernorm"));
  add(std::move(both), {std::move(norms)});
}

double Block::factor_of(const Exec& ex, const MicroBatch& mb) const {
  if (mb.layer_keep == 1) return 1;
  const double p = 1 - depth_ * (1 - mb.layer_keep);
  const RngKey key{ex.seed, stream_of(name_ + ".layer_drop")};
  return unit_interval(philox(key, mb.first_sample)[0]) < p ? 1 / p : 0;
}

Tensor Block::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  const double factor = factor_of(ex, tape.micro_batch());
  if (factor == 0) return x;
  ResidualStream stream{x, {}, {}};
  for (Sublayer& s : sublayers_) stream = s.forward(ex, std::move(stream), tape, factor);
  return joined(ex, stream);
}

void Block::record(const Exec& ex, const Tensor& x, Tape& tape) {
  const double factor = factor_of(ex, tape.micro_batch());
  if (factor == 0) return;
  ResidualStream stream{x, {}, {}};
  for (std::size_t i = 0; i + 1 < sublayers_.size(); ++i) {
    stream = sublayers_[i].forward(ex, std::move(stream), tape, factor);
  }
  sublayers_.back().record(ex, std::move(stream), tape, factor);
}

Tensor Block::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  const double factor = factor_of(ex, tape.micro_batch());
  if (factor == 0) return dy;
  Tensor d = dy;
  for (std::size_t i = sublayers_.size(); i-- > 0;) {
    d = sublayers_[i].backward(ex, d, tape, factor);
  }
  return d;
}

void Block::visit(const ParameterVisitor& f) {
  for (Sublayer& s : sublayers_) s.visit(f);
}

}  // namespace trireme
