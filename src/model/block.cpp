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

}  // namespace

Sublayer::Sublayer(std::vector<Part> parts, std::vector<Normalization> norms, double dropout,
                   const TensorParallel& tp)
    : parts_(std::move(parts)),
      norms_(std::move(norms)),
      dropout_(dropout),
      in_(tp.in()),
      out_(tp.out()) {}

Dropout Sublayer::dropout_of(const Exec& ex, std::size_t part, const MicroBatch& mb) const {
  return {.probability = mb.training ? dropout_ : 0,
          .key = {ex.seed, stream_of(parts_[part].name + ".hidden_dropout")},
          .first_row = mb.first_row()};
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
    f(i, one_norm() ? shared : norms_[i].forward(ex, shared, statistics[i]));
  }
  tape.put(in.x);
  for (const Tensor& s : statistics) tape.put(s);
}

ResidualStream Sublayer::forward(const Exec& ex, ResidualStream in, Tape& tape) {
  // The next norm can apply dropout itself if no other branch and no collective comes between.
  const bool dropped_later = parts_.size() == 1 && !out_.communicates();
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
  return {in.x, out_.forward(ex, std::move(sum)),
          dropped_later ? dropout_of(ex, 0, tape.micro_batch()) : Dropout{}};
}

void Sublayer::record(const Exec& ex, ResidualStream in, Tape& tape) {
  feed(ex, in, tape,
       [&](std::size_t i, const Tensor& input) { parts_[i].branch->record(ex, input, tape); });
}

Tensor Sublayer::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  // Forward applied dropout to the addends before it summed them over tp. All ranks have one
  // mask, so that dropout of the sum has an equal result.
  const Tensor d = out_.backward(ex, dy);
  return one_norm() ? backward_one_norm(ex, d, dy, tape) : backward_own_norms(ex, d, dy, tape);
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
          ex, drop(ex, i, d, tape.micro_batch(), false), input, tape);
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
      const Tensor input = norms_[i].forward(ex, shared, statistics[i]);
      const Tensor part = parts_[i].branch->backward(
          ex, drop(ex, i, d, tape.micro_batch(), false), input, tape);
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
}

Block::Block(std::int64_t layer, const ModelConfig& config, const TensorParallel& tp,
             const Tensor& rotary, bool attention_again)
    : name_(fmt::format("layers.{}", layer)) {
  const auto attention = [&] {
    const std::string n = name_ + ".attention";
    return Sublayer::Part{
        n, std::make_unique<Attention>(n, layer, config, tp, rotary, attention_again)};
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
  const auto add = [&](std::vector<Sublayer::Part> parts, std::vector<Normalization> norms) {
    sublayers_.emplace_back(std::move(parts), std::move(norms), config.hidden_dropout, tp);
  };
  const auto one = [](Sublayer::Part part) {
    std::vector<Sublayer::Part> parts;
    parts.push_back(std::move(part));
    return parts;
  };
  if (!config.gpt_j_residual) {
    add(one(attention()), {norm(".input_layernorm")});
    add(one(mlp()), {norm(".post_attention_layernorm")});
    return;
  }
  std::vector<Sublayer::Part> both = one(attention());
  both.push_back(mlp());
  std::vector<Normalization> norms{norm(".input_layernorm")};
  if (own_norms) norms.push_back(norm(".post_attention_layernorm"));
  add(std::move(both), std::move(norms));
}

Tensor Block::forward(const Exec& ex, const Tensor& x, Tape& tape) {
  ResidualStream stream{x, {}, {}};
  for (Sublayer& s : sublayers_) stream = s.forward(ex, std::move(stream), tape);
  return joined(ex, stream);
}

void Block::record(const Exec& ex, const Tensor& x, Tape& tape) {
  ResidualStream stream{x, {}, {}};
  for (std::size_t i = 0; i + 1 < sublayers_.size(); ++i) {
    stream = sublayers_[i].forward(ex, std::move(stream), tape);
  }
  sublayers_.back().record(ex, std::move(stream), tape);
}

Tensor Block::backward(const Exec& ex, const Tensor& dy, Tape& tape) {
  Tensor d = dy;
  for (std::size_t i = sublayers_.size(); i-- > 0;) d = sublayers_[i].backward(ex, d, tape);
  return d;
}

void Block::visit(const ParameterVisitor& f) {
  for (Sublayer& s : sublayers_) s.visit(f);
}

}  // namespace trireme
