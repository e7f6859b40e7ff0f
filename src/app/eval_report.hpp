// SPDX-License-Identifier: Apache-2.0
// What `trireme eval` prints and writes.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trireme/tasks/run_task.hpp"
#include "trireme/tasks/text_loss.hpp"

namespace trireme {

/// A file of JSON lines, or none.
class LineFile {
 public:
  /// Throws Error if the file can't be written. An empty name stands for no file.
  explicit LineFile(std::string name);
  [[nodiscard]] bool is_open() const { return file_.is_open(); }
  /// Appends a line. Bytes that are not UTF-8 become U+FFFD.
  void write(const nlohmann::ordered_json& object);
  /// Throws Error unless all lines are written.
  void close();

 private:
  std::string name_;
  std::ofstream file_;
};

/// "loss 2.3026 | perplexity 10.000 | 1.2000 bits a byte".
[[nodiscard]] std::string loss_text(const tasks::TextLoss& loss);
/// Numbers that are not finite become null.
[[nodiscard]] nlohmann::ordered_json to_json(const tasks::TextLoss& loss);
[[nodiscard]] nlohmann::ordered_json to_json(const tasks::TaskResult& result);
/// The lines of a table.
[[nodiscard]] std::vector<std::string> task_table(
    const std::vector<tasks::TaskResult>& results);

}  // namespace trireme
