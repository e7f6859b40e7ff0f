// SPDX-License-Identifier: Apache-2.0
// Collects the facts of a run's start that are recorded.
#include "trireme/host/environment.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <pwd.h>
#include <string_view>
#include <unistd.h>

#include "trireme/host/build_info.hpp"
#include "trireme/host/mesh_table.hpp"

namespace trireme {

namespace {

constexpr std::array<std::string_view, 13> kPrefixes = {
    "SLURM_", "PBS_",  "LSB_",  "FLUX_", "OMP_",      "OMPI_",   "PRTE_",
    "UCX_",   "NCCL_", "CUDA_", "HDF5_", "OPENBLAS_", "TRIREME_"};
/// Slurm's and Flux's credentials, Open MPI's transport keys, and secrets that users may add.
constexpr std::array<std::string_view, 11> kSecrets = {"TOKEN",      "JWT",  "KEY",    "SECRET",
                                                       "PASS",       "CRED", "AUTH",   "COOKIE",
                                                       "TRANSPORTS", "URI",  "CONTACT"};

bool is_reported(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto holds = [&](std::string_view word) { return upper.find(word) != upper.npos; };
  return std::ranges::any_of(kPrefixes, [&](auto p) { return name.starts_with(p); }) &&
         std::ranges::none_of(kSecrets, holds);
}

/// Joins a text's lines into one line.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return text;
}

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.ends_with('\0')) text.pop_back();
  std::ranges::replace(text, '\0', ' ');
  return one_line(text);
}

std::string user_name() {
  const passwd* user = getpwuid(geteuid());
  return user != nullptr ? user->pw_name : fmt::format("{}", geteuid());
}

std::string variables() {
  std::vector<std::string> lines;
  for (char** v = environ; *v != nullptr; ++v) {
    const std::string_view line = *v;
    if (is_reported(line.substr(0, line.find('=')))) {
      lines.push_back(one_line(std::string(line)));
    }
  }
  std::ranges::sort(lines);
  std::string text;
  for (const std::string& line : lines) text += "  " + line + '\n';
  return text;
}

std::string node_text(const NodeFacts& node) {
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  return fmt::format(
      "{}; {} cores, {} hardware threads in {} NUMA node{}; {:.1f} GiB, {:.1f} available",
      node.processor.empty() ? "processor unknown" : node.processor, node.cores,
      node.processors, node.numa_nodes, node.numa_nodes == 1 ? "" : "s",
      static_cast<double>(node.memory) / kGiB, static_cast<double>(node.available) / kGiB);
}

std::string hosts(const std::vector<RankFacts>& ranks) {
  struct Host {
    std::vector<int> ranks;
    std::vector<std::string> devices;
    NodeFacts node;
  };
  std::map<std::string, Host> all;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    Host& host = all[ranks[i].host];
    host.ranks.push_back(static_cast<int>(i));
    host.node = ranks[i].node;
    const bool gpu = !ranks[i].gpu.empty();
    host.devices.push_back(gpu ? ranks[i].device + ' ' + ranks[i].gpu : ranks[i].device);
  }
  std::string text;
  for (auto& [name, host] : all) {
    const auto last = std::ranges::unique(host.devices).begin();  // equal only for CPUs
    host.devices.erase(last, host.devices.end());
    text += fmt::format("  {}: ranks {}; {}; {}\n", name, number_range(host.ranks),
                        node_text(host.node), fmt::join(host.devices, ", "));
  }
  return text;
}

std::string or_none(const std::string& text) { return text.empty() ? "none" : text; }

}  // namespace

std::string date_text() {
  const std::time_t now =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  localtime_r(&now, &parts);
  std::array<char, 64> text{};
  const std::size_t n = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S %z", &parts);
  return {text.data(), n};
}

std::string batch_job() {
  constexpr std::array<std::array<const char*, 2>, 4> kSystems = {{{"Slurm", "SLURM_JOB_ID"},
                                                                   {"PBS", "PBS_JOBID"},
                                                                   {"LSF", "LSB_JOBID"},
                                                                   {"Flux", "FLUX_JOB_ID"}}};
  for (const auto& [system, variable] : kSystems) {
    const char* id = std::getenv(variable);
    if (id != nullptr && *id != '\0') return fmt::format("{} job {}", system, one_line(id));
  }
  return {};
}

std::string start_mark() {
  const std::string job = batch_job();
  return fmt::format("---- start {}{} on {} ----", date_text(), job.empty() ? "" : ", " + job,
                     host_name());
}

std::string environment_text(const std::vector<RankFacts>& ranks) {
  std::string libraries = libraries_text();
  for (auto at = libraries.find('\n'); at != std::string::npos; at = libraries.find('\n', at)) {
    libraries.replace(at, 1, "; ");
  }
  const char* modules = std::getenv("LOADEDMODULES");
  std::error_code ignored;
  std::string text = fmt::format("start      {}\n", date_text());
  text += fmt::format("version    {}\nbuild      {}\nlibraries  {}\nGPU driver {}\n",
                      version_text(), build_text(), libraries, or_none(gpu_driver_version()));
  text += fmt::format("command    {}\nfolder     {}\nuser       {}\n", command_line(),
                      std::filesystem::current_path(ignored).string(), user_name());
  text += fmt::format("job        {}\nmodules    {}\n", or_none(batch_job()),
                      or_none(modules != nullptr ? one_line(modules) : ""));
  text += "variables  of rank 0\n" + variables();
  text += fmt::format("hosts      {} rank{}\n", ranks.size(), ranks.size() == 1 ? "" : "s");
  return text + hosts(ranks);
}

}  // namespace trireme
