// SPDX-License-Identifier: Apache-2.0
// Orders copies of inputs between the pool's stream and the compute stream.
#include "trireme/model/host_inputs.hpp"

#include <exception>

#include "trireme/core/log.hpp"

namespace trireme {

HostInputs::~HostInputs() {
  try {
    pool_->stream().synchronize();
  } catch (const std::exception& e) {
    log::warn("{}", e.what());
  }
}

/// The compute stream recycles x: from here on, this stream has seen the end of the copy.
void HostInputs::finish(const Exec& ex, Move& move) {
  if (move.done != nullptr) ex.stream.wait(*move.done);
  move = {};
}

void HostInputs::put(const Exec& ex, const Tensor& x, Tape& tape) {
  finish(ex, leaving_);
  HostCopy copy{pool_->block(x.view().bytes()), x.dtype(), x.shape()};
  Stream& copies = pool_->stream();
  copies.wait(*ex.stream.record());
  if (ex.device.kind() != DeviceKind::dry) {  // a dry device's blocks can't be written
    ex.device.copy_to_host(copy.data.get(), x.view().raw(), copy.bytes(), copies);
  }
  leaving_ = {copy.data, x, copies.record()};
  tape.put_host(std::move(copy));
}

HostInputs::Move HostInputs::bring(const Exec& ex, const HostCopy& copy) const {
  Tensor x = ex.make(copy.dtype, copy.shape);
  Stream& copies = pool_->stream();
  copies.wait(*ex.stream.record());  // earlier work may use the memory of x
  ex.device.copy_from_host(x.view().raw(), copy.data.get(), copy.bytes(), copies);
  return {copy.data, x, copies.record()};
}

Tensor HostInputs::take(const Exec& ex, Tape& tape) {
  finish(ex, leaving_);
  const HostCopy copy = tape.take_host();
  if (coming_.block != copy.data) {
    finish(ex, coming_);
    coming_ = bring(ex, copy);
  }
  Tensor x = coming_.x;
  finish(ex, coming_);
  if (const HostCopy* const next = tape.next_host()) coming_ = bring(ex, *next);
  return x;
}

}  // namespace trireme
