// SPDX-License-Identifier: Apache-2.0
// NCCL's calls, for blocking communicators between processes of one machine. Communication is
// queued on its stream and proceeds while the host does other work.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_fp16.h>
#include <memory>
#include <nccl.h>
#include <set>
#include <unistd.h>
#include <vector>

#include "arrays.hpp"
#include "counts.hpp"
#include "devices.hpp"
#include "mailboxes.hpp"

using namespace trireme::emulator;

struct ncclComm {
  std::shared_ptr<Mailboxes> boxes;
  int splits = 0;
  std::set<std::pair<std::uint32_t, int>> connections{};
};

namespace {

enum Kind : std::uint32_t { message = 1, gather, reduction, broadcast };

// One direction of one message.
struct Part {
  bool out = false;
  int other = 0;
  std::uint32_t kind = message;
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::size_t bytes = 0;
  std::size_t moved = 0;
  bool begun = false;

  [[nodiscard]] bool done() const { return begun && moved == bytes; }
};

struct Exchange {
  std::shared_ptr<Mailboxes> boxes;
  std::shared_ptr<StreamState> stream;
  std::vector<Part> parts;
  std::function<void()> before;  // runs before the parts move
  std::function<void()> after;
  bool begun = false;
};

// Calls of this thread between ncclGroupStart and ncclGroupEnd.
thread_local int depth = 0;
thread_local std::vector<Exchange> together;

void move_on(Part& part, Mailboxes& boxes) {
  Mailbox& box =
      part.out ? boxes.box(boxes.rank(), part.other) : boxes.box(part.other, boxes.rank());
  while (!part.done() && (box.full.load() != 0) != part.out) {
    const std::size_t piece = std::min(kPiece, part.bytes - part.moved);
    if (part.out) {
      box.kind = part.kind;
      box.whole = part.bytes;
      std::memcpy(box.piece, part.from + part.moved, piece);
    } else {
      if (box.kind != part.kind || box.whole != part.bytes) {
        fatal("NCCL: rank %d sends %llu bytes (kind %u), rank %d wants %zu (kind %u)",
              part.other, static_cast<unsigned long long>(box.whole), box.kind, boxes.rank(),
              part.bytes, part.kind);
      }
      std::memcpy(part.to + part.moved, box.piece, piece);
    }
    part.moved += piece;
    part.begun = true;
    box.full = part.out ? 1 : 0;
  }
}

bool advance(Exchange& x) {
  if (x.boxes->left()) return true;
  if (!x.begun && x.before) x.before();
  x.begun = true;
  bool all = true;
  for (std::size_t i = 0; i < x.parts.size(); ++i) {
    Part& part = x.parts[i];
    if (part.done()) continue;
    // Messages between two ranks keep their order.
    const bool first = std::none_of(
        x.parts.begin(), x.parts.begin() + static_cast<long>(i),
        [&](const Part& p) { return !p.done() && p.out == part.out && p.other == part.other; });
    if (first) move_on(part, *x.boxes);
    all = all && part.done();
  }
  if (all && x.after) x.after();
  return all;
}

void queue(Exchange exchange) {
  const auto shared = std::make_shared<Exchange>(std::move(exchange));
  queue_poll(shared->stream, [shared] { return advance(*shared); });
}

// Merges the calls on one communicator and stream, which proceed together.
void flush() {
  const std::scoped_lock lock(api_mutex());
  std::vector<Exchange> merged;
  for (Exchange& x : together) {
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const Exchange& m) {
      return m.boxes == x.boxes && m.stream == x.stream && !m.after && !x.after && !m.before &&
             !x.before;
    });
    if (same == merged.end()) {
      merged.push_back(std::move(x));
    } else {
      same->parts.insert(same->parts.end(), x.parts.begin(), x.parts.end());
    }
  }
  together.clear();
  for (Exchange& x : merged) queue(std::move(x));
}

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      fatal("NCCL's type %d is not emulated", static_cast<int>(type));
  }
}

bool on_device(const void* p, std::size_t bytes) {
  const std::scoped_lock lock(api_mutex());
  return lies_in(p, bytes, Home::device);
}

// NCCL makes connections for messages at the first message of two ranks. Those for collectives
// are made at the start only if NCCL_RUNTIME_CONNECT is 0.
void connect(ncclComm& comm, const Exchange& x) {
  const char* const late = std::getenv("NCCL_RUNTIME_CONNECT");
  const bool early = late != nullptr && std::strcmp(late, "0") == 0;
  for (const Part& part : x.parts) {
    const int end = part.kind == message ? 2 * part.other + (part.out ? 1 : 0) : 0;
    if (part.kind != message && early) continue;
    if (comm.connections.insert({part.kind, end}).second) count(Cost::connection);
  }
}

ncclResult_t submit(ncclComm_t comm, cudaStream_t stream, Exchange x) {
  {
    const std::scoped_lock lock(api_mutex());
    x.stream = stream_state(stream);
  }
  if (comm == nullptr || x.stream == nullptr) return ncclInvalidArgument;
  connect(*comm, x);
  x.boxes = comm->boxes;
  together.push_back(std::move(x));
  if (depth == 0) flush();
  return ncclSuccess;
}

template <class T>
void combine(T* to, const T* from, std::size_t count, ncclRedOp_t op) {
  for (std::size_t i = 0; i < count; ++i) {
    if (op == ncclMax) {
      to[i] = std::max(to[i], from[i]);
    } else if (op == ncclMin) {
      to[i] = std::min(to[i], from[i]);
    } else {
      to[i] = static_cast<T>(to[i] + from[i]);
    }
  }
}

void combine_any(std::byte* to, const std::byte* from, std::size_t count, ncclDataType_t type,
                 ncclRedOp_t op) {
  const auto as = [&](auto tag) {
    using T = decltype(tag);
    combine(reinterpret_cast<T*>(to), reinterpret_cast<const T*>(from), count, op);
  };
  switch (type) {
    case ncclFloat32:
      return as(float{});
    case ncclFloat64:
      return as(double{});
    case ncclInt32:
      return as(std::int32_t{});
    case ncclUint32:
      return as(std::uint32_t{});
    case ncclInt64:
      return as(std::int64_t{});
    case ncclUint64:
      return as(std::uint64_t{});
    case ncclUint8:
      return as(std::uint8_t{});
    case ncclFloat16:
      return as(_Float16{});
    default:
      fatal("reductions of NCCL's type %d are not emulated", static_cast<int>(type));
  }
}

ncclResult_t make(ncclComm_t* comm, const std::string& name, int ranks, int rank) {
  auto boxes = std::make_shared<Mailboxes>(name, ranks, rank, current_device());
  if (!boxes->devices_differ()) return ncclInvalidUsage;
  *comm = new ncclComm{std::move(boxes)};
  return ncclSuccess;
}

}  // namespace

extern "C" {

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSuccess ? "no error" : "invalid usage";
}
const char* ncclGetLastError(ncclComm_t /*comm*/) { return ""; }

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int count = 0;
  std::snprintf(id->internal, sizeof(id->internal), "/trireme-emulated-%d-%d", getpid(),
                ++count);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (rank < 0 || rank >= ranks) return ncclInvalidArgument;
  if (config != nullptr && config->blocking == 0) {
    fatal("only blocking communicators are emulated");
  }
  return make(comm, id.internal, ranks, rank);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* part,
                           ncclConfig_t* /*config*/) {
  Mailboxes& boxes = *comm->boxes;
  std::int64_t all[kMostRanks][2];
  boxes.tell_all({color, key}, all);
  const int number = ++comm->splits;
  *part = nullptr;
  if (color == NCCL_SPLIT_NOCOLOR) return ncclSuccess;
  std::vector<std::pair<std::int64_t, int>> members;
  for (int r = 0; r < boxes.ranks(); ++r) {
    if (all[r][0] == color) members.emplace_back(all[r][1], r);
  }
  std::sort(members.begin(), members.end());
  int rank = 0;
  while (members[static_cast<std::size_t>(rank)].second != boxes.rank()) ++rank;
  const std::string name =
      boxes.name() + "." + std::to_string(number) + "." + std::to_string(color);
  return make(part, name, static_cast<int>(members.size()), rank);
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = comm->boxes->rank();
  return ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  *count = comm->boxes->ranks();
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t /*comm*/, ncclResult_t* error) {
  *error =
      std::getenv("TRIREME_EMULATED_NCCL_FAILS") == nullptr ? ncclSuccess : ncclRemoteError;
  return ncclSuccess;
}
// Waits for the other ranks, as NCCL may.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  comm->boxes->leave(true);
  delete comm;  // queued work keeps the boxes alive
  return ncclSuccess;
}
// Ends queued communication.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::scoped_lock lock(api_mutex());
  comm->boxes->leave(false);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (depth == 0) return ncclInvalidUsage;
  if (--depth == 0) flush();
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  if (peer < 0 || peer >= comm->boxes->ranks() || !on_device(from, bytes)) {
    return ncclInvalidArgument;
  }
  Exchange x;
  x.parts.push_back({true, peer, message, static_cast<const std::byte*>(from), nullptr, bytes});
  return submit(comm, stream, std::move(x));
}

ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  if (peer < 0 || peer >= comm->boxes->ranks() || !on_device(to, bytes)) {
    return ncclInvalidArgument;
  }
  Exchange x;
  x.parts.push_back({false, peer, message, nullptr, static_cast<std::byte*>(to), bytes});
  return submit(comm, stream, std::move(x));
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  const int me = comm->boxes->rank();
  if (!on_device(to, bytes) || (me == root && !on_device(from, bytes))) {
    return ncclInvalidArgument;
  }
  Exchange x;
  const auto* const f = static_cast<const std::byte*>(from);
  auto* const t = static_cast<std::byte*>(to);
  if (me == root) {
    for (int r = 0; r < comm->boxes->ranks(); ++r) {
      if (r != me) x.parts.push_back({true, r, broadcast, f, nullptr, bytes});
    }
    x.before = [=] { std::memmove(t, f, bytes); };
  } else {
    x.parts.push_back({false, root, broadcast, nullptr, t, bytes});
  }
  return submit(comm, stream, std::move(x));
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  const int me = comm->boxes->rank();
  const int ranks = comm->boxes->ranks();
  if (!on_device(from, bytes) || !on_device(to, bytes * static_cast<std::size_t>(ranks))) {
    return ncclInvalidArgument;
  }
  Exchange x;
  const auto* const f = static_cast<const std::byte*>(from);
  auto* const t = static_cast<std::byte*>(to);
  const auto block = [=](int r) { return t + bytes * static_cast<std::size_t>(r); };
  for (int r = 0; r < ranks; ++r) {
    if (r == me) continue;
    x.parts.push_back({true, r, gather, f, nullptr, bytes});
    x.parts.push_back({false, r, gather, nullptr, block(r), bytes});
  }
  x.before = [=] {
    if (block(me) != f) std::memcpy(block(me), f, bytes);
  };
  return submit(comm, stream, std::move(x));
}

ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t bytes = count * size_of(type);
  const int me = comm->boxes->rank();
  const int ranks = comm->boxes->ranks();
  if (!on_device(from, bytes) || !on_device(to, bytes)) return ncclInvalidArgument;
  if (op != ncclSum && op != ncclMax && op != ncclMin) {
    fatal("only sum, max and min are emulated");
  }
  Exchange x;
  auto all = std::make_shared<std::vector<std::byte>>(bytes * static_cast<std::size_t>(ranks));
  const auto block = [all, bytes](int r) {
    return all->data() + bytes * static_cast<std::size_t>(r);
  };
  for (int r = 0; r < ranks; ++r) {
    if (r == me) continue;
    x.parts.push_back({true, r, reduction, block(me), nullptr, bytes});
    x.parts.push_back({false, r, reduction, nullptr, block(r), bytes});
  }
  x.before = [=] { std::memcpy(block(me), from, bytes); };
  x.after = [=] {
    for (int r = 1; r < ranks; ++r) combine_any(block(0), block(r), count, type, op);
    std::memcpy(to, block(0), bytes);
  };
  return submit(comm, stream, std::move(x));
}

}  // extern "C"
