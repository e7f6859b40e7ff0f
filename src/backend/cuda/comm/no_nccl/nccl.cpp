// SPDX-License-Identifier: Apache-2.0
// Stands for NCCL in a build without NCCL.
#include "trireme/backend/cuda.hpp"
#include "trireme/core/error.hpp"

#include "../../runtime/probe.hpp"

namespace trireme {

std::string cuda::nccl_version() { return ""; }

std::string nccl_trouble() { return "this program was built without it"; }

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> /*host*/,
                                                     Device& /*device*/, Stream& /*compute*/) {
  throw Error(
      "this program was built without NCCL: build it where nccl.h and libnccl are found, or "
      "set communication: staged");
}

}  // namespace trireme
