// SPDX-License-Identifier: Apache-2.0
// Handles failures of NCCL, found at the call or later.
#include "lane.hpp"

#include <exception>

#include "trireme/core/error.hpp"
#include "trireme/core/log.hpp"

namespace trireme::cuda {

namespace {

void check(ncclResult_t code, const char* call) {
  TRM_REQUIRE(code == ncclSuccess, "{} failed: {} ({}); NCCL_DEBUG=INFO says more", call,
              ncclGetErrorString(code), ncclGetLastError(nullptr));
}

class LaneRequest final : public Request {
 public:
  LaneRequest(std::shared_ptr<Lane> lane, Stream& compute, std::unique_ptr<Buffer> scratch)
      : lane_(std::move(lane)),
        compute_(compute),
        done_(lane_->record()),
        scratch_(std::move(scratch)) {}
  bool test() override {
    if (done_ == nullptr) return true;
    lane_->look();
    if (!done_->done()) return false;
    wait();
    return true;
  }
  void wait() override {
    if (done_ == nullptr) return;
    lane_->look();
    compute_.wait(*done_);
    done_.reset();
    scratch_.reset();
    lane_.reset();  // may end the lane, with its other ranks; a forgotten request must not
  }

 private:
  std::shared_ptr<Lane> lane_;
  Stream& compute_;
  std::unique_ptr<Event> done_;
  std::unique_ptr<Buffer> scratch_;
};

}  // namespace

ncclConfig_t config_of(int most_blocks) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 1;
  config.minCTAs = 1;
  config.maxCTAs = most_blocks;
  return config;
}

ncclComm_t join(const ncclUniqueId& id, int ranks, int rank, int most_blocks) {
  ncclConfig_t config = config_of(most_blocks);
  ncclComm_t comm = nullptr;
  check(ncclCommInitRankConfig(&comm, ranks, id, rank, &config), "ncclCommInitRankConfig");
  return comm;
}

ncclUniqueId make_unique_id() {
  ncclUniqueId id{};
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return id;
}

Lane::Lane(ncclComm_t comm, std::string group)
    : comm_(comm), group_(std::move(group)), watch_([this] {
        if (comm_ != nullptr) look();
      }) {}

Lane::~Lane() {
  if (comm_ == nullptr) return;
  // Destroying waits for other ranks: abort instead while this rank alone handles an error.
  bool quiet = std::uncaught_exceptions() == 0;
  try {
    if (quiet) stream_.synchronize();
  } catch (const std::exception& e) {
    quiet = false;
    log::warn("{}", e.what());
  }
  if (comm_ == nullptr) return;
  if (quiet) {
    ncclCommDestroy(comm_);
  } else {
    ncclCommAbort(comm_);
  }
}

void Lane::look() {
  TRM_REQUIRE(comm_ != nullptr, "a call in {} after a failed one", group_);
  ncclResult_t state = ncclSuccess;
  if (const ncclResult_t code = ncclCommGetAsyncError(comm_, &state); code != ncclSuccess) {
    fail(code);
  }
  if (state != ncclSuccess && state != ncclInProgress) fail(state);
}

void Lane::fail(ncclResult_t code) {
  const std::string reason =
      fmt::format("{} ({})", ncclGetErrorString(code), ncclGetLastError(comm_));
  ncclCommAbort(comm_);  // else waiting kernels would hold the GPU for ever
  comm_ = nullptr;
  throw Error(
      fmt::format("NCCL failed in {}, last with {} of {} bytes: {}; NCCL_DEBUG=INFO says more",
                  group_, what_, bytes_, reason));
}

RequestPtr make_request(std::shared_ptr<Lane> lane, Stream& compute,
                        std::unique_ptr<Buffer> scratch) {
  return std::make_unique<LaneRequest>(std::move(lane), compute, std::move(scratch));
}

}  // namespace trireme::cuda
