// SPDX-License-Identifier: Apache-2.0
// Schedules the threads of one thread block. A thread needs no fiber until it begins: the fiber
// of an ended thread takes it over. Kernels without barriers never switch.
#include "block.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <boost/context/fiber.hpp>

#include "pages.hpp"
#include "place.hpp"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace trireme::emulator {
namespace {

namespace context = boost::context;

constexpr std::size_t kStack = std::size_t{128} << 10U;

struct Fiber {
  context::fiber context;  // valid while the fiber doesn't run
};

struct Copy {
  void* shared;
  const void* global;
  bool valid;
  int group;
};

enum class State { ready, at_barrier, in_warp, done };

struct Thread {
  State state = State::ready;
  Fiber* fiber = nullptr;  // null until the thread begins
  uint3 index{};
  unsigned number = 0;
  const char* operation = "";
  Site site{nullptr, 0};
  std::vector<Copy> copies;
  int groups = 0;
};

struct Warp {
  std::array<void*, kWarp> lanes{};
  int arrived = 0;
  WarpAction action = nullptr;
  const char* name = "";
  Site site{nullptr, 0};
};

// Threads that can continue, each at most once.
class Ready {
 public:
  void push_back(Thread* t) { ring_[(first_ + count_++) % kMostThreads] = t; }
  void push_front(Thread* t) {
    first_ = (first_ + kMostThreads - 1) % kMostThreads;
    ring_[first_] = t;
    ++count_;
  }
  Thread* pop() {
    if (count_ == 0) return nullptr;
    Thread* t = ring_[first_];
    first_ = (first_ + 1) % kMostThreads;
    --count_;
    return t;
  }

 private:
  std::array<Thread*, kMostThreads> ring_{};
  unsigned first_ = 0;
  unsigned count_ = 0;
};

// Boost requires a stack allocator. Stacks are never freed.
struct KeptStack {
  void deallocate(context::stack_context& /*stack*/) noexcept {}
};

class Scheduler {
 public:
  void run_block(unsigned threads, const std::function<void()>& body) {
    body_ = &body;
    count_ = threads;
    done_ = 0;
    at_barrier_ = 0;
    begin_threads();
    running_ = &main_;
    enter(*ready_.pop());
    // The last thread has ended.
    current_ = nullptr;
  }

  void barrier(Site site) {
    Thread& me = *current_;
    if (at_barrier_ > 0 && !same(site, barrier_site_)) {
      fatal("threads wait at different __syncthreads: this one at %s:%d, others at %s:%d",
            site.file, site.line, barrier_site_.file, barrier_site_.line);
    }
    barrier_site_ = site;
    if (++at_barrier_ == count_) {
      at_barrier_ = 0;
      release_all(me);
    } else {
      stop(me, State::at_barrier, "__syncthreads", site);
    }
  }

  void collective(const char* name, void* mine, WarpAction action, Site site) {
    Thread& me = *current_;
    Warp& warp = warps_[me.number / kWarp];
    if (warp.arrived > 0 && (warp.action != action || !same(warp.site, site))) {
      fatal("lanes of a warp meet different operations: %s at %s:%d here, %s at %s:%d others",
            name, site.file, site.line, warp.name, warp.site.file, warp.site.line);
    }
    warp.name = name;
    warp.action = action;
    warp.site = site;
    warp.lanes[me.number % kWarp] = mine;
    if (++warp.arrived < kWarp) {
      stop(me, State::in_warp, name, site);
      return;
    }
    warp.arrived = 0;
    action(warp.lanes.data());
    // The warp continues at once, or after the other warps.
    const std::uint64_t bits = random_bits();
    const unsigned turn = static_cast<unsigned>(bits >> 8U) % kWarp;
    const unsigned first = me.number - me.number % kWarp;
    for (unsigned i = 0; i < kWarp; ++i) {
      Thread& t = threads_[first + (i ^ turn)];
      t.state = State::ready;
      (bits & 1U) != 0 ? ready_.push_front(&t) : ready_.push_back(&t);
    }
    leave(me);
  }

  [[nodiscard]] Thread* current() { return current_; }

 private:
  void begin_threads() {
    if (threads_.size() < count_) threads_.resize(count_);
    warps_.assign((count_ + kWarp - 1) / kWarp, Warp{});
    order_.resize(count_);
    for (unsigned i = 0; i < count_; ++i) {
      Thread& t = threads_[i];
      t.state = State::ready;
      t.fiber = nullptr;
      t.number = i;
      t.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
      t.copies.clear();
      t.groups = 0;
      order_[i] = i;
    }
    push_shuffled();
  }

  void push_shuffled() {
    for (unsigned i = count_; i > 1; --i) std::swap(order_[i - 1], order_[random_below(i)]);
    for (unsigned i = 0; i < count_; ++i) ready_.push_back(&threads_[order_[i]]);
  }

  void release_all(Thread& me) {
    for (unsigned i = 0; i < count_; ++i) threads_[i].state = State::ready;
    push_shuffled();
    leave(me);
  }

  void stop(Thread& me, State state, const char* operation, Site site) {
    me.state = state;
    me.operation = operation;
    me.site = site;
    leave(me);
  }

  // Runs another thread. Returns when the turn of `me` comes.
  void leave(Thread& me) {
    Thread* next = ready_.pop();
    if (next == nullptr) stuck();
    if (next != &me) enter(*next);
  }

  void enter(Thread& next) {
    if (next.fiber == nullptr) next.fiber = free_fiber();
    set_current(next);
    switch_to(*next.fiber);
  }

  void set_current(Thread& t) {
    current_ = &t;
    threadIdx = t.index;
  }

  void switch_to(Fiber& to) {
    Fiber* me = running_;
    left_ = me;
    running_ = &to;
    context::fiber back = std::move(to.context).resume();
    left_->context = std::move(back);
    // The fiber that switched back has set current_ and running_.
  }

  // The life of a fiber: one thread after another.
  void live(context::fiber&& back) {
    left_->context = std::move(back);
    for (;;) {
      (*body_)();
      current_->state = State::done;
      ++done_;
      Fiber* mine = current_->fiber;
      Thread* next = ready_.pop();
      if (next == nullptr && done_ < count_) stuck();
      if (next != nullptr && next->fiber == nullptr) {
        next->fiber = mine;
        set_current(*next);
        continue;
      }
      free_.push_back(mine);
      if (next == nullptr) {
        switch_to(main_);
      } else {
        set_current(*next);
        switch_to(*next->fiber);
      }
    }
  }

  Fiber* free_fiber() {
    if (!free_.empty()) {
      Fiber* fiber = free_.back();
      free_.pop_back();
      return fiber;
    }
    auto* bottom = static_cast<std::byte*>(map_between_guards(kStack));
    // Stack tops have different offsets in a page, to spread over the lines of the cache.
    const std::size_t offset = fibers_.size() % 61 * 64;
    context::stack_context stack;
    stack.size = kStack - offset;
    stack.sp = bottom + stack.size;
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->context =
        context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                       KeptStack(), [this](context::fiber&& back) -> context::fiber {
                         live(std::move(back));
                         return {};
                       });
    return fibers_.back().get();
  }

  // Reports that no thread can continue, though some haven't ended.
  [[noreturn]] void stuck() {
    for (unsigned i = 0; i < count_; ++i) {
      const Thread& t = threads_[i];
      if (t.state == State::at_barrier || t.state == State::in_warp) {
        fatal(
            "thread %u waits in %s at %s:%d for threads that don't come: %u of %u have ended, "
            "%u wait at a __syncthreads, the others in a warp operation",
            i, t.operation, t.site.file, t.site.line, done_, count_, at_barrier_);
      }
    }
    fatal("no thread can go on");
  }

  const std::function<void()>* body_ = nullptr;
  unsigned count_ = 0;
  unsigned done_ = 0;
  unsigned at_barrier_ = 0;
  Site barrier_site_{nullptr, 0};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> order_;
  Ready ready_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  Fiber main_;
  Fiber* running_ = nullptr;
  Fiber* left_ = nullptr;
  Thread* current_ = nullptr;
};

// The scheduler is never destroyed, since its fibers can't be.
Scheduler& scheduler() {
  static auto& only = *new Scheduler;
  return only;
}

std::byte* shared_begin = nullptr;

std::byte* shared_end() {
  static auto* const end =
      static_cast<std::byte*>(map_between_guards(std::size_t{256} << 10U)) +
      (std::size_t{256} << 10U);
  return end;
}

}  // namespace

void check_launch(const Launch& launch) {
  const dim3& b = launch.block;
  const dim3& g = launch.grid;
  const auto refuse = [&](const char* why) {
    fatal("launch at %s:%d of grid (%u, %u, %u), block (%u, %u, %u), %zu bytes shared: %s",
          launch.where.file, launch.where.line, g.x, g.y, g.z, b.x, b.y, b.z,
          launch.shared_bytes, why);
  };
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  if (threads == 0 || threads > kMostThreads || b.z > 64) refuse("1 to 1024 threads a block");
  if (threads % kWarp != 0) refuse("the block is no multiple of 32 threads");
  if (g.x == 0 || g.y == 0 || g.z == 0) refuse("the grid is empty");
  if (g.x > 0x7fffffffU) refuse("grid.x is over 2^31 - 1");
  if (g.y > 65535 || g.z > 65535) refuse("grid.y or grid.z is over 65535");
  if (launch.shared_bytes > kMostShared) refuse("over 227 KiB of dynamic shared memory");
}

void run_grid(const Launch& launch, const std::function<void()>& body) {
  check_launch(launch);
  const Place place(launch.where);
  blockDim = launch.block;
  gridDim = launch.grid;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const std::size_t shared = (launch.shared_bytes + 127) / 128 * 128;
  shared_begin = shared_end() - shared;
  for (unsigned z = 0; z < gridDim.z; ++z) {
    for (unsigned y = 0; y < gridDim.y; ++y) {
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = {x, y, z};
        if (shared > 0) std::memset(shared_begin, 0xFF, shared);
        scheduler().run_block(threads, body);
      }
    }
  }
}

void barrier(Site site) { scheduler().barrier(site); }

void warp_collective(const char* name, unsigned mask, void* mine, WarpAction action,
                     Site site) {
  if (mask != 0xffffffffU) {
    fatal("%s at %s:%d with mask %#x: all 32 lanes are to take part", name, site.file,
          site.line, mask);
  }
  scheduler().collective(name, mine, action, site);
}

void* dynamic_shared() { return shared_begin; }

void check_aligned16(const void* p, const char* what, Site site) {
  if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0) {
    fatal("%s at %s:%d: %p is no multiple of 16", what, site.file, site.line, p);
  }
}

void copy_later(void* shared, const void* global, bool valid) {
  Thread& t = *scheduler().current();
  std::memset(shared, 0xFF, 16);  // undefined until the copy is waited for
  t.copies.push_back({shared, global, valid, t.groups});
}

void close_copies() { ++scheduler().current()->groups; }

void finish_copies(int left) {
  Thread& t = *scheduler().current();
  const auto due = [&](const Copy& c) { return c.group < t.groups - left; };
  for (const Copy& c : t.copies) {
    if (!due(c)) continue;
    if (c.valid) {
      std::memcpy(c.shared, c.global, 16);
    } else {
      std::memset(c.shared, 0, 16);
    }
  }
  std::erase_if(t.copies, due);
}

}  // namespace trireme::emulator
