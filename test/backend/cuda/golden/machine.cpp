// SPDX-License-Identifier: Apache-2.0
// Runs the golden models on a GPU, real or emulated, which all ranks share.
#include "../../../support/golden/machine.hpp"

#include "trireme/backend/cuda.hpp"

namespace trireme::test {

Machine::Machine()
    : device(make_cuda_device(0)),
      stream(device->make_stream()),
      kernels(make_cuda_kernels(*device, {})),
      ex{*device, *kernels, *stream, 1234} {}

std::unique_ptr<Communicator> Machine::exchanges(std::unique_ptr<Communicator> host) const {
  return make_staged_communicator(std::move(host), *device, *stream, false);
}

std::vector<DType> machine_types() { return {DType::f32}; }

}  // namespace trireme::test
