// SPDX-License-Identifier: Apache-2.0
// The schedule of a pipeline as data: what one stage does, in order. Pure functions of a few
// integers, so that a schedule is tested without MPI and known before a job starts.
//
// A model is partitioned into stages × chunks consecutive parts. Chunk c of stage p is part
// c·stages + p, so that the forward wave runs through all stages once per chunk.
//
// Schedules, for m micro-batches on p stages of v chunks, all stages equally fast:
//   gpipe        all forwards, then all backwards (Huang et al., arXiv 1811.06965).
//                Bubble (p−1)/(m+p−1) of the time; all m·v activations live at once.
//   one_f_one_b  warm-up forwards, then one forward and one backward in turn, then the
//                remaining backwards (the flushing schedule of Narayanan et al.,
//                arXiv 2104.04473, section 2.2). v = 1: the same bubble, but at most
//                min(m, p − stage) activations. v > 1 is their interleaved form: chunks take
//                turns in groups of p micro-batches, the bubble shrinks to
//                ((p−1)/v)/(m+(p−1)/v), and min(m·v, 2(p−stage−1) + (v−1)p + 1) activations of
//                one chunk each live on a stage (where p divides m; else no more).
//                One stage with v > 1 is the depth-first order of its chunks.
// m need not be a multiple of p: the plan is that of the next multiple without the steps of the
// micro-batches that don't exist. Steps depend only on steps of their own micro-batch. The
// rest can therefore run in the same order, no later than in the full plan.
//
// In every schedule the backwards of one chunk come in the order of micro-batches, so gradients
// are summed in the same order. One exception: a head adds its weight's gradient in forward.
// Where the embedding shares that weight, schedules differ by rounding.
//
// How a plan is to be executed; simulate() and the absence of deadlock rest on these rules:
//   1. A stage does its steps in order. A step's input is the output of input_from(step): a
//      message, or, where that is the same stage (one stage, several chunks), a kept value.
//   2. A send never blocks: the output is kept until it has left, and the next step begins.
//   3. Before a step is computed the receive of the next one is posted, so that a message can
//      arrive meanwhile; a stage waits only for the input of its next step.
//   4. Messages are matched by message_tag (direction, micro-batch, chunk), never by their
//      order: between two stages both directions and several chunks are on the way at once.
// So besides the activations in flight a stage holds one input ahead and the unsent outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace trireme {

struct PlanStep {
  enum class Kind : std::uint8_t { forward, backward };
  Kind kind = Kind::forward;
  int micro_batch = 0;
  int chunk = 0;
  friend bool operator==(const PlanStep&, const PlanStep&) = default;
};

enum class PipelineSchedule : std::uint8_t { gpipe, one_f_one_b };

/// What `stage` of `stages` does in one training step: each (micro-batch, chunk) once forward
/// and later once backward. Time and size O((micro_batches + stages) · chunks). Throws Error if
/// stages, micro_batches or chunks is below one, or if `stage` doesn't exist.
[[nodiscard]] std::vector<PlanStep> plan(PipelineSchedule schedule, int stage, int stages,
                                         int micro_batches, int chunks);

/// Forwards alone, for evaluation; the same on every stage.
[[nodiscard]] std::vector<PlanStep> forward_only(int stages, int micro_batches, int chunks);

/// Index in the whole model of a stage's chunk.
[[nodiscard]] constexpr int model_part(int stage, int chunk, int stages) {
  return chunk * stages + stage;
}

/// A model part, named by stage and chunk.
struct PipelinePlace {
  int stage = 0;
  int chunk = 0;
  friend bool operator==(const PipelinePlace&, const PipelinePlace&) = default;
};

/// The model part whose output the step takes: in forward the part before, in backward the part
/// after. Empty for the forward of the first part, which takes tokens, and for the backward of
/// the last, which takes the loss.
[[nodiscard]] std::optional<PipelinePlace> input_from(const PlanStep& step, int stage,
                                                      int stages, int chunks);
/// The model part that takes the step's output; empty at the model's end in that direction.
[[nodiscard]] std::optional<PipelinePlace> output_to(const PlanStep& step, int stage,
                                                     int stages, int chunks);

/// Tag of the message that is the input of `step` on its receiver. The tag is unique among all
/// messages between two stages in one plan, and below 2·micro_batches·chunks.
[[nodiscard]] constexpr int message_tag(const PlanStep& step, int chunks) {
  const int direction = step.kind == PlanStep::Kind::backward ? 1 : 0;
  return (step.micro_batch * chunks + step.chunk) * 2 + direction;
}

}  // namespace trireme
