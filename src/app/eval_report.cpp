// SPDX-License-Identifier: Apache-2.0
// Results of `trireme eval` as lines, tables and JSON.
#include "eval_report.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "trireme/core/error.hpp"
#include "trireme/core/printable.hpp"

namespace trireme {

using Json = nlohmann::ordered_json;

LineFile::LineFile(std::string name) : name_(std::move(name)) {
  if (name_.empty()) return;
  file_.open(name_, std::ios::trunc);
  TRM_REQUIRE_SYSTEM(file_.good(), errno, "{}: cannot write this file", printable(name_));
}

void LineFile::write(const Json& object) {
  if (is_open()) file_ << object.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

void LineFile::close() {
  if (!is_open()) return;
  file_.close();
  TRM_REQUIRE_SYSTEM(!file_.fail(), errno, "{}: cannot write this file", printable(name_));
}

std::string loss_text(const tasks::TextLoss& loss) {
  const auto bits = loss.bits_per_byte();
  return fmt::format("loss {:.5f} | perplexity {:.5g}{}", loss.loss(), loss.perplexity(),
                     bits ? fmt::format(" | {:.5f} bits a byte", *bits) : "");
}

Json to_json(const tasks::TextLoss& loss) {
  Json object{{"tokens", loss.tokens},
              {"loss", loss.loss()},
              {"perplexity", loss.perplexity()},
              {"log_likelihood", -loss.nats}};
  if (const auto bits = loss.bits_per_byte()) {
    object["bytes"] = loss.bytes;
    object["bits_per_byte"] = *bits;
  }
  return object;
}

Json to_json(const tasks::TaskResult& result) {
  Json object{{"name", result.name},
              {"kind", name_of(result.kind)},
              {"shots", result.shots},
              {"questions", result.questions},
              {"metrics", Json::object()}};
  for (const tasks::Measured& m : result.measured) {
    Json& metric = object["metrics"][name_of(m.metric)];
    metric["value"] = m.value;
    metric["standard_error"] = m.error ? Json(*m.error) : Json();
  }
  return object;
}

std::vector<std::string> task_table(const std::vector<tasks::TaskResult>& results) {
  std::size_t width = 4;
  for (const tasks::TaskResult& r : results) {
    width = std::max(width, printable(r.name).size());
  }
  std::vector<std::string> lines{fmt::format("{:<{}}  shots  questions  {:<11}  {:>9}  {:>8}",
                                             "task", width, "metric", "value", "error")};
  for (const tasks::TaskResult& r : results) {
    bool first = true;
    for (const tasks::Measured& m : r.measured) {
      const std::string head = first ? fmt::format("{:<{}}  {:>5}  {:>9}", printable(r.name),
                                                   width, r.shots, r.questions)
                                     : std::string(width + 18, ' ');
      lines.push_back(fmt::format("{}  {:<11}  {:>9.4f}  {:>8}", head, name_of(m.metric),
                                  m.value, m.error ? fmt::format("{:.4f}", *m.error) : "-"));
      first = false;
    }
  }
  return lines;
}

}  // namespace trireme
