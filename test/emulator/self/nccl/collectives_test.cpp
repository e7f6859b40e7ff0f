// SPDX-License-Identifier: Apache-2.0
// Emulated NCCL. Ranks are forked processes, each with a device of its own.
#define BOOST_TEST_MODULE emulator_nccl
#include <cstdlib>
#include <functional>
#include <nccl.h>
#include <numeric>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "../array.hpp"

namespace {

// Whether f(rank, id) returns true on all ranks.
bool on_ranks(int ranks, const std::function<bool(int, const ncclUniqueId&)>& f) {
  ncclUniqueId id{};
  ncclGetUniqueId(&id);
  std::vector<pid_t> children;
  for (int r = 0; r < ranks; ++r) {
    const pid_t child = fork();
    if (child == 0) {
      setenv("TRIREME_EMULATED_DEVICES", "4", 1);
      setenv("TRIREME_EMULATED_SEED", std::to_string(r + 1).c_str(), 1);
      cudaSetDevice(r);
      _exit(f(r, id) ? 0 : 1);
    }
    children.push_back(child);
  }
  bool all = true;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    all = all && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  return all;
}

ncclComm_t join(const ncclUniqueId& id, int ranks, int rank) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
  ncclComm_t comm = nullptr;
  return ncclCommInitRankConfig(&comm, ranks, id, rank, &config) == ncclSuccess ? comm
                                                                                : nullptr;
}

std::vector<float> numbers(std::size_t count, int first) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), static_cast<float>(first));
  return values;
}

struct Stream {
  Stream() { cudaStreamCreateWithFlags(&native, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(native); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t native = nullptr;
};

}  // namespace

BOOST_AUTO_TEST_CASE(collectives) {
  // Several pieces, and not a multiple of a piece.
  constexpr std::size_t kCount = 50001;
  BOOST_TEST(on_ranks(3, [](int rank, const ncclUniqueId& id) {
    const Stream s;
    ncclComm_t comm = join(id, 3, rank);
    const Array<float> x(kCount);
    const Array<float> all(3 * kCount);
    const Array<float> sum(kCount);
    x.set(numbers(kCount, 1000 * rank));
    ncclAllGather(x.at, all.at, kCount, ncclFloat32, comm, s.native);
    ncclAllReduce(x.at, sum.at, kCount, ncclFloat32, ncclSum, comm, s.native);
    ncclAllReduce(sum.at, sum.at, 1, ncclFloat32, ncclMax, comm, s.native);
    ncclBroadcast(x.at, x.at, kCount * 4, ncclUint8, 1, comm, s.native);
    cudaStreamSynchronize(s.native);
    bool right = x.get() == numbers(kCount, 1000);
    for (std::size_t r = 0; r < 3; ++r) {
      right = right && all.get()[r * kCount + 77] == static_cast<float>(1000 * r + 77);
    }
    return right && sum.get()[50000] == 153000.0F && sum.get()[0] == 3000.0F;
  }));
}

BOOST_AUTO_TEST_CASE(messages_get_on_while_the_host_is_elsewhere) {
  BOOST_TEST(on_ranks(2, [](int rank, const ncclUniqueId& id) {
    const Stream s;
    ncclComm_t comm = join(id, 2, rank);
    const Array<float> x(100000);
    const Array<float> y(100000);
    x.set(numbers(x.size, rank));
    if (rank == 0) {
      ncclSend(x.at, x.size, ncclFloat32, 1, comm, s.native);
      sleep(1);  // makes no call meanwhile
      return cudaStreamQuery(s.native) == cudaSuccess;
    }
    ncclRecv(y.at, y.size, ncclFloat32, 0, comm, s.native);
    cudaStreamSynchronize(s.native);
    return y.get() == numbers(y.size, 0);
  }));
}

BOOST_AUTO_TEST_CASE(a_group_is_one_exchange_and_parts_split_off) {
  BOOST_TEST(on_ranks(4, [](int rank, const ncclUniqueId& id) {
    const Stream s;
    ncclComm_t comm = join(id, 4, rank);
    ncclComm_t pair = nullptr;
    if (ncclCommSplit(comm, rank % 2, -rank, &pair, nullptr) != ncclSuccess) return false;
    int at = -1;
    ncclCommUserRank(pair, &at);
    const Array<float> x(30000);
    const Array<float> y(30000);
    x.set(numbers(x.size, rank));
    ncclGroupStart();
    ncclSend(x.at, x.size, ncclFloat32, 1 - at, pair, s.native);
    ncclRecv(y.at, y.size, ncclFloat32, 1 - at, pair, s.native);
    ncclGroupEnd();
    cudaStreamSynchronize(s.native);
    return at == (rank < 2 ? 1 : 0) && y.get() == numbers(y.size, (rank + 2) % 4);
  }));
}

BOOST_AUTO_TEST_CASE(ranks_that_share_a_device_are_refused) {
  BOOST_TEST(on_ranks(2, [](int rank, const ncclUniqueId& id) {
    cudaSetDevice(0);
    return join(id, 2, rank) == nullptr;
  }));
}
