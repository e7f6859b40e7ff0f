// SPDX-License-Identifier: Apache-2.0
// Tests whether code ends its process, and with which message.
#pragma once

#include <array>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

/// Runs `code` in a process of its own. Returns what the process writes to stderr if it ends
/// with exit code 70, else "".
template <class F>
std::string message_of_death(F&& code) {
  int ends[2];
  if (pipe(ends) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    code();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 512> part{};
  for (ssize_t n = 0; (n = read(ends[0], part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 70 ? text : "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
