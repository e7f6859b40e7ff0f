// SPDX-License-Identifier: Apache-2.0
// Faults as they occur in layouts, to be planted in one rank's units and communicators.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trireme/model/transformer.hpp"
#include "trireme/verify/verify.hpp"

namespace trireme::test {

/// A unit around another one, which it calls.
class FaultyUnit : public Module {
 public:
  explicit FaultyUnit(std::unique_ptr<Module> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] std::string name() const override { return inner_->name(); }
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override {
    return inner_->forward(ex, x, tape);
  }
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override {
    return inner_->backward(ex, dy, tape);
  }
  void visit(const ParameterVisitor& f) override { inner_->visit(f); }

 protected:
  [[nodiscard]] Parameter& parameter(const std::string& name) {
    Parameter* found = nullptr;
    inner_->visit([&](Parameter& p) {
      if (p.name == name) found = &p;
    });
    TRM_CHECK(found != nullptr, "no parameter {}", name);
    return *found;
  }
  std::unique_ptr<Module> inner_;
};

/// Multiplies what each backward adds to one gradient.
class ScaledGradient final : public FaultyUnit {
 public:
  ScaledGradient(std::unique_ptr<Module> inner, std::string parameter, float factor)
      : FaultyUnit(std::move(inner)), name_(std::move(parameter)), factor_(factor) {}
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override {
    const View grad = parameter(name_).grad;
    auto* g = grad.data<float>();
    const std::vector<float> before(g, g + grad.count());
    Tensor dx = inner_->backward(ex, dy, tape);
    for (std::size_t i = 0; i < before.size(); ++i) {
      g[i] = before[i] + factor_ * (g[i] - before[i]);
    }
    return dx;
  }

 private:
  std::string name_;
  float factor_;
};

/// Uses the queries, keys and values of this rank's first two heads in each other's place.
class SwappedHeads final : public FaultyUnit {
 public:
  SwappedHeads(std::unique_ptr<Module> inner, std::int64_t head_dim)
      : FaultyUnit(std::move(inner)), rows_(3 * head_dim) {}
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override {
    swap();
    Tensor y = inner_->forward(ex, x, tape);
    swap();
    return y;
  }

 private:
  void swap() {
    const View w = parameter(name() + ".attention.query_key_value.weight").value;
    const std::size_t head = w.slice_rows(0, rows_).bytes();
    auto* const first = static_cast<std::byte*>(w.raw());
    std::swap_ranges(first, first + head, first + head);
  }
  std::int64_t rows_;
};

/// Draws the dropout of other samples.
class OtherDropout final : public FaultyUnit {
 public:
  using FaultyUnit::FaultyUnit;
  [[nodiscard]] Tensor forward(const Exec& ex, const Tensor& x, Tape& tape) override {
    MicroBatch mb = tape.micro_batch();
    ++mb.first_sample;
    Tape own(mb, tape.recording());
    Tensor y = inner_->forward(ex, x, own);
    tapes_.insert_or_assign(tape.micro_batch().first_sample, std::move(own));
    return y;
  }
  [[nodiscard]] Tensor backward(const Exec& ex, const Tensor& dy, Tape& tape) override {
    return inner_->backward(ex, dy, tapes_.at(tape.micro_batch().first_sample));
  }

 private:
  std::map<std::uint64_t, Tape> tapes_;
};

/// A communicator whose gathers leave other ranks' blocks as they were: `first`, as the first
/// gather from the same memory brought them; else as the memory held them before.
class StaleGathers final : public Communicator {
 public:
  StaleGathers(std::unique_ptr<Communicator> inner, bool first)
      : inner_(std::move(inner)), first_(first) {}

  [[nodiscard]] int rank() const override { return inner_->rank(); }
  [[nodiscard]] int size() const override { return inner_->size(); }
  void all_reduce(const View& data, Reduction op) override { inner_->all_reduce(data, op); }
  void all_gather(const ConstView& from, const View& to) override {
    inner_->all_gather(from, to);
  }
  void reduce_scatter(const ConstView& from, const View& to) override {
    inner_->reduce_scatter(from, to);
  }
  [[nodiscard]] RequestPtr start_reduce_scatter(const ConstView& from, const View& to,
                                                bool accumulate, const View& room) override {
    return inner_->start_reduce_scatter(from, to, accumulate, room);
  }
  [[nodiscard]] RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    const auto* const bytes = static_cast<const std::byte*>(to.raw());
    std::vector<std::byte> old(bytes, bytes + to.bytes());
    auto request = inner_->start_all_gather(from, to);
    return std::make_unique<Stale>(*this, std::move(request), from.raw(), to, std::move(old));
  }
  void broadcast(const View& data, int root) override { inner_->broadcast(data, root); }
  [[nodiscard]] RequestPtr start_send(const ConstView& data, int to, int tag) override {
    return inner_->start_send(data, to, tag);
  }
  [[nodiscard]] RequestPtr start_receive(const View& data, int from, int tag) override {
    return inner_->start_receive(data, from, tag);
  }
  void barrier() override { inner_->barrier(); }
  [[nodiscard]] std::unique_ptr<Communicator> split(int color, int key) override {
    return inner_->split(color, key);
  }
  [[nodiscard]] std::vector<std::string> gather_text(const std::string& text,
                                                     int root) override {
    return inner_->gather_text(text, root);
  }

 private:
  class Stale final : public Request {
   public:
    Stale(StaleGathers& of, RequestPtr inner, const void* key, const View& to,
          std::vector<std::byte> old)
        : of_(of), inner_(std::move(inner)), key_(key), to_(to), old_(std::move(old)) {}
    bool test() override { return inner_->test(); }
    void wait() override {
      inner_->wait();
      auto* const to = static_cast<std::byte*>(to_.raw());
      if (of_.first_) {
        old_ = of_.kept_.try_emplace(key_, to, to + to_.bytes()).first->second;
      }
      const std::size_t block = to_.bytes() / static_cast<std::size_t>(of_.size());
      for (std::size_t r = 0; r < static_cast<std::size_t>(of_.size()); ++r) {
        if (static_cast<int>(r) == of_.rank()) continue;
        std::copy_n(old_.begin() + static_cast<std::ptrdiff_t>(r * block), block,
                    to + r * block);
      }
    }

   private:
    StaleGathers& of_;
    RequestPtr inner_;
    const void* key_;
    View to_;
    std::vector<std::byte> old_;
  };

  std::unique_ptr<Communicator> inner_;
  bool first_;
  std::map<const void*, std::vector<std::byte>> kept_;
};

/// Replaces the unit `name` where this rank has it.
template <class Unit, class... Arguments>
void replace_unit(VerifySetup::Parts& parts, const std::string& name,
                  const Arguments&... arguments) {
  for (auto& part : parts) {
    for (auto& unit : part->units()) {
      if (unit->name() == name) unit = std::make_unique<Unit>(std::move(unit), arguments...);
    }
  }
}

}  // namespace trireme::test
