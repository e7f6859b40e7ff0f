// SPDX-License-Identifier: Apache-2.0
// Counts FLOPs, bytes of memory and bytes of collectives of each kind of unit.
#include "unit_times.hpp"

#include <algorithm>
#include <cmath>

namespace trireme {

namespace {

/// UnitWork of one pass of one micro-batch on one rank.
struct UnitWork {
  double gemm = 0;        ///< FLOPs
  double attention = 0;   ///< FLOPs
  double memory = 0;      ///< bytes read and written besides GEMMs and attention
  double operations = 0;  ///< kernels started
  double reduced = 0;     ///< bytes of all-reduces over tp
  double collectives = 0;
};

UnitWork times(const UnitWork& w, double factor) {
  return {w.gemm * factor,       w.attention * factor, w.memory * factor,
          w.operations * factor, w.reduced * factor,   w.collectives * factor};
}

UnitWork plus(const UnitWork& a, const UnitWork& b) {
  return {a.gemm + b.gemm,       a.attention + b.attention,
          a.memory + b.memory,   a.operations + b.operations,
          a.reduced + b.reduced, a.collectives + b.collectives};
}

/// Sizes that all units share.
struct Sizes {
  Sizes(const Deck& deck, const MeshShape& mesh)
      : model(deck.model),
        tokens(
            static_cast<double>(deck.train_micro_batch_size_per_gpu * deck.model.seq_length)),
        hidden(static_cast<double>(deck.model.hidden_size)),
        tp(mesh.tp),
        // Sequence parallelism shards what lies between the matrices.
        between(deck.sequence_parallel ? mesh.tp : 1),
        element(static_cast<double>(size_of(deck.types.compute))) {}

  const ModelConfig& model;
  double tokens;
  double hidden;
  double tp;
  double between;
  double element;
};

/// Elements of a unit's matrices over all ranks of tp.
double matrix_elements(const ModelConfig& model, UnitKind kind) {
  double n = 0;
  visit_unit(model, kind, [&](const Parameter& p) {
    if (p.global_shape.rank() == 2) n += static_cast<double>(p.global_shape.count());
  });
  return n;
}

/// Keys that a query attends to, on the average over queries and layers. The first queries of a
/// sequence have fewer than their window holds.
double visible_keys(const ModelConfig& m) {
  const auto seq = static_cast<double>(m.seq_length);
  double sum = 0;
  for (std::int64_t layer = 0; layer < m.num_layers; ++layer) {
    const std::int64_t window = m.window_of(layer);
    const double width = window > 0 ? std::min(static_cast<double>(window), seq) : seq;
    sum += m.bidirectional_attention ? width : width - width * width / (2 * seq);
  }
  return sum / static_cast<double>(m.num_layers);
}

UnitWork layer_forward(const Sizes& s) {
  UnitWork w;
  w.gemm = 2 * s.tokens * matrix_elements(s.model, UnitKind::layer) / s.tp;
  w.attention = 4 * s.tokens * visible_keys(s.model) *
                static_cast<double>(s.model.attention_width()) / s.tp;
  // Two norms read and write a row, the residual's two sums read two rows and write one.
  const double between = 10 * s.hidden / s.between;
  // Rotary embedding and attention touch q, k, v and the output; the activation reads the
  // up-projection and writes its own width.
  const double inside = (10 * s.hidden + static_cast<double>(s.model.intermediate_size) +
                         static_cast<double>(s.model.mlp_inner())) /
                        s.tp;
  w.memory = s.tokens * s.element * (between + inside);
  w.operations = 10;
  w.collectives = s.tp > 1 ? (s.model.gpt_j_residual ? 1 : 2) : 0;
  w.reduced = w.collectives * s.tokens * s.hidden * s.element;
  return w;
}

/// Backward of a layer: two GEMMs for each of forward's, of which a frozen matrix needs one.
/// Attention has five for its two (Dao et al., arXiv 2205.14135).
UnitWork layer_backward(const UnitWork& forward, RecomputeConfig::Kind recompute,
                        const UnitTraining& training) {
  UnitWork w = times(forward, 2);
  w.gemm = (1 + training.share) * forward.gemm;
  w.attention = 2.5 * forward.attention;
  w.reduced = forward.reduced;
  w.collectives = forward.collectives;
  if (recompute == RecomputeConfig::Kind::full) return plus(w, forward);
  if (recompute == RecomputeConfig::Kind::selective) w.attention += forward.attention;
  return w;
}

UnitWork embedding(const Sizes& s) {
  UnitWork w;
  w.memory = 2 * s.tokens * s.element * s.hidden;
  w.operations = 2;
  w.collectives = s.tp > 1 ? 1 : 0;
  w.reduced = w.collectives * s.tokens * s.hidden * s.element;
  return w;
}

/// The head's forward contains the gradients of the logits, and so all three GEMMs.
UnitWork head_forward(const Sizes& s, const UnitTraining& training) {
  const auto vocabulary = static_cast<double>(s.model.vocab_size);
  UnitWork w;
  const double passes = 1 + (training.passes_gradient ? 1 : 0) + training.share;
  w.gemm = 2 * passes * s.tokens * s.hidden * vocabulary / s.tp;
  w.memory = 5 * s.tokens * s.element * vocabulary / s.tp;
  w.operations = 8;
  w.collectives = s.tp > 1 ? 1 : 0;
  w.reduced = w.collectives * s.tokens * s.hidden * s.element;
  return w;
}

UnitWork norm(const Sizes& s) {
  UnitWork w{.memory = 2 * s.tokens * s.element * s.hidden / s.between, .operations = 1};
  if (!s.model.output_transform) return w;
  w.gemm = 2 * s.tokens * s.hidden * s.hidden / s.between;
  return plus(w, {.memory = 2 * w.memory, .operations = 2});
}

PassTime time_of(const UnitWork& w, const Deck& deck, const MeshLinks& links,
                 const Machine& m) {
  const double rate = m.gemm(deck.types.compute);
  PassTime t;
  t.compute = w.gemm / rate + w.attention / (rate * m.attention_share) +
              w.memory / m.memory_bandwidth + w.operations * m.kernel_seconds;
  if (w.collectives > 0) {
    t.tensor = w.collectives * links.all_reduce_over_tp(w.reduced / w.collectives);
  }
  return t;
}

}  // namespace

double MeshLinks::all_reduce_over_tp(double bytes) const {
  const double n = mesh_.tp;
  if (n == 1) return 0;
  const Link& link = on_a_node(mesh_.tp) ? machine_.node : machine_.network;
  return 2 * ((n - 1) / n * bytes / link.bandwidth + std::log2(n) * link.latency);
}

double MeshLinks::gather_from(double bytes, double n) const {
  if (n == 1) return 0;
  // Ranks of dp are tp apart, and this many of them share a node.
  const int fit = machine_.ranks_per_node / mesh_.tp;
  const double near = std::clamp<double>(fit, 1, n);
  const double inside = (near - 1) / n * bytes / machine_.node.bandwidth;
  const double outside = (n - near) / n * bytes / machine_.network.bandwidth;
  const double latency = n > near ? machine_.network.latency : machine_.node.latency;
  return std::max(inside, outside) + std::log2(n) * latency;
}

double MeshLinks::message_over_pp(double bytes) const {
  if (mesh_.pp == 1) return 0;
  const Link& link = on_a_node(mesh_.size()) ? machine_.node : machine_.network;
  return bytes / link.bandwidth + link.latency;
}

UnitTime unit_time(const Deck& deck, const MeshShape& mesh, const Machine& machine,
                   UnitKind kind, const UnitTraining& training) {
  const Sizes s(deck, mesh);
  UnitWork forward;
  UnitWork backward;
  switch (kind) {
    case UnitKind::layer:
      forward = layer_forward(s);
      backward = layer_backward(forward, deck.recompute.kind, training);
      break;
    case UnitKind::embedding:
      forward = embedding(s);
      backward = forward;
      break;
    case UnitKind::norm:
      forward = norm(s);
      backward = times(forward, 2);
      break;
    case UnitKind::head:
      forward = head_forward(s, training);
      break;
  }
  if (!training.has_backward) backward = {};
  const MeshLinks links(mesh, machine);
  return {time_of(forward, deck, links, machine), time_of(backward, deck, links, machine)};
}

}  // namespace trireme
