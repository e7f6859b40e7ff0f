// SPDX-License-Identifier: Apache-2.0
// What `trireme prepare` made of its input, in the log and as JSON.
#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "trireme/core/log.hpp"
#include "trireme/core/printable.hpp"
#include "trireme/host/progress.hpp"

#include "prepare.hpp"

namespace trireme {

namespace {

std::string counted(std::int64_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

double ratio(std::int64_t a, std::int64_t b) {
  return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 0;
}

void log_left_out(const JoinReport& report) {
  const std::string reasons = left_out_words(report);
  if (!reasons.empty()) log::info("left out: {}", reasons);
  for (const std::string& place : report.places) {
    log::warn("left out: {}", printable(place));
  }
}

void write_json(const PrepareOptions& options, const PrepareSummary& summary) {
  const JoinReport& report = summary.report;
  nlohmann::ordered_json left_out{
      {"empty", report.empty}, {"below_min_tokens", report.few}, {"duplicates", report.equal}};
  for (std::size_t i = 0; i < kTroubles; ++i) {
    left_out[std::string(words_of(static_cast<Trouble>(i)))] = report.troubles[i];
  }
  const nlohmann::ordered_json json{
      {"output", options.output},
      {"input_bytes", summary.bytes},
      {"text_bytes", report.text_bytes},
      {"documents", summary.documents},
      {"tokens", summary.tokens},
      {"targets", report.targets},
      {"bytes_per_token", ratio(report.text_bytes, report.tokens)},
      {"longest_document_tokens", report.longest},
      {"longest_document_file", report.longest_file},
      {"blank_lines", report.blank_lines},
      {"documents_with_nul", report.nul_documents},
      {"files_with_crlf", report.crlf_files},
      {"left_out", left_out},
      {"places", report.places},
      {"seconds", summary.seconds}};
  std::ofstream out(options.json);
  out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  TRM_REQUIRE(out.good(), "cannot write {}", options.json);
}

}  // namespace

std::string left_out_words(const JoinReport& report) {
  std::vector<std::string> reasons;
  const auto add = [&](std::int64_t n, std::string_view why) {
    if (n > 0) reasons.push_back(fmt::format("{} {}", n, why));
  };
  add(report.empty, "empty");
  add(report.few, "below --min-tokens");
  add(report.equal, "equal to an earlier one");
  for (std::size_t i = 0; i < kTroubles; ++i) {
    add(report.troubles[i], words_of(static_cast<Trouble>(i)));
  }
  return fmt::format("{}", fmt::join(reasons, ", "));
}

void report_prepared(const PrepareOptions& options, const PrepareSummary& summary) {
  const JoinReport& report = summary.report;
  log::info("{}: {} tokens in {} from {:.1f} MB, {:.1f} MB/s", options.output, summary.tokens,
            counted(summary.documents, "document"), megabytes(summary.bytes),
            megabytes(summary.bytes) / std::max(summary.seconds, 1e-9));
  log::info("{:.3f} bytes of text a token; the longest document has {} ({})",
            ratio(report.text_bytes, report.tokens), counted(report.longest, "token"),
            printable(report.longest_file));
  if (summary.has_mask) {
    log::info("{} of {} tokens count as targets ({:.1f}%)", report.targets, report.tokens,
              100 * ratio(report.targets, report.tokens));
  }
  log_left_out(report);
  if (report.blank_lines > 0) {
    log::info("{} between JSON lines, passed over", counted(report.blank_lines, "blank line"));
  }
  if (report.crlf_files > 0) {
    log::info("{} of plain text with line ends of \\r\\n, which stay",
              counted(report.crlf_files, "file"));
  }
  if (report.nul_documents > 0) {
    log::warn("{} with NUL characters, which stay", counted(report.nul_documents, "document"));
  }
  if (!summary.warning.empty()) log::warn("{}", summary.warning);
  if (!options.json.empty()) write_json(options, summary);
}

}  // namespace trireme
