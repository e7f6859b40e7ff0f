// SPDX-License-Identifier: Apache-2.0
// Stands for the CUDA backend in a build without CUDA: each function reports what is missing.
#include "trireme/backend/cuda.hpp"
#include "trireme/core/error.hpp"

namespace trireme {

std::string cuda_version() { return ""; }
std::string cuda_tuning() { return ""; }

void set_cuda_environment(bool /*several*/) {}

std::string cuda_trouble() {
  return "this program was built without CUDA; build it where nvcc is found, with "
         "-DTRIREME_CUDA=ON";
}

int cuda_device_count() { return 0; }
std::string cuda_device_id(int /*index*/) { throw Error(cuda_trouble()); }
std::size_t cuda_free_memory(int /*index*/) { throw Error(cuda_trouble()); }
std::string nccl_trouble() { return cuda_trouble(); }

std::unique_ptr<Device> make_cuda_device(int /*index*/) { throw Error(cuda_trouble()); }

std::unique_ptr<Kernels> make_cuda_kernels(Device& /*device*/, const CudaOptions& /*options*/) {
  throw Error(cuda_trouble());
}

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> /*host*/,
                                                     Device& /*device*/, Stream& /*compute*/) {
  throw Error(cuda_trouble());
}

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> /*host*/,
                                                       Device& /*device*/, Stream& /*compute*/,
                                                       bool /*direct*/) {
  throw Error(cuda_trouble());
}

}  // namespace trireme
