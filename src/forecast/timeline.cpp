// SPDX-License-Identifier: Apache-2.0
// Draws a pipeline's schedule as SVG.
#include <algorithm>
#include <string>
#include <vector>

#include "trireme/forecast/time_plan.hpp"

namespace trireme {

namespace {

constexpr double kWidth = 1200;
constexpr double kRow = 24;
constexpr double kLeft = 70;
constexpr double kTop = 30;
constexpr std::size_t kMostSteps = 200'000;

/// Micro-batches of one chunk have one hue: forwards blue, backwards orange, later chunks
/// lighter.
std::string colour(const PlanStep& step, int chunks) {
  const bool forward = step.kind == PlanStep::Kind::forward;
  const int lightness = 45 + 35 * step.chunk / std::max(chunks, 1);
  return fmt::format("hsl({},70%,{}%)", forward ? 215 : 28, lightness);
}

}  // namespace

std::string timeline_svg(const std::vector<ScheduledStep>& steps) {
  TRM_REQUIRE(steps.size() <= kMostSteps,
              "a timeline of {} steps would be too large to look at; use fewer "
              "gradient_accumulation_steps or stages",
              steps.size());
  double last = 0;
  int stages = 0;
  int chunks = 1;
  for (const ScheduledStep& s : steps) {
    last = std::max(last, s.end);
    stages = std::max(stages, s.stage + 1);
    chunks = std::max(chunks, s.step.chunk + 1);
  }
  const double scale = last > 0 ? (kWidth - kLeft - 10) / last : 0;
  const double height = kTop + kRow * stages + 30;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" "
      "fill=\"white\"/>\n<text x=\"{}\" y=\"18\">forwards blue, backwards orange; the step's "
      "pipeline takes {:.4g} s</text>\n",
      kWidth, height, kLeft, last);
  for (int stage = 0; stage < stages; ++stage) {
    svg += fmt::format("<text x=\"4\" y=\"{:.1f}\">stage {}</text>\n",
                       kTop + kRow * (stage + 0.65), stage);
  }
  for (const ScheduledStep& s : steps) {
    const double x = kLeft + s.begin * scale;
    const double width = std::max((s.end - s.begin) * scale, 0.2);
    const double y = kTop + kRow * s.stage + 2;
    svg += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\" "
        "stroke=\"white\" stroke-width=\"0.3\"/>\n",
        x, y, width, kRow - 4, colour(s.step, chunks));
    if (width > 14) {
      svg += fmt::format("<text x=\"{:.2f}\" y=\"{:.1f}\" fill=\"white\">{}</text>\n", x + 2,
                         y + 14, s.step.micro_batch);
    }
  }
  svg += fmt::format(
      "<text x=\"{}\" y=\"{:.1f}\">0 s</text>\n<text x=\"{:.1f}\" y=\"{:.1f}\" "
      "text-anchor=\"end\">{:.4g} s</text>\n</svg>\n",
      kLeft, height - 12, kWidth - 10, height - 12, last);
  return svg;
}

}  // namespace trireme
