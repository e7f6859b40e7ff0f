// SPDX-License-Identifier: Apache-2.0
// Defines NCCL's functions for the linker. Each forwards its call to the library, which is
// loaded at the first call. Other libraries don't see these definitions.
#include "../../runtime/library.hpp"

#include <nccl.h>

#include "trireme/core/error.hpp"

namespace {

const trireme::cuda::Library& library() {
  static const trireme::cuda::Library found(fmt::format("libnccl.so.{}", NCCL_MAJOR),
                                            TRIREME_NCCL_LIBRARIES);
  return found;
}

template <auto Function>
decltype(Function) real(const char* name) {
  return trireme::cuda::find<Function>(library(), name);
}

}  // namespace

const char* ncclGetErrorString(ncclResult_t result) {
  return real<&ncclGetErrorString>("ncclGetErrorString")(result);
}

const char* ncclGetLastError(ncclComm_t comm) {
  return real<&ncclGetLastError>("ncclGetLastError")(comm);
}

ncclResult_t ncclGetVersion(int* version) {
  return real<&ncclGetVersion>("ncclGetVersion")(version);
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  return real<&ncclGetUniqueId>("ncclGetUniqueId")(id);
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  return real<&ncclCommInitRankConfig>("ncclCommInitRankConfig")(comm, ranks, id, rank, config);
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* part,
                           ncclConfig_t* config) {
  return real<&ncclCommSplit>("ncclCommSplit")(comm, color, key, part, config);
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  return real<&ncclCommUserRank>("ncclCommUserRank")(comm, rank);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  return real<&ncclCommGetAsyncError>("ncclCommGetAsyncError")(comm, error);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return real<&ncclCommDestroy>("ncclCommDestroy")(comm);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  return real<&ncclCommAbort>("ncclCommAbort")(comm);
}

ncclResult_t ncclGroupStart() { return real<&ncclGroupStart>("ncclGroupStart")(); }

ncclResult_t ncclGroupEnd() { return real<&ncclGroupEnd>("ncclGroupEnd")(); }

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return real<&ncclAllReduce>("ncclAllReduce")(from, to, count, type, op, comm, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return real<&ncclAllGather>("ncclAllGather")(from, to, count, type, comm, stream);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return real<&ncclBroadcast>("ncclBroadcast")(from, to, count, type, root, comm, stream);
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return real<&ncclSend>("ncclSend")(from, count, type, peer, comm, stream);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return real<&ncclRecv>("ncclRecv")(to, count, type, peer, comm, stream);
}
