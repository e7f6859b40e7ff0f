// SPDX-License-Identifier: Apache-2.0
// The golden models on a CPU.
#include "trireme/backend/cpu.hpp"

#include "machine.hpp"

namespace trireme::test {

Machine::Machine()
    : device(make_cpu_device()),
      stream(device->make_stream()),
      kernels(make_cpu_kernels()),
      ex{*device, *kernels, *stream, 1234} {}

std::unique_ptr<Communicator> Machine::exchanges(std::unique_ptr<Communicator> host) const {
  return host;
}

std::vector<DType> machine_types() { return {DType::f32, DType::f64}; }

}  // namespace trireme::test
