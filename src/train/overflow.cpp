// SPDX-License-Identifier: Apache-2.0
// Where a gradient overflowed: as a code, and as text.
#include "overflow.hpp"

#include <limits>

#include "trireme/ops/elementwise.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kNoOverflow = std::numeric_limits<std::int64_t>::max();

/// Where a gradient overflowed, packed so that an earlier place in the step has a lesser code.
struct OverflowCode {
  std::int64_t micro_batch;
  std::int64_t part;       ///< number in the model
  std::int64_t unit;       ///< number in the part
  std::int64_t parameter;  ///< number in the unit

  static constexpr std::int64_t kParts = 100'000;
  static constexpr std::int64_t kUnits = 100'000;
  static constexpr std::int64_t kParameters = 1'000;

  [[nodiscard]] std::int64_t packed() const {
    return ((micro_batch * kParts + kParts - 1 - part) * kUnits + kUnits - 1 - unit) *
               kParameters +
           kParameters - 1 - parameter;
  }
  static OverflowCode unpack(std::int64_t code) {
    OverflowCode c{};
    c.parameter = kParameters - 1 - code % kParameters;
    code /= kParameters;
    c.unit = kUnits - 1 - code % kUnits;
    code /= kUnits;
    c.part = kParts - 1 - code % kParts;
    c.micro_batch = code / kParts;
    return c;
  }
};

}  // namespace

Trainer::OverflowWatch::OverflowWatch(const Exec& ex, int stage, int stages)
    : ex_(ex), stage_(stage), stages_(stages), codes_(ex.make(DType::i64, Shape{2})) {
  ex.device.copy_from_host(codes_.data<std::int64_t>() + 1, &kNoOverflow, sizeof kNoOverflow,
                           ex.stream);
}

void Trainer::OverflowWatch::reset() {
  auto* codes = codes_.data<std::int64_t>();
  ex_.device.copy(codes, codes + 1, sizeof *codes, ex_.stream);
}

void Trainer::OverflowWatch::after(const UnitUse& use, Module& unit) {
  if (!adds_gradients(use, unit)) return;
  const int part = model_part(stage_, static_cast<int>(use.part), stages_);
  std::int64_t parameter = 0;
  unit.visit([&](const Parameter& p) {
    // Backward begins at the end of the model and of each unit: later ones have lesser codes.
    const std::int64_t number = parameter++;
    if (!p.trains) return;
    const std::int64_t code =
        OverflowCode{use.micro_batch, part, static_cast<std::int64_t>(use.unit), number}
            .packed();
    ops::note_non_finite(ex_, {.x = p.grad.reshape(Shape{p.grad.count()}),
                               .code = code,
                               .least = View(codes_.view().raw(), DType::i64, Shape{1})});
  });
}

void Trainer::OverflowWatch::note(const ConstView& x) {
  ops::note_non_finite(
      ex_, {.x = x, .code = 0, .least = View(codes_.view().raw(), DType::i64, Shape{1})});
}

bool Trainer::OverflowWatch::found(std::int64_t code) { return code != kNoOverflow; }

void Trainer::OverflowWatch::copy_code(std::int64_t* code) {
  ex_.device.copy_to_host(code, codes_.view().raw(), sizeof *code, ex_.stream);
}

std::string Trainer::overflow_text(std::int64_t code, bool last) const {
  const std::int64_t first = mesh_.world->reduce_count(code, Reduction::min);
  std::string text;
  if (first != kNoOverflow && first == code) {
    const auto at = OverflowCode::unpack(code);
    const int stages = mesh_.shape.pp;
    Module& unit = *parts_[static_cast<std::size_t>(at.part / stages)]
                        ->units()[static_cast<std::size_t>(at.unit)];
    std::int64_t number = 0;
    unit.visit([&](const Parameter& p) {
      if (number++ != at.parameter) return;
      text = fmt::format("0 the gradient of {}, micro-batch {}", p.name, at.micro_batch + 1);
    });
  }
  text = least(text);
  if (!text.empty()) return text;
  const std::string where = last ? first_bad_parameter(true) : "";
  return fmt::format("{}, summed over micro-batches and ranks: sent in {}, kept in {}",
                     where.empty() ? "a gradient" : where, name_of(deck_.types.communication),
                     name_of(deck_.types.gradient));
}

}  // namespace trireme
