// SPDX-License-Identifier: Apache-2.0
// Measures how long each phase of a start takes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "trireme/core/clock.hpp"

namespace trireme {

class StartClock {
 public:
  /// Calls f and returns its result; the time counts as phase `name`.
  template <class F>
  decltype(auto) time(std::string name, F f) {
    const Phase phase(*this, std::move(name));
    return f();
  }
  /// Seconds by phase, in the order in which phases ended.
  [[nodiscard]] const std::vector<std::pair<std::string, double>>& phases() const {
    return phases_;
  }
  /// Seconds since this clock was made.
  [[nodiscard]] double seconds() const { return now() - began_; }

 private:
  class Phase {
   public:
    Phase(StartClock& clock, std::string name) : clock_(clock), name_(std::move(name)) {}
    ~Phase() { clock_.phases_.emplace_back(std::move(name_), now() - began_); }
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    StartClock& clock_;
    std::string name_;
    double began_ = now();
  };

  double began_ = now();
  std::vector<std::pair<std::string, double>> phases_;
};

}  // namespace trireme
