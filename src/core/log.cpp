// SPDX-License-Identifier: Apache-2.0
// Where messages go.
#include "trireme/core/log.hpp"

#include <memory>
#include <set>

#include <spdlog/sinks/stdout_sinks.h>

namespace trireme::log {

namespace {

/// Lines of exactly the levels given.
class LevelSink : public spdlog::sinks::stdout_sink_base<spdlog::details::console_mutex> {
 public:
  LevelSink(FILE* file, std::set<spdlog::level::level_enum> levels)
      : stdout_sink_base(file), levels_(std::move(levels)) {}
  void log(const spdlog::details::log_msg& message) override {
    if (levels_.contains(message.level)) stdout_sink_base::log(message);
  }

 private:
  std::set<spdlog::level::level_enum> levels_;
};

}  // namespace

void start(int rank) {
  auto out = std::make_shared<LevelSink>(stdout, std::set{spdlog::level::info});
  out->set_pattern("%v");
  auto err = std::make_shared<LevelSink>(stderr, std::set{spdlog::level::warn});
  err->set_pattern(rank == 0 ? "warning: %v" : fmt::format("warning (rank {}): %v", rank));
  auto logger = std::make_shared<spdlog::logger>("trireme", spdlog::sinks_init_list{out, err});
  logger->set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace trireme::log
