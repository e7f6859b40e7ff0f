// SPDX-License-Identifier: Apache-2.0
// What a run's exit code says to job scripts.
#pragma once

namespace trireme {

inline constexpr int kDone = 0;
inline constexpr int kStopped = 75;  ///< EX_TEMPFAIL: start the run again
inline constexpr int kHung = 76;     ///< EX_PROTOCOL: ranks did not come to a collective

}  // namespace trireme
